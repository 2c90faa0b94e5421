-- Who ended a parked branch, how and why, with its undo record as it was.

create table if not exists dtx_repair (
    xid {key} not null,
    branch_id bigint not null,
    resource_id {text} not null,
    action {text} not null,
    who {text} not null,
    note {text} not null,
    reason {text} not null,
    context {key} not null,
    rollback_info {bytes} not null,
    parked bigint not null,
    repaired bigint not null,
    primary key (xid, branch_id)
);
