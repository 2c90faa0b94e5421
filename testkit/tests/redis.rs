//! A key prefix per test, on a running Redis.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use redis::AsyncCommands;
use testkit::redis::prefix;

#[tokio::test]
async fn keys_live_as_long_as_their_guard() {
    let client = redis::Client::open(testkit::url("REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let old = "t000001_0123456789:left";
    connection.set::<_, _, ()>(old, 1).await.unwrap();
    let (mine, other) = (prefix(), prefix());
    assert_ne!(mine.as_str(), other.as_str());
    assert!(!connection.exists::<_, bool>(old).await.unwrap(), "leftovers of dead runs are swept");
    let keys: Vec<String> = (0..2500).map(|n| format!("{}{n}", mine.as_str())).collect();
    for key in &keys {
        connection.set::<_, _, ()>(key, 1).await.unwrap();
    }
    let kept = format!("{}kept", other.as_str());
    connection.set::<_, _, ()>(&kept, 1).await.unwrap();
    drop(mine);
    assert_eq!(connection.exists::<_, i64>(&keys).await.unwrap(), 0);
    assert!(connection.exists::<_, bool>(&kept).await.unwrap(), "another test's key");
}
