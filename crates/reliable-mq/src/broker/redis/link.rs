//! The connection to Redis.

use std::{collections::HashMap, fmt, time::Duration};

use onceward_backend::{BackendError, ErrorClass};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script,
    aio::MultiplexedConnection,
};

use super::{RedisOptions, settings};
use crate::{
    Error,
    broker::{
        Durability,
        kept::{Kept, broker},
    },
};

/// One connection, used until it is lost or does not answer.
pub(super) struct Link {
    client: Client,
    timeout: Duration,
    /// What the server must be set for; `None`: it is not asked.
    promise: Option<Durability>,
    kept: Kept<MultiplexedConnection>,
}

impl Link {
    pub(super) fn new(url: &str, options: &RedisOptions) -> Result<Self, Error> {
        // The parser's own message might quote the password.
        let client = Client::open(url).map_err(|_| broker("this is not a redis url"))?;
        let promise = Some(options.durability).filter(|promise| options.check && settings::matter(*promise));
        Ok(Self { client, timeout: options.timeout, promise, kept: Kept::new(options.reconnect) })
    }

    /// Runs one script. Never twice: what is sent and not answered may have happened.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<T, Error> {
        let mut call = script.prepare_invoke();
        call.key(keys).arg(args);
        self.talk(self.timeout, async |connection| call.invoke_async(connection).await).await
    }

    /// Sends one command, once.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.talk(self.timeout, async |connection| command.query_async(connection).await).await
    }

    /// Sends many commands at once, and answers what became of each.
    pub(super) async fn send(&self, timeout: Duration, all: &Pipeline) -> Result<Vec<RedisResult<i64>>, Error> {
        self.talk(timeout, async |connection| all.query_async(connection).await).await
    }

    async fn talk<T>(
        &self,
        timeout: Duration,
        talk: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        // None is known to be lost before it is used.
        let live = self.kept.live(|_| true, self.connect()).await?;
        let mut connection = MultiplexedConnection::clone(&live);
        let (error, lost) = match tokio::time::timeout(timeout, talk(&mut connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                let lost = error.kind() == ErrorKind::Io || error.is_unrecoverable_error();
                (BackendError::from(error).into(), lost)
            }
            Err(_elapsed) => (broker("no answer in time"), true),
        };
        if lost {
            self.kept.give_up(&live).await;
        }
        Err(error)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        // One time limit for all of it, and ours.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connect = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            if let Some(promise) = self.promise {
                let ask = redis::cmd("CONFIG").arg("GET").arg(&settings::NAMES).to_owned();
                let told: HashMap<String, String> = ask.query_async(&mut connection).await?;
                let check = settings::check(promise, &told);
                check.map_err(|why| BackendError::new("redis", ErrorClass::Unavailable, why))?;
            }
            Ok::<_, BackendError>(connection)
        };
        match tokio::time::timeout(self.timeout, connect).await {
            Ok(connection) => Ok(connection?),
            Err(_elapsed) => Err(broker("no answer in time")),
        }
    }
}

/// Whether it is the server that says so, and not the lack of one.
pub(super) fn answered(error: &Error) -> bool {
    let Error::Backend(error) = error else { return false };
    let met = std::error::Error::source(error).and_then(|source| source.downcast_ref::<RedisError>());
    met.is_none_or(|met| met.kind() != ErrorKind::Io)
}

/// The error with the words of the server in it.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::Backend(error) => reason(error),
        error => error.to_string(),
    }
}

pub(super) fn reason(error: &BackendError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl fmt::Debug for Link {
    // Not the address: it has the password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
