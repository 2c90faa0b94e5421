-- What keeps the server from plans that read a whole table. It takes a table for small if it was at its last look, which is
-- when nothing waits in it, and holds on to a plan that was good then while many messages arrive. So both tables have room
-- that vacuum does not give back: of this size none is read whole where an index can be used.
alter table mq_hot set (vacuum_truncate = off);
alter table mq_delayed set (vacuum_truncate = off);
create index if not exists mq_delayed_blocks on mq_delayed (shard, msg_key) where blocks = 1;
insert into mq_hot (shard, id, message_id, topic, headers, payload, enqueued_at)
  select -1, -n, 'room', 'room', '', decode(repeat('00', 1800), 'hex'), 0 from generate_series(1, 512) n;
delete from mq_hot where shard = -1;
insert into mq_delayed (message_id, shard, hot_id, topic, headers, payload, enqueued_at, attempts, blocks, due_at)
  select 'room-' || n, -1, 0, 'room', '', decode(repeat('00', 1800), 'hex'), 0, 0, 0, 0 from generate_series(1, 512) n;
delete from mq_delayed where shard = -1;
