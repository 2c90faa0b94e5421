-- Signed-in sessions, ends of sessions with the session that ended them, guest carts that still have to reach a member.
create table if not exists member_sessions (
    id {key} not null primary key,
    user_id {key} not null,
    nickname {text} not null,
    created_at bigint not null
);
create table if not exists session_ends (
    id {key} not null primary key,
    ended_by {key} not null,
    ended_at bigint not null
);
create table if not exists merges (
    guest {key} not null primary key,
    user_id {key} not null
);
