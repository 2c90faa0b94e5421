//! Taking a running Redis away and giving it back.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test program")]

use std::process::Command;
use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use testkit::{Service, eventually};

const SOON: Duration = Duration::from_secs(10);

async fn connect() -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(testkit::url("REDIS_URL"))?.get_multiplexed_async_connection().await
}

/// Writes, and waits until the append-only file has it.
async fn write(key: &str) {
    let mut connection = connect().await.unwrap();
    connection.set::<_, _, ()>(key, "kept").await.unwrap();
    eventually(SOON, async || {
        let info: String = redis::cmd("INFO").arg("persistence").query_async(&mut connection.clone()).await.unwrap();
        let written = ["aof_enabled:1", "aof_buffer_length:0", "aof_last_write_status:ok"];
        if written.iter().all(|line| info.lines().any(|l| l == *line)) { Ok(()) } else { Err(info) }
    })
    .await;
}

async fn read(key: &str) -> Option<String> {
    connect().await.unwrap().get(key).await.unwrap()
}

#[tokio::test]
async fn a_stopped_service_is_away_and_comes_back_with_its_data() {
    let prefix = testkit::redis::prefix();
    let key = format!("{}key", prefix.as_str());
    let mut redis = Service::named("redis").await;
    write(&key).await;
    redis.stop().await;
    assert!(connect().await.is_err(), "nobody listens");
    redis.start().await;
    assert_eq!(read(&key).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_killed_service_has_what_its_file_had() {
    let prefix = testkit::redis::prefix();
    let key = format!("{}key", prefix.as_str());
    let mut redis = Service::named("redis").await;
    write(&key).await;
    redis.kill().await;
    assert!(connect().await.is_err(), "nobody listens");
    redis.start().await;
    assert_eq!(read(&key).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_service_comes_back_when_its_guard_goes_also_in_a_panic() {
    let failed = tokio::spawn(async {
        let mut redis = Service::named("redis").await;
        redis.kill().await;
        panic!("the test fails meanwhile");
    });
    assert!(failed.await.unwrap_err().is_panic());
    let _turn = Service::named("redis").await;
    assert!(connect().await.is_ok());
}

#[tokio::test]
async fn a_service_of_somebody_else_is_not_ours_to_stop() {
    let denied = tokio::spawn(async { Service::named("mongo").await.stop().await });
    let message = denied.await.unwrap_err().into_panic();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("no service `mongo`"), "{message}");

    let tool = std::env::var("ONCEWARD_XTASK").unwrap();
    let elsewhere = Command::new(tool).args(["halt", "redis"]).env("REDIS_URL", "redis://127.0.0.1:1/").output();
    let elsewhere = elsewhere.unwrap();
    let message = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(!elsewhere.status.success() && message.contains("not ours"), "{message}");
    // Another test has it stopped now and then.
    let _turn = Service::named("redis").await;
    assert!(connect().await.is_ok());
}
