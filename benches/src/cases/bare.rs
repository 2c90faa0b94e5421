//! The bare drivers: connections, and the texts of scripts.

use std::time::Duration;

use onceward_backend::redis::aio::MultiplexedConnection;
use onceward_backend::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Script, ScriptInvocation};
use onceward_backend::{Redis, redis};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use testkit::redis::Prefix;

use crate::case::Setting;

/// Microseconds since the epoch, as the stores ask PostgreSQL for them.
macro_rules! now {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}
pub(crate) use now;

/// A connection of the plain driver and the prefix of this world.
#[derive(Clone)]
pub(crate) struct Plain {
    connection: MultiplexedConnection,
    prefix: String,
}

impl Plain {
    pub(crate) async fn connect(prefix: &Prefix) -> Self {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(5)));
        let client = Client::open(prefix.url()).unwrap();
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        Self { connection, prefix: prefix.as_str().to_owned() }
    }

    pub(crate) async fn many(prefix: &Prefix, setting: Setting) -> Vec<Self> {
        let mut all = Vec::new();
        for _ in 0..setting.clients {
            all.push(Self::connect(prefix).await);
        }
        all
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query_async(&mut self.connection.clone()).await.unwrap()
    }

    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> T {
        script.invoke_async(&mut self.connection.clone()).await.unwrap()
    }

    /// The keys of this world that match.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        self.command(redis::cmd("KEYS").arg(self.key(pattern))).await
    }
}

/// A handle as the stores take it, with a connection of its own.
pub(crate) async fn ours(prefix: &Prefix) -> Redis {
    Redis::connect(prefix.url()).await.unwrap().with_prefix(prefix.as_str())
}

/// One handle for each client.
pub(crate) async fn ours_many(prefix: &Prefix, setting: Setting) -> Vec<Redis> {
    let mut all = Vec::new();
    for _ in 0..setting.clients {
        all.push(ours(prefix).await);
    }
    all
}

/// A script out of our own source, so that both sides run the same: the raw text after this name. `before` is put before
/// it.
pub(crate) fn script(before: &str, source: &str, name: &str) -> Script {
    Script::new(&format!("{before}{}", text(source, name)))
}

/// The raw string after the definition of `name`.
pub(crate) fn text<'a>(source: &'a str, name: &str) -> &'a str {
    let (_, rest) = source.split_once(&format!(" {name}: ")).unwrap();
    let (_, rest) = rest.split_once("r\"").unwrap();
    rest.split_once('"').unwrap().0
}

/// A database of this world's own and a pool for it.
pub(crate) async fn postgres(setting: Setting) -> (testkit::Lent, PgPool) {
    let database = testkit::postgres::database().await;
    let pool = postgres_pool(database.url(), setting).await;
    (database, pool)
}

/// A pool of one connection for each client. Connections are not tried out before each use: that would be a round trip
/// more on both sides.
pub(crate) async fn postgres_pool(url: &str, setting: Setting) -> PgPool {
    let size = u32::try_from(setting.clients).unwrap();
    let options = PgPoolOptions::new().max_connections(size).min_connections(size).test_before_acquire(false);
    options.connect(url).await.unwrap()
}

/// The same on MariaDB.
pub(crate) async fn mysql(setting: Setting) -> (testkit::Lent, MySqlPool) {
    let database = testkit::mysql::database().await;
    let size = u32::try_from(setting.clients).unwrap();
    let options = MySqlPoolOptions::new().max_connections(size).min_connections(size).test_before_acquire(false);
    let pool = options.connect(database.url()).await.unwrap();
    (database, pool)
}

/// 32 hexadecimal characters of a number, so that keys are as long as ours.
pub(crate) fn hex(number: u64) -> String {
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_the_raw_string_after_its_name() {
        let source = "const HEAD: &str = r\"local a\n\";\npub(super) static B: X = X(|| f(\n r\"\nreturn 1\",\n));";
        assert_eq!(text(source, "HEAD"), "local a\n");
        assert_eq!(text(source, "B"), "\nreturn 1");
    }
}
