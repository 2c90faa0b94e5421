-- What keeps the server from plans that read the whole table. It takes it for as large as it was at its last look, which may be
-- when no branch was open, and holds on to a plan that was good then. So it has room that vacuum does not give back: of this size
-- it is not read whole where its key can be used.
alter table undo_log set (vacuum_truncate = off);
insert into undo_log (branch_id, xid, context, rollback_info, log_status, log_created, log_modified)
  select n, 'room', 'room', decode(repeat('00', 1800), 'hex'), -1, 0, 0 from generate_series(1, 512) n;
delete from undo_log where xid = 'room';
