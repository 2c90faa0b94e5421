-- What was sent, if the history is kept in batches: one row per lane of an acknowledged batch.
create table if not exists mq_batch (
  id {serial},
  shard bigint not null,
  first_id bigint not null,
  last_id bigint not null,
  messages bigint not null,
  at bigint not null,
  unique (at, id)
);

-- The log again, with messages whose global transaction is not decided.
drop view if exists mq_log;
create view mq_log as
select message_id, topic, 'pending' as status, 0 as attempts, null as last_error, enqueued_at as at from mq_hot
union all
select message_id, topic, 'held', 0, null, enqueued_at from mq_held
union all
select message_id, topic, case when attempts = 0 then 'delayed' else 'failed' end, attempts, last_error,
  coalesce(failed_at, enqueued_at) from mq_delayed
union all
select message_id, topic, 'dead', attempts, last_error, dead_at from mq_dead
union all
select message_id, topic, status, attempt, error, at from mq_history where status = 'sent';
