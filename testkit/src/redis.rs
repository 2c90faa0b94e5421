//! A Redis key prefix per test.

use std::sync::Once;
use std::time::SystemTime;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd};

use crate::namespace::is_leftover;
use crate::{namespace, teardown, url};

/// A key prefix that belongs to one test; the keys under it are removed when this guard is dropped.
#[derive(Debug)]
pub struct Prefix {
    prefix: String,
    url: String,
}

/// A new prefix at `REDIS_URL`, such as `tu1m3b2_0f3k29dkw1:`. The first call of a test program sweeps the keys that
/// test runs left there more than an hour ago.
///
/// # Panics
/// If the variable is absent.
///
/// ```no_run
/// let prefix = testkit::redis::prefix();
/// let key = format!("{}cart", prefix.as_str());
/// ```
#[must_use]
#[track_caller]
pub fn prefix() -> Prefix {
    static SWEPT: Once = Once::new();
    let url = url("REDIS_URL");
    SWEPT.call_once(|| {
        let url = url.clone();
        teardown::blocking("sweeping old keys of tests", async move {
            let now = SystemTime::now();
            let old = move |key: &str| key.split_once(':').is_some_and(|(name, _)| is_leftover(name, now));
            remove(&url, "t??????_??????????:*", old).await
        });
    });
    Prefix { prefix: format!("{}:", namespace()), url }
}

impl Prefix {
    /// The prefix, which ends in `:`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let (url, prefix) = (self.url.clone(), self.prefix.clone());
        teardown::blocking("removing a test's Redis keys", async move {
            remove(&url, &format!("{prefix}*"), |_| true).await
        });
    }
}

/// Unlinks the keys that match `pattern` and that `doomed` accepts.
async fn remove(url: &str, pattern: &str, doomed: impl Fn(&str) -> bool) -> Result<(), RedisError> {
    let mut connection: MultiplexedConnection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
        let keys: Vec<_> = keys.into_iter().filter(|key| doomed(&String::from_utf8_lossy(key))).collect();
        if !keys.is_empty() {
            cmd("UNLINK").arg(keys).query_async::<()>(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
