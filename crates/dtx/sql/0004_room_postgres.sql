-- What keeps the server from plans that read a whole table. It takes a table for as large as it was at its last look, which may
-- be when no transaction was open, and holds on to a plan that was good then. So these have room that vacuum does not give back:
-- of this size none is read whole where an index can be used. (Of those that wait there are few.)
--
-- The same holds among indexes: one that has nothing in it looks as good as the key, although all of it would be read. So none has
-- the key of its table as a later column, and conditions on one transaction say `status + 0`, which no index of open ones can serve.
alter table dtx_global set (vacuum_truncate = off);
alter table dtx_branch set (vacuum_truncate = off);
alter table dtx_lock set (vacuum_truncate = off);
alter table dtx_wait set (vacuum_truncate = off);
alter table dtx_lock drop constraint if exists dtx_lock_xid_lock_id_key;
create index if not exists dtx_lock_xid on dtx_lock (xid);
alter table dtx_waiter drop constraint if exists dtx_waiter_xid_waiter_key;
create index if not exists dtx_waiter_xid on dtx_waiter (xid);
alter table dtx_waiter drop constraint if exists dtx_waiter_owner_state_waiter_key;
create index if not exists dtx_waiter_owner on dtx_waiter (owner, state);
alter table dtx_wait drop constraint if exists dtx_wait_waiter_lock_id_key;
create index if not exists dtx_wait_waiter on dtx_wait (waiter);
insert into dtx_global (xid, name, status, branches, began, deadline, due, tries)
  select 'room-' || n, repeat('x', 1800), 0, 0, 0, 0, 0, 0 from generate_series(1, 512) n;
delete from dtx_global where status = 0;
insert into dtx_branch (xid, branch_id, number, resource_id, status, locks)
  select 'room-' || n, 0, 0, 'room', 0, repeat('x', 1800) from generate_series(1, 512) n;
delete from dtx_branch where status = 0;
insert into dtx_lock (lock_id, xid, resource_id, table_name, row_key, since)
  select 'room-' || n, 'room', 'room', 'room', repeat('x', 1800), -1 from generate_series(1, 512) n;
delete from dtx_lock where since = -1;
insert into dtx_wait (lock_id, waiter, resource_id, table_name, row_key)
  select 'room-' || n, 'room', 'room', 'room', repeat('x', 1800) from generate_series(1, 512) n;
delete from dtx_wait where waiter = 'room';
