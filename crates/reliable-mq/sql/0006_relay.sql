-- Relays that live, with lanes or without: they share the lanes out among themselves.
create table if not exists mq_relay (
  owner {key} not null primary key,
  until_at bigint not null
);
