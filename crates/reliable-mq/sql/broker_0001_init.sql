-- Which queues take which topics.
create table if not exists mq_binding (
  topic {key} not null,
  queue_name {key} not null,
  primary key (topic, queue_name)
);

-- One row per message and queue, until it is acknowledged. An item is ready when ready_at has passed: a lease and a retry
-- both put it into the future. deliveries fences settles: each delivery makes it one more.
create table if not exists mq_queue (
  id {serial},
  queue_name {key} not null,
  message_id {key} not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  origin {text},
  enqueued_at bigint not null,
  ready_at bigint not null,
  leased_by {key} not null,
  deliveries bigint not null,
  failures bigint not null,
  unique (queue_name, id)
);

create table if not exists mq_queue_dead (
  id {serial},
  queue_name {key} not null,
  message_id {key} not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  origin {text},
  enqueued_at bigint not null,
  failures bigint not null,
  reason {text} not null,
  dead_at bigint not null,
  unique (queue_name, id)
);
