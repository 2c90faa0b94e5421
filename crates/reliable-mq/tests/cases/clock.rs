//! A database whose clock can be set, for every session and nobody else.

use onceward_backend::{
    Db,
    internal::Sql,
    sqlx::{self, Pool, pool::PoolOptions},
};

pub trait Clock: Db {
    /// Gives a fresh database a clock of its own.
    async fn install(url: &str);

    /// Sessions of one that has it.
    fn sessions() -> PoolOptions<Self>;

    /// Sets it forward by so many microseconds, or back.
    async fn jump(pool: &Pool<Self>, micros: i64) {
        let update = Sql::<Self>::new().sql("update jump set micros = micros + ?").bind(micros);
        update.execute(&mut pool.acquire().await.unwrap()).await.unwrap();
    }
}

const TABLE: &str = "create table jump (micros bigint not null); insert into jump values (0);";

#[cfg(feature = "test-postgres")]
mod on_postgres {
    use super::{Clock, Pool, PoolOptions, TABLE, sqlx};

    /// In front of the server's own function.
    const FUNCTION: &str = "\
create function clock_timestamp() returns timestamptz language sql volatile as
  'select pg_catalog.clock_timestamp() + micros * interval ''1 microsecond'' from public.jump';
do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$";

    impl Clock for sqlx::Postgres {
        async fn install(url: &str) {
            let pool = Pool::<Self>::connect(url).await.unwrap();
            for text in [TABLE, FUNCTION] {
                sqlx::raw_sql(text).execute(&pool).await.unwrap();
            }
            pool.close().await;
        }

        fn sessions() -> PoolOptions<Self> {
            PoolOptions::new()
        }
    }
}

#[cfg(feature = "test-mysql")]
mod on_mysql {
    use super::{Clock, Pool, PoolOptions, TABLE, sqlx};
    use sqlx::{Executor, MySqlConnection};

    /// What a session takes for the time until it is set again: whenever it goes to work.
    const SET: &str = "set timestamp = (select unix_timestamp(sysdate(6)) + micros / 1000000 from jump)";

    impl Clock for sqlx::MySql {
        async fn install(url: &str) {
            let pool = Pool::<Self>::connect(url).await.unwrap();
            sqlx::raw_sql(TABLE).execute(&pool).await.unwrap();
            pool.close().await;
        }

        fn sessions() -> PoolOptions<Self> {
            PoolOptions::new()
                .after_connect(|conn: &mut MySqlConnection, _| {
                    Box::pin(async move { conn.execute(SET).await.map(drop) })
                })
                .before_acquire(|conn: &mut MySqlConnection, _| {
                    Box::pin(async move { conn.execute(SET).await.map(|_| true) })
                })
        }
    }
}
