-- What is left of each SKU, and which order took what.
create table if not exists stock (
    sku {key} not null primary key,
    quantity bigint not null,
    check (quantity >= 0)
);
create table if not exists stock_moves (
    order_id {key} not null,
    sku {key} not null,
    quantity bigint not null,
    primary key (order_id, sku)
);
