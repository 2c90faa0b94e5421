-- Orders with what was charged, the newest order of each user, and which orders have left the cart.
create table if not exists orders (
    id {key} not null primary key,
    user_id {key} not null,
    status {key} not null,
    total bigint not null,
    order_token {key} not null unique,
    xid {key} not null,
    created_at bigint not null
);
create index if not exists orders_by_user on orders (user_id, created_at);
create table if not exists order_lines (
    order_id {key} not null,
    sku {key} not null,
    quantity bigint not null,
    price bigint not null,
    primary key (order_id, sku)
);
create table if not exists checkouts (
    user_id {key} not null primary key,
    last_order {key} not null
);
create table if not exists cart_takes (
    order_id {key} not null primary key
);
