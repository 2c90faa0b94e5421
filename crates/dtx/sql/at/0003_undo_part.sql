-- What an undo record is too large for: the bytes behind those in `rollback_info`, in the order of `part`. They stay with the
-- record when it is parked or repaired.

create table if not exists dtx_undo_part (
    xid {key} not null,
    branch_id bigint not null,
    part bigint not null,
    bytes {bytes} not null,
    primary key (xid, branch_id, part)
);
