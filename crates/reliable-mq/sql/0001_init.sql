-- Who publishes which lane. Rows are made by the crate, one per lane.
create table if not exists mq_shard (
  shard bigint not null primary key,
  owner {key} not null,
  epoch bigint not null,
  until_at bigint not null
);

-- Messages that wait for their time: delayed by their sender (attempts = 0), or for a retry.
-- hot_id is the place in the lane, 0 if the message never was in it. The unique keys beyond the first are indexes.
create table if not exists mq_delayed (
  message_id {key} not null primary key,
  shard bigint not null,
  hot_id bigint not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  enqueued_at bigint not null,
  attempts bigint not null,
  blocks bigint not null,
  due_at bigint not null,
  last_error {text},
  failed_at bigint,
  unique (shard, due_at, message_id),
  unique (shard, msg_key, message_id)
);

-- Messages of global transactions that are not decided yet.
create table if not exists mq_held (
  id {serial},
  xid {key} not null,
  hold_id {key} not null,
  shard bigint not null,
  message_id {key} not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  enqueued_at bigint not null,
  due_at bigint not null,
  unique (xid, hold_id, id)
);

create table if not exists mq_dead (
  message_id {key} not null primary key,
  shard bigint not null,
  hot_id bigint not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  enqueued_at bigint not null,
  attempts bigint not null,
  last_error {text} not null,
  dead_at bigint not null,
  unique (dead_at, message_id)
);

-- One row per finished message and one per failed attempt.
create table if not exists mq_history (
  id {serial},
  message_id {key} not null,
  topic {key} not null,
  status {key} not null,
  attempt bigint not null,
  error {text},
  at bigint not null,
  unique (message_id, id),
  unique (at, id)
);

-- What each consumer has handled.
create table if not exists mq_inbox (
  consumer {key} not null,
  message_id {key} not null,
  at bigint not null,
  primary key (consumer, message_id),
  unique (at, consumer, message_id)
);
