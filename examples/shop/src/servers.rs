//! The servers of the services mode, and the names that one shop uses on them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use onceward_backend::redis::IntoConnectionInfo;
use onceward_backend::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use onceward_backend::redis::io::tcp::TcpSettings;
use onceward_backend::{BackendError, Redis, redis};
use onceward_reliable_mq::{Broker, Health, RabbitMqBroker, RabbitMqOptions};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Database, MySql, Pool, Postgres};
use tokio::time::timeout;

mod claim;
mod databases;

pub use claim::{Claim, Taken};

/// A request makes several steps and is to be answered within 10 s, so no step waits longer than this for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a connection that comes back to its pool, perhaps from a statement that nobody waits for any more, may take
/// to show that it is fit for the next one.
const RETURN: Duration = Duration::from_secs(2);
/// A server that takes longer to be reached at start is told as missing.
const CONNECT: Duration = Duration::from_secs(5);
/// PostgreSQL ends what takes longer, and what a client that is not heard of any more has left open.
const SESSION: [(&str, &str); 2] = [("statement_timeout", "8s"), ("idle_in_transaction_session_timeout", "30s")];

const UNUSABLE: &str = "the server cannot be used; is it running, and may this user come in?";

/// A server cannot be used. Names the URL, never what is in it.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {problem}")]
pub struct ServerError {
    url: &'static str,
    problem: String,
    #[source]
    source: Option<BackendError>,
}

impl ServerError {
    fn unusable(url: &'static str, problem: impl Into<String>) -> Self {
        Self { url, problem: problem.into(), source: None }
    }

    fn silent(url: &'static str, error: impl Into<BackendError>) -> Self {
        Self { url, problem: UNUSABLE.to_owned(), source: Some(error.into()) }
    }
}

/// What the names of a shop's databases, keys and queues begin with, so that several shops share their servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if first && rest && text.len() <= 31 {
            Ok(Self(text.to_owned()))
        } else {
            Err("write at most 31 of a-z, 0-9 and _, a letter first".into())
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Redis, PostgreSQL, MariaDB and RabbitMQ, and one shop's names on them. Nothing is connected yet.
#[derive(Clone)]
pub struct Servers {
    redis: String,
    postgres: PgConnectOptions,
    mysql: MySqlConnectOptions,
    broker: RabbitMqBroker,
    namespace: Namespace,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Servers {
    /// The servers at these addresses.
    ///
    /// # Errors
    /// Names the URL that is none.
    pub fn new(
        redis: &str,
        postgres: &str,
        mysql: &str,
        amqp: &str,
        namespace: Namespace,
    ) -> Result<Self, ServerError> {
        // What a parser says might quote the password.
        let no_url = |url, like: &str| ServerError::unusable(url, format!("write it as {like}"));
        if redis::Client::open(redis).is_err() {
            return Err(no_url("REDIS_URL", "redis://user:password@host:6379/0"));
        }
        let postgres = PgConnectOptions::from_str(postgres)
            .map_err(|_| no_url("POSTGRES_URL", "postgres://user:password@host:5432/database"))?;
        let mysql = MySqlConnectOptions::from_str(mysql)
            .map_err(|_| no_url("MYSQL_URL", "mysql://user:password@host:3306/database"))?;
        let options = RabbitMqOptions::default().with_prefix(format!("{namespace}."));
        let broker =
            RabbitMqBroker::new(amqp, options).map_err(|_| no_url("AMQP_URL", "amqp://user:password@host:5672/%2f"))?;
        Ok(Self { redis: redis.to_owned(), postgres, mysql, broker, namespace })
    }

    /// What all names begin with.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn database(&self, part: &str) -> String {
        format!("{}_{part}", self.namespace)
    }

    /// Redis, with all keys under the namespace.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn redis(&self) -> Result<Redis, ServerError> {
        let told = |error: redis::RedisError| ServerError::silent("REDIS_URL", error);
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(3)))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let tcp = TcpSettings::default();
        // Else a wire that fell silent without a word is given up only when the system does, a quarter of an hour later.
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(10));
        let info = self.redis.as_str().into_connection_info().map_err(told)?.set_tcp_settings(tcp);
        let client = redis::Client::open(info).map_err(told)?;
        let connection = ConnectionManager::new_with_config(client, config).await.map_err(told)?;
        Ok(Redis::new(connection).with_prefix(format!("{}:", self.namespace)))
    }

    /// RabbitMQ, with all names under the namespace. It connects when it is needed, and again when it was lost.
    pub fn broker(&self) -> &RabbitMqBroker {
        &self.broker
    }

    /// Asks RabbitMQ for a connection, so that at start it is told as missing by its name.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn meet_broker(&self) -> Result<(), ServerError> {
        match self.broker.health().await {
            Health::Down(why) => Err(ServerError::unusable("AMQP_URL", format!("{UNUSABLE}: {why}"))),
            _ => Ok(()),
        }
    }

    /// A database of this shop on PostgreSQL.
    pub fn postgres(&self, part: &str) -> Pool<Postgres> {
        let options = self.postgres.clone().database(&self.database(part));
        let options = options.application_name("onceward-shop").options(SESSION);
        pool::<Postgres>(PgPoolOptions::new()).max_connections(6).connect_lazy_with(options)
    }

    /// The database of this shop on MariaDB.
    pub fn mysql(&self) -> Pool<MySql> {
        let options = self.mysql.clone().database(&self.database(databases::NOTIFY));
        // Under REPEATABLE READ settling a message may lock its neighbours.
        let read_committed = "set session transaction isolation level read committed";
        pool::<MySql>(MySqlPoolOptions::new())
            .max_connections(6)
            .after_connect(move |conn, _| {
                Box::pin(async move { sqlx::raw_sql(read_committed).execute(conn).await.map(drop) })
            })
            .connect_lazy_with(options)
    }
}

