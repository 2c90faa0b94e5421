//! A prefix for the streams of one test on NATS JetStream.

use std::time::SystemTime;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::namespace::is_leftover;
use crate::proxy::split;
use crate::{Lent, namespace, teardown, url};

/// A new prefix at `NATS_URL`, such as `tu1m3b2_0f3k29dkw1`: the streams whose names begin with it are deleted when the guard
/// is dropped. Sweeps those that test runs left there more than an hour ago.
///
/// # Panics
/// If the variable is absent or JetStream does not answer.
///
/// ```no_run
/// # async fn example() {
/// let prefix = testkit::nats::prefix().await;
/// let stream = format!("{}+orders", prefix.name());
/// // make it at prefix.url() ..
/// # }
/// ```
pub async fn prefix() -> Lent {
    let server = url("NATS_URL");
    let now = SystemTime::now();
    if let Err(error) = remove(&server, |name| name.get(..18).is_some_and(|name| is_leftover(name, now))).await {
        panic!("NATS_URL: {error}; are the services up (`cargo xtask up`)?");
    }
    let name = namespace();
    let (doomed, place) = (name.clone(), server.clone());
    Lent::new(name, server, move || {
        let (doomed, place) = (doomed.clone(), place.clone());
        teardown::blocking("deleting a test's streams", async move {
            remove(&place, |name| name.starts_with(&doomed)).await
        });
    })
}

/// Deletes the streams whose names are doomed.
async fn remove(server: &str, doomed: impl Fn(&str) -> bool) -> Result<(), String> {
    let mut wire = Wire::open(server).await?;
    let (mut all, mut seen) = (Vec::new(), 0);
    loop {
        let names = wire.ask("STREAM.NAMES", &format!("{{\"offset\":{seen}}}")).await?;
        // `"streams":["…","…"]`, and a name has nothing to escape.
        let list = names.split_once("\"streams\":[").map_or("", |(_, list)| list);
        let list: Vec<_> = list.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2).collect();
        if list.is_empty() {
            break;
        }
        seen += list.len();
        all.extend(list.into_iter().filter(|name| doomed(name)).map(str::to_owned));
    }
    for name in all {
        let answer = wire.ask(&format!("STREAM.DELETE.{name}"), "").await?;
        // Another test may be faster.
        if !answer.contains("\"success\":true") && !answer.contains("stream not found") {
            return Err(format!("{name}: {}", answer.trim()));
        }
    }
    Ok(())
}

/// As much of the protocol as that takes.
struct Wire {
    stream: BufReader<TcpStream>,
    /// Where answers come; everybody at the server would hear them at a common place.
    inbox: String,
}

impl Wire {
    async fn open(server: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(split(server).1).await.map_err(|error| error.to_string())?;
        let mut wire = Self { stream: BufReader::new(stream), inbox: namespace() };
        let subscribe = format!("CONNECT {{\"verbose\":false}}\r\nSUB {} 1\r\n", wire.inbox);
        wire.send(&subscribe).await?;
        Ok(wire)
    }

    async fn send(&mut self, text: &str) -> Result<(), String> {
        self.stream.get_mut().write_all(text.as_bytes()).await.map_err(|error| error.to_string())
    }

    /// One request to JetStream and its answer.
    async fn ask(&mut self, verb: &str, body: &str) -> Result<String, String> {
        let request = format!("PUB $JS.API.{verb} {} {}\r\n{body}\r\n", self.inbox, body.len());
        self.send(&request).await?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.map_err(|error| error.to_string())? == 0 {
                return Err("the server has closed the connection".to_owned());
            }
            if line.starts_with("PING") {
                self.send("PONG\r\n").await?;
            } else if line.starts_with("-ERR") {
                return Err(line.trim().to_owned());
            } else if line.starts_with("MSG ") {
                let length = line.trim().rsplit(' ').next().and_then(|length| length.parse::<usize>().ok());
                let mut answer = vec![0; length.ok_or("a message without its length")? + 2];
                self.stream.read_exact(&mut answer).await.map_err(|error| error.to_string())?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
        }
    }
}

#[cfg(all(test, feature = "test-nats"))]
#[allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]
mod tests {
    use super::*;

    async fn make(name: &str) {
        let mut wire = Wire::open(&url("NATS_URL")).await.unwrap();
        let body = format!("{{\"name\":\"{name}\",\"subjects\":[\"{name}\"],\"storage\":\"memory\"}}");
        let answer = wire.ask(&format!("STREAM.CREATE.{name}"), &body).await.unwrap();
        assert!(answer.contains("\"did_create\":true"), "{answer}");
    }

    async fn exists(name: &str) -> bool {
        let mut wire = Wire::open(&url("NATS_URL")).await.unwrap();
        !wire.ask(&format!("STREAM.INFO.{name}"), "").await.unwrap().contains("stream not found")
    }

    #[tokio::test]
    async fn streams_live_as_long_as_their_guard_and_leftovers_of_dead_runs_are_swept() {
        let old = "t000001_0123456789+left";
        make(old).await;
        let (mine, other) = (prefix().await, prefix().await);
        assert!(!exists(old).await);
        let (name, kept) = (format!("{}+a", mine.name()), format!("{}+a", other.name()));
        make(&name).await;
        make(&kept).await;
        drop(mine);
        assert!(!exists(&name).await);
        assert!(exists(&kept).await, "another test's stream");
    }
}
