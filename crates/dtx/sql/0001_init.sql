-- The coordinator's own tables. Times are microseconds since the epoch by the clock of the database. An index is written
-- as a unique constraint that ends in the key, since `create index if not exists` is not known everywhere.

create table if not exists dtx_global (
    xid {key} not null primary key,
    name {text} not null,
    status bigint not null,
    reason bigint,
    branches bigint not null,
    began bigint not null,
    deadline bigint not null,
    due bigint not null,
    tries bigint not null,
    ended bigint,
    unique (status, due, xid),
    unique (ended, xid)
);

-- `number` counts the registrations of one transaction; the second phase goes by it, never by a time.
create table if not exists dtx_branch (
    xid {key} not null,
    branch_id bigint not null,
    number bigint not null,
    resource_id {text} not null,
    status bigint not null,
    locks {text} not null,
    primary key (xid, branch_id)
);

-- `lock_id` is a hash of resource, table and key, which stand beside it for people.
create table if not exists dtx_lock (
    lock_id {key} not null primary key,
    xid {key} not null,
    resource_id {text} not null,
    table_name {text} not null,
    row_key {text} not null,
    since bigint not null,
    unique (xid, lock_id)
);
