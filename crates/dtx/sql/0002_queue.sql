-- Who waits for rows, in the order of `ticket`. `state` is 1 while it waits, else the answer that its process has not read
-- yet. What `dtx_wait` lists is waited for: its rows go with the answer.

create table if not exists dtx_waiter (
    ticket {serial},
    waiter {key} not null unique,
    xid {key} not null,
    owner {key} not null,
    state bigint not null,
    until bigint not null,
    unique (xid, waiter),
    unique (owner, state, waiter)
);

create table if not exists dtx_wait (
    lock_id {key} not null,
    waiter {key} not null,
    resource_id {text} not null,
    table_name {text} not null,
    row_key {text} not null,
    primary key (lock_id, waiter),
    unique (waiter, lock_id)
);

-- Until when the coordinators that share this database live at least. A hint that divides work; nothing rests on it.
create table if not exists dtx_owner (
    owner {key} not null primary key,
    until bigint not null
);

-- Whoever serves the queue changes its only row first, so that one at a time does.
create table if not exists dtx_turn (
    id bigint not null primary key,
    served bigint not null
);

{insert_ignore} dtx_turn (id, served) values (1, 0) {or_ignore};
