-- PostgreSQL only. It writes a new version of a row into every index of its table as soon as one indexed column has changed, also
-- where that is only named in a condition. A transaction changes its row three times; outcomes, which are most rows, need to be
-- found by xid and by their end alone. The free half of each page keeps a registration, which changes nothing that is indexed, out
-- of all indexes.

alter table dtx_global drop constraint if exists dtx_global_status_due_xid_key;

alter table dtx_global drop constraint if exists dtx_global_ended_xid_key;

alter table dtx_global set (fillfactor = 50);

create index if not exists dtx_global_due on dtx_global (due, xid) where status in (1, 4, 8);

create index if not exists dtx_global_parked on dtx_global (xid) where status = 12;

create index if not exists dtx_global_ended on dtx_global (ended) where ended is not null;
