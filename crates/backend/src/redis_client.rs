//! Redis: one connection for all tasks, a key prefix, and Lua scripts as the unit of atomicity.

use std::fmt;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Cmd, FromRedisValue, IntoConnectionInfo as _, Script};

use crate::error::{BackendError, ErrorClass};
use crate::retry::RetryPolicy;

/// The driver's own default is 500 ms, which a slow fsync on the server exceeds.
const RESPONSE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// A server whose host is gone says nothing at all, and Linux would go on asking for a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(10);

/// A Redis server, cheap to clone: all clones share one multiplexed connection, which reconnects by itself.
///
/// A call that fails because the connection broke or answered too late is of class
/// [`Unknown`](ErrorClass::Unknown): it may have taken effect. Nothing is repeated behind the caller's back, except a
/// [`RedisScript`] that says it may be.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    prefix: String,
    retry: RetryPolicy,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to `redis://[user:password@]host[:port][/database]`.
    ///
    /// # Errors
    /// Class `Unavailable` if the server cannot be reached, `Refused` if the URL or the password is wrong.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(RESPONSE))
            .set_number_of_retries(3)
            .set_max_delay(Duration::from_millis(500));
        let tcp = TcpSettings::default().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(SILENCE);
        let client = redis::Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
        Ok(Self::new(ConnectionManager::new_with_config(client, config).await?))
    }

    /// Uses a connection that was made elsewhere, with its own time-outs.
    pub fn new(connection: ConnectionManager) -> Self {
        Self { connection, prefix: String::new(), retry: RetryPolicy::exponential().with_attempts(3) }
    }

    /// The same server with all keys under a prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The full name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs a script: all of it or nothing, and no other command in between. `keys` are full names (see
    /// [`key`](Self::key)); on a cluster they must share a hash tag. One round trip, or three where the server does not
    /// know the script yet.
    ///
    /// # Errors
    /// Class `Unknown` if the connection broke after the script was sent and the script must not be
    /// [repeated](RedisScript::once).
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &RedisScript,
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<T, BackendError> {
        let started = Instant::now();
        let again = |error: &BackendError| match error.class() {
            ErrorClass::Transient => true,
            ErrorClass::Unknown => script.repeatable,
            _ => false,
        };
        let call = || async {
            let mut call = script.script.prepare_invoke();
            for key in keys {
                call.key(key);
            }
            for arg in args {
                call.arg(*arg);
            }
            let mut connection = self.connection.clone();
            Ok(call.invoke_async(&mut connection).await?)
        };
        let result = self.retry.run_if(again, call).await;
        metrics::histogram!("onceward_backend_redis_script_seconds").record(started.elapsed().as_secs_f64());
        result
    }

    /// Sends one command, once.
    ///
    /// # Errors
    /// Class `Unknown` if the connection broke after it was sent.
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        let mut connection = self.connection.clone();
        Ok(command.query_async(&mut connection).await?)
    }
}

/// A Lua script, made once (a `LazyLock` static is the usual place) and run by its digest.
#[derive(Debug)]
pub struct RedisScript {
    script: Script,
    repeatable: bool,
}

impl RedisScript {
    /// A script that may run twice with the same arguments and mean the same, for instance because it knows its caller by
    /// an owner id. It is sent again after an unknown outcome.
    pub fn repeatable(lua: &str) -> Self {
        Self { script: Script::new(lua), repeatable: true }
    }

    /// A script that must not be sent twice: after an unknown outcome the caller hears so and decides.
    pub fn once(lua: &str) -> Self {
        Self { script: Script::new(lua), repeatable: false }
    }
}
