-- Who is who.
create table if not exists users (
    id {key} not null primary key,
    provider {key} not null,
    subject {key} not null,
    nickname {text} not null,
    avatar {text} not null,
    created_at bigint not null
);
