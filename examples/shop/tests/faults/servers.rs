//! A server that is stopped, or killed, and started again.

use std::time::Duration;

use onceward_backend::redis::{Client, cmd};
use testkit::eventually;
use tokio::time::Instant;

use crate::scene::Scene;
use crate::support::{SOON, plenty, reply};

const IN_REDIS: [&str; 4] = ["carts", "logins", "sessions", "tokens"];
const IN_POSTGRES: [&str; 5] = ["coordinator", "orders", "stock", "users", "wallet"];

/// Redis has written to its file what it acknowledged before the last second.
async fn written() {
    let client = Client::open(testkit::url("REDIS_URL")).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    eventually(SOON, async || {
        let info: String = cmd("INFO").arg("persistence").query_async(&mut connection.clone()).await.unwrap();
        if info.lines().any(|line| line == "aof_buffer_length:0") { Ok(()) } else { Err(info) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_stopped_and_started_then_killed_and_started() {
    let mut scene = Scene::with("redis").await;
    let dave = scene.shop.member("dave").await;
    dave.put(&plenty(0).0, 3).await;
    written().await;
    for kill in [false, true] {
        match kill {
            false => scene.service.stop().await,
            true => scene.service.kill().await,
        }
        scene.down(&IN_REDIS).await;
        scene.refusals().await;
        scene.shows_pages(503).await;
        scene.service.start().await;
        scene.well().await;
        scene.orders(3).await;
        scene.shows_pages(200).await;
        assert_eq!(dave.lines().await, [(plenty(0).0, 3)], "still signed in, with the cart of more than a second ago");
    }
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_and_started_then_killed_and_started() {
    let mut scene = Scene::with("postgres").await;
    for kill in [false, true] {
        match kill {
            false => scene.service.stop().await,
            true => scene.service.kill().await,
        }
        scene.down(&IN_POSTGRES).await;
        scene.refusals().await;
        // What is in Redis and in the program goes on.
        scene.shows_pages(200).await;
        scene.service.start().await;
        scene.well().await;
        scene.orders(3).await;
    }
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_away_for_half_a_minute() {
    let mut scene = Scene::with("rabbitmq").await;
    scene.service.stop().await;
    let since = Instant::now();
    scene.down(&["broker"]).await;
    let (ordered, sent) = (scene.ordered(), scene.shop.place.notifications().await);
    scene.orders(5).await;
    // How long it is away is what is tested.
    tokio::time::sleep_until(since + Duration::from_secs(30)).await;
    scene.shows_pages(200).await;
    assert!(scene.ordered() >= ordered + 15, "orders go on");
    assert_eq!(scene.shop.place.notifications().await, sent, "and their notifications wait");
    scene.service.start().await;
    scene.well().await;
    scene.orders(3).await;
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_killed_and_started() {
    let mut scene = Scene::with("mariadb").await;
    scene.service.kill().await;
    scene.down(&["notify"]).await;
    scene.orders(5).await;
    scene.shows_pages(200).await;
    scene.service.start().await;
    scene.well().await;
    scene.orders(3).await;
    scene.ends().await;
}
