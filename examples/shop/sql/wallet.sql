-- Balances, and the ledger that explains them.
create table if not exists wallets (
    user_id {key} not null primary key,
    balance bigint not null,
    check (balance >= 0)
);
create table if not exists ledger (
    reference {key} not null primary key,
    user_id {key} not null,
    amount bigint not null,
    xid {key} not null,
    created_at bigint not null
);
create index if not exists ledger_by_user on ledger (user_id, created_at);
