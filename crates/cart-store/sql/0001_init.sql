-- One packed row per cart. `revision` changes with every write and is what writers compare. Times are microseconds.
-- The unique constraints are indexes: every database takes them inside the table, so the statement may run again.
create table if not exists cart_carts (
    id {key} not null primary key,
    revision bigint not null,
    version bigint not null,
    line_count bigint not null,
    merge_stage bigint not null,
    merge_at bigint not null,
    updated_at bigint not null,
    expires_at bigint,
    body {bytes} not null,
    unique (merge_stage, merge_at, id),
    unique (expires_at, id)
);

-- What must have its effect once: merges (`m:` and the merge) and orders (`o:` and the order), per cart.
create table if not exists cart_marks (
    cart_id {key} not null,
    mark {key} not null,
    expires_at bigint not null,
    body {bytes} not null,
    primary key (cart_id, mark),
    unique (expires_at, cart_id, mark)
);
