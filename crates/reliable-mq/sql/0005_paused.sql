-- Topics that an operator has paused: their messages wait where they are.
create table if not exists mq_paused (
  topic {key} not null primary key,
  at bigint not null
);
