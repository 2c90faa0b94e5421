//! Databases in SQLite files.

use std::path::Path;

use onceward_backend::sqlite;
use onceward_dtx::SqlStore;
use sqlx::{Sqlite, SqlitePool};
use tempfile::TempDir;

pub(crate) type Db = Sqlite;
pub(crate) use sqlx::SqliteExecutor as DbExecutor;

/// The table of accounts, whose ids may be left to the database.
pub(crate) const ACCOUNT: &str =
    "create table account (id integer primary key, owner text not null, balance integer not null)";

/// True if a query can lock rows.
pub(crate) const LOCKS_ROWS: bool = false;

/// Every kind of write to it, and what a watch calls it.
pub(crate) const WRITES: [(&str, &str); 6] = [
    ("insert into account values (5, 'eve', 1)", "INSERT"),
    ("insert or ignore into account values (6, 'fay', 1)", "INSERT"),
    ("replace into account values (5, 'eva', 2)", "INSERT"),
    ("update account set balance = balance + 1", "UPDATE"),
    ("insert into account values (5, 'x', 1) on conflict (id) do update set owner = 'x'", "UPDATE"),
    ("delete from account where id = 6", "DELETE"),
];

/// A table with a trigger.
pub(crate) const TOUCHED: [&str; 3] = [
    "create table touched (id integer primary key, amount integer, version integer, seen integer)",
    "insert into touched values (1, 1, 0, 0)",
    "create trigger touch_it after update of amount, seen on touched \
        begin update touched set version = version + 1 where id = new.id; end",
];

/// Another trigger of it, that changes what a statement sets.
pub(crate) const ROUNDS: [&str; 1] = ["create trigger rounds after update of amount on touched \
    begin update touched set amount = new.amount / 10 * 10 where id = new.id; end"];

/// Each way in which a further trigger of it lets nothing go back. By the second, the transaction ends there and then.
pub(crate) const FORBIDS: [&str; 2] = [
    "create trigger forbids before update on touched when new.amount < old.amount \
        begin select raise(abort, 'no way back'); end",
    "create trigger forbids before update on touched when new.amount < old.amount \
        begin select raise(rollback, 'no way back'); end",
];

/// Tables with unique keys on expressions and on a generated column.
pub(crate) const MAIL: &str = "
    create table mail (id integer primary key, address text, live integer not null default 1, n, f,
        both text generated always as (n || '/' || f) virtual unique);
    create unique index mail_address on mail (lower(address)) where live;
    create unique index mail_live on mail (n) where live;
    create table untyped (k primary key);
    insert into untyped values (9007199254740992);
    create table quoted (id integer primary key, \"a\"\"\"\"b\", \"a\"\"b\");
    create unique index quoted_name on quoted (lower(\"a\"\"\"\"b\")) where \"a\"\"\"\"b\" <> 'it''''s';
    insert into quoted values (1, 'x', 1), (2, 'it''''s', 2);
    insert into mail values (1, 'Ann@x', 1, 1, 0), (2, 'Bob@x', 1, 2, 2), (3, 'ANN@x', 0, 3, 3)";
pub(crate) const MAIL_AGAIN: &str =
    "delete from mail where id = 9; delete from quoted where id = 9; update mail set live = id < 3";

/// A statement of an open transaction, one of another transaction, and what the lock between them begins with.
pub(crate) const EQUAL: [(&str, &str, &str); 11] = [
    ("update mail set live = 0 where id = 2", "insert into mail values (9, 'z', 1, 2, 9)", "mail_live#"),
    ("delete from mail where id = 1", "insert into mail values (9, 'ANN@X', 1, 9, 9)", "mail_address#"),
    ("delete from untyped where k > 1", "insert into untyped values (9007199254740992.0)", "9007199254740992"),
    ("update mail set address = 'c' where id = 1", "insert into mail values (9, 'aNN@x', 1, 9, 9)", "mail_address#"),
    ("update mail set live = 0 where id = 1", "update mail set live = 1 where id = 3", "mail_address#"),
    ("delete from mail where id = 1", "insert into mail values (9, 'x', 1, '1', '0')", "sqlite_autoindex_mail_1#"),
    ("delete from quoted where id = 1", "insert into quoted values (9, 'X', 9)", "quoted_name#"),
    ("delete from quoted where id = 2", "insert into quoted values (9, 'it''''s', 9)", ""),
    ("update mail set n = null where id = 1", "insert into mail (id, address) values (9, 'x')", ""),
    ("delete from mail where id = 3", "insert into mail values (9, 'ann@x', 0, 9, 9)", ""),
    ("update mail set address = 'ANN@X' where id = 1", "insert into mail values (9, 'x', 1, 9, 9)", ""),
];

/// A table of bytes.
pub(crate) const BLOBS: &str = "create table blobs (id integer primary key, bytes blob)";

/// A change that no first poll sees the end of.
pub(crate) const SLOW: &str = "update account set balance = (with recursive n (i) as \
    (select 1 union all select i + 1 from n where i < $1) select max(i) from n)";

/// A statement after which the transaction is no more.
pub(crate) const ENDS: &str = "rollback";

/// A statement that spoils an undo record.
pub(crate) const DAMAGE: &str = "update undo_log set rollback_info = x'0102030405060708090a'";

/// The files; a [`World`](crate::world::World) is the process that has them open.
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) async fn pool(&self, name: &str) -> SqlitePool {
        sqlite::open(self.path().join(format!("{name}.db"))).await.unwrap()
    }

    pub(crate) async fn store(&self) -> SqlStore<Sqlite> {
        SqlStore::open(self.path().join("tc.db")).await.unwrap()
    }
}