/// A connection is asked before it is lent, so that those that a restarted server forgot are not; and asked when it comes
/// back, for no longer than [`RETURN`]: what a statement that was given up half way has left is read or the connection is
/// closed, and one on a dead wire does not keep its place in the pool.
fn pool<D: Database>(options: PoolOptions<D>) -> PoolOptions<D> {
    options.acquire_timeout(ACQUIRE).test_before_acquire(true).after_release(|conn, _| {
        Box::pin(async move {
            timeout(RETURN, conn.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            Ok(true)
        })
    })
}

/// A connection of its own, or what keeps it from being made.
async fn connect<C: Connection>(url: &'static str, options: &C::Options) -> Result<C, ServerError>
where
    C::Options: Clone,
{
    match timeout(CONNECT, C::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| ServerError::silent(url, error)),
        Err(_) => Err(ServerError::unusable(url, format!("the server did not answer within {CONNECT:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_fit_for_every_server() {
        for good in ["shop", "a", "a_9", &"x".repeat(31)] {
            assert_eq!(good.parse::<Namespace>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "9a", "_a", "Shop", "a-b", "a.b", "a b", "a;drop", "ä", &"x".repeat(32)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_named_and_not_quoted() {
        let urls = ["redis://:s3cret@h", "postgres://u:s3cret@h/d", "mysql://u:s3cret@h/d", "amqp://u:s3cret@h"];
        let names = ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL"];
        for (at, name) in names.iter().enumerate() {
            let mut given = urls.map(str::to_owned);
            given[at] = "s3cret".to_owned();
            let [redis, postgres, mysql, amqp] = given;
            let error = Servers::new(&redis, &postgres, &mysql, &amqp, "shop".parse().unwrap()).unwrap_err();
            let told = crate::problem::chain(&error);
            assert!(told.starts_with(name) && !told.contains("s3cret"), "{told}");
        }
    }
}
