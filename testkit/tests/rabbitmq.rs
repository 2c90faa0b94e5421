//! A virtual host per test, on a running RabbitMQ.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use testkit::rabbitmq::virtual_host;

async fn connect(url: &str) -> lapin::Result<Connection> {
    Connection::connect(url, ConnectionProperties::default()).await
}

async fn exists(name: &str) -> bool {
    let url = testkit::url("AMQP_URL");
    connect(&format!("{}/{name}", url.rsplit_once('/').unwrap().0)).await.is_ok()
}

#[tokio::test]
async fn a_virtual_host_lives_as_long_as_its_guard() {
    let (first, second) = (virtual_host().await, virtual_host().await);
    let mine = connect(first.url()).await.unwrap().create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    mine.queue_declare("mine".into(), durable, FieldTable::default()).await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let other = connect(second.url()).await.unwrap().create_channel().await.unwrap();
    let seen = other.queue_declare("mine".into(), passive, FieldTable::default()).await;
    assert!(seen.is_err(), "tests do not see each other");
    let name = first.name().to_owned();
    assert!(exists(&name).await);
    drop(first);
    assert!(!exists(&name).await, "deleted, though a connection was open");
}
