-- Where each message stands now. A view cannot be "created if not exists" on all databases, so it is made anew.
drop view if exists mq_log;
create view mq_log as
select message_id, topic, 'pending' as status, 0 as attempts, null as last_error, enqueued_at as at from mq_hot
union all
select message_id, topic, case when attempts = 0 then 'delayed' else 'failed' end, attempts, last_error,
  coalesce(failed_at, enqueued_at) from mq_delayed
union all
select message_id, topic, 'dead', attempts, last_error, dead_at from mq_dead
union all
select message_id, topic, status, attempt, error, at from mq_history where status = 'sent';
