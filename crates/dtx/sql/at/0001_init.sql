-- The tables of a resource, in the database of the rows they protect. `undo_log` has the columns that AT resource
-- managers of other languages expect; `dtx_parked` keeps what could not be undone until a person chooses.

create table if not exists undo_log (
    branch_id bigint not null,
    xid {key} not null,
    context {key} not null,
    rollback_info {bytes} not null,
    log_status bigint not null,
    log_created bigint not null,
    log_modified bigint not null,
    primary key (xid, branch_id)
);

create table if not exists dtx_parked (
    xid {key} not null,
    branch_id bigint not null,
    reason {text} not null,
    context {key} not null,
    rollback_info {bytes} not null,
    parked bigint not null,
    primary key (xid, branch_id)
);
