create table if not exists oauth_flow (
    id {key} not null primary key,
    version bigint not null,
    written_at bigint not null,
    expires_at bigint not null,
    body {bytes} not null,
    unique (expires_at, id)
);
create table if not exists oauth_code (
    id {key} not null primary key,
    expires_at bigint not null,
    unique (expires_at, id)
);
create table if not exists oauth_token (
    id {key} not null primary key,
    version bigint not null,
    body {bytes} not null
);
