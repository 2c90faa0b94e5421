-- Times are microseconds by the database's clock; owners are hexadecimal; state: 0 issued, 1 claimed, 2 done.
-- revision counts the changes of a row: a change names the one it has read, and its row count is the answer.

create table if not exists idem_token (
  id {key} not null primary key,
  purpose {key} not null,
  subject {key} not null,
  state bigint not null,
  revision bigint not null,
  attempt bigint not null,
  takeover bigint not null,
  owner {key} not null,
  holder {key} not null,
  fingerprint {bytes} not null,
  expires_at bigint not null,
  claimed_at bigint not null,
  lease_until bigint not null,
  tail bigint not null,
  keep_until bigint not null,
  result {bytes},
  unique (state, claimed_at, id),
  unique (keep_until, id)
);

-- The token that counts, by purpose and user.
create table if not exists idem_latest (
  scope {key} not null primary key,
  id {key} not null,
  keep_until bigint not null,
  unique (keep_until, scope)
);

create table if not exists idem_bare (
  name {key} not null primary key,
  held {key} not null,
  keep_until bigint not null,
  unique (keep_until, name)
);

create table if not exists idem_record (
  name {key} not null primary key,
  state bigint not null,
  revision bigint not null,
  attempt bigint not null,
  takeover bigint not null,
  owner {key} not null,
  holder {key} not null,
  fingerprint {bytes},
  claimed_at bigint not null,
  lease_until bigint not null,
  tail bigint not null,
  keep_until bigint not null,
  result {bytes},
  unique (keep_until, name)
);
