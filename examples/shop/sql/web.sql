-- Who is who: users, signed-in sessions, sessions that have ended, guest carts that still have to reach a member.
create table if not exists users (
    id {key} not null primary key,
    provider {key} not null,
    subject {key} not null,
    nickname {text} not null,
    avatar {text} not null,
    created_at bigint not null
);
create table if not exists sessions (
    id {key} not null primary key,
    user_id {key} not null,
    created_at bigint not null
);
create table if not exists ended_sessions (
    id {key} not null primary key,
    ended_at bigint not null
);
create table if not exists merges (
    guest {key} not null primary key,
    user_id {key} not null
);
