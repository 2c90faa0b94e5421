-- What was sent. No unique key on the order: that each is sent once is the inbox's doing, and `shop verify` looks.
create table if not exists notifications (
    id {serial},
    order_id {key} not null,
    user_id {key} not null,
    body {text} not null,
    sent_at bigint not null,
    unique (order_id, id)
);
