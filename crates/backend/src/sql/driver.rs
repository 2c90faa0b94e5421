//! The three drivers behind [`Db`] and [`Conn`](super::Conn).

use sqlx::error::BoxDynError;

#[allow(unused_imports, reason = "nothing is used where `sql` is on without a database")]
use super::{Conn, Db, Dialect, Value, sealed::Sealed, value::Array};

#[allow(unused_macros, reason = "nothing is used where `sql` is on without a database")]
macro_rules! driver {
    ($feature:literal, $db:ty, $connection:ty, $dialect:expr, $array:path) => {
        #[cfg(feature = $feature)]
        const _: () = {
            use sqlx::{Arguments as _, Executor, Row as _};

            impl Sealed for $db {}

            impl Db for $db {
                const DIALECT: Dialect = $dialect;

                fn executor(conn: &mut Self::Connection) -> impl Executor<'_, Database = Self> {
                    conn
                }

                fn rows_affected(result: &Self::QueryResult) -> u64 {
                    result.rows_affected()
                }

                fn bind(args: &mut Self::Arguments, value: Value<'_>) -> Result<(), BoxDynError> {
                    match value {
                        Value::Int(value) => args.add(value),
                        Value::Text(value) => args.add(value),
                        Value::Bytes(value) => args.add(value),
                        Value::Bool(value) => args.add(value),
                        Value::Array(array) => $array(args, array),
                    }
                }

                fn int(row: &Self::Row, at: usize) -> sqlx::Result<Option<i64>> {
                    row.try_get(at)
                }

                fn text(row: &Self::Row, at: usize) -> sqlx::Result<Option<String>> {
                    row.try_get(at)
                }

                fn bytes(row: &Self::Row, at: usize) -> sqlx::Result<Option<Vec<u8>>> {
                    row.try_get(at)
                }

                fn bool(row: &Self::Row, at: usize) -> sqlx::Result<Option<bool>> {
                    row.try_get(at)
                }
            }

            impl Conn<$db> for $connection {
                fn executor(&mut self) -> impl Executor<'_, Database = $db> {
                    self
                }

                fn uncaptured(&mut self) -> &mut $connection {
                    self
                }
            }
        };
    };
}

driver!("postgres", sqlx::Postgres, sqlx::PgConnection, Dialect::Postgres, array);
driver!("mysql", sqlx::MySql, sqlx::MySqlConnection, Dialect::MySql, no_array);
driver!("sqlite", sqlx::Sqlite, sqlx::SqliteConnection, Dialect::Sqlite, no_array);

#[cfg(feature = "postgres")]
fn array(args: &mut sqlx::postgres::PgArguments, array: Array<'_>) -> Result<(), BoxDynError> {
    use sqlx::Arguments as _;

    match array {
        Array::Ints(values) => args.add(values),
        Array::Texts(values) => args.add(values),
        Array::Bytes(values) => args.add(values),
    }
}

#[allow(dead_code, reason = "nothing is used where `sql` is on without a database")]
fn no_array<A>(_: &mut A, _: Array<'_>) -> Result<(), BoxDynError> {
    Err("only PostgreSQL has arrays".into())
}
