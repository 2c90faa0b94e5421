//! What answers at the services' URLs: ports, versions, and what an acknowledged write survives there.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use onceward_backend::redis;
use sqlx::{Connection, MySqlConnection, PgConnection};

/// The ports of the services.
///
/// # Panics
/// If a URL is not set.
pub fn ports() -> Vec<u16> {
    ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL"].iter().filter_map(|name| port(&testkit::url(name))).collect()
}

/// The port that a URL names.
fn port(url: &str) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    place.rsplit_once(':')?.1.parse().ok()
}

/// A line on each server and on SQLite.
///
/// # Panics
/// If one does not answer.
pub async fn described() -> Vec<String> {
    vec![postgres().await, mariadb().await, redis().await, rabbitmq(), sqlite().await]
}

async fn postgres() -> String {
    let mut conn = PgConnection::connect(&testkit::url("POSTGRES_URL")).await.unwrap();
    let names = ["server_version", "fsync", "full_page_writes", "synchronous_commit", "shared_buffers"];
    let mut values = Vec::new();
    for name in names {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut conn).await.unwrap();
        values.push(value);
    }
    format!("PostgreSQL {}: {}", values[0], listed(&names[1..], &values[1..]))
}

async fn mariadb() -> String {
    let mut conn = MySqlConnection::connect(&testkit::url("MYSQL_URL")).await.unwrap();
    let (version, flush, sync): (String, i64, i64) = sqlx::query_as(
        "select version(), cast(@@innodb_flush_log_at_trx_commit as signed), cast(@@sync_binlog as signed)",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    format!("MariaDB {version}: innodb_flush_log_at_trx_commit={flush}, sync_binlog={sync}")
}

async fn redis() -> String {
    let client = redis::Client::open(testkit::url("REDIS_URL")).unwrap();
    let mut conn = client.get_multiplexed_async_connection().await.unwrap();
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut conn).await.unwrap();
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?");
    let names = ["appendonly", "appendfsync", "save"];
    let config: HashMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg(&names).query_async(&mut conn).await.unwrap();
    let values: Vec<_> = names.iter().map(|name| config.get(*name).cloned().unwrap_or_default()).collect();
    format!("Redis {version}: {}", listed(&names, &values))
}

async fn sqlite() -> String {
    let pool = onceward_backend::sqlite::memory().await.unwrap();
    let version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(&pool).await.unwrap();
    format!("SQLite {version}: write-ahead log, synchronous=NORMAL, the coordinator's file FULL")
}

/// A server of this protocol greets with its properties.
fn rabbitmq() -> String {
    let port = port(&testkit::url("AMQP_URL")).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
    let mut greeting = vec![0; 4096];
    let length = stream.read(&mut greeting).unwrap();
    let version = property(&greeting[..length], "version").unwrap_or_else(|| "?".to_owned());
    format!("RabbitMQ {version}: durable classic queues, persistent messages, publisher confirms")
}

/// A text in a table of AMQP: name, `S`, length in four bytes, text.
fn property(table: &[u8], name: &str) -> Option<String> {
    let begin = [&[u8::try_from(name.len()).ok()?], name.as_bytes(), b"S"].concat();
    let at = table.windows(begin.len()).position(|part| part == begin)? + begin.len();
    let (length, rest) = table.get(at..)?.split_first_chunk::<4>()?;
    let text = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

fn listed(names: &[&str], values: &[String]) -> String {
    let pairs: Vec<_> = names.iter().zip(values).map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_url() {
        assert_eq!(port("postgres://u:p@127.0.0.1:5432/db?x=1:2"), Some(5432));
        assert_eq!(port("redis://127.0.0.1:6379/"), Some(6379));
        assert_eq!(port("redis://127.0.0.1/"), None);
    }

    #[test]
    fn a_property_is_found_in_a_greeting() {
        let greeting = b"..\x07versionS\0\0\0\x063.10.8\x08platformS\0\0\0\x06Erlang";
        assert_eq!(property(greeting, "version").as_deref(), Some("3.10.8"));
        assert_eq!(property(greeting, "platform").as_deref(), Some("Erlang"));
        assert_eq!(property(&greeting[..15], "version"), None);
        assert_eq!(property(b"", "version"), None);
    }
}
