-- Writes to a watched table that did not come through AT. On SQLite only table, operation and time are known.

create table if not exists dtx_bypass (
    id {serial},
    table_name {text} not null,
    operation {text} not null,
    who {text},
    application {text},
    client {text},
    query {text},
    seen bigint not null,
    unique (table_name, operation, seen, id)
);
