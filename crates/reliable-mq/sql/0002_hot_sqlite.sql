-- Messages that were never tried, in order. AUTOINCREMENT: without it the id of a deleted last row is given again, and a
-- paused relay would delete another message than the one it sent.
create table if not exists mq_hot (
  id integer primary key autoincrement,
  shard bigint not null,
  message_id {key} not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  enqueued_at bigint not null
);
