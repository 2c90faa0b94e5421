-- Messages that were never tried, clustered by lane. An auto-increment column needs a key of its own.
create table if not exists mq_hot (
  shard bigint not null,
  id bigint not null auto_increment,
  message_id {key} not null,
  topic {key} not null,
  msg_key {key},
  headers {text} not null,
  payload {bytes} not null,
  enqueued_at bigint not null,
  primary key (shard, id),
  key mq_hot_id (id)
);
