//! Where it all happens: a database of the service, a virtual host of the broker, and a wire to each.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use onceward_backend::internal::Sql;
use onceward_reliable_mq::{Broker, Outbox, RabbitMqBroker, RabbitMqOptions, Subscription};
use tempfile::TempDir;
use testkit::{Lent, Wire, eventually};
use tokio::time::sleep;

use crate::{crowd::SOON, server::Server};

/// Where messages go that the consumers handle.
pub const TOPIC: &str = "orders";
/// Where there is nobody: what is sent there fails, holds up its key and dies.
pub const NOWHERE: &str = "nowhere";
/// Where only the auditor listens, and now and then nobody does: what is sent there then fails, holds up its key and comes
/// later.
pub const NOW_AND_THEN: &str = "now-and-then";
/// The queue of the consumers.
pub const QUEUE: &str = "notify";
/// The queue that has every publish that found a queue, in the order of arrival. Only the auditor reads it.
pub const WITNESS: &str = "witness";
/// Several for each lane.
pub const KEYS: u64 = 24;

/// What a process is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    Producer,
    Relay,
    Consumer,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Producer, Self::Relay, Self::Consumer];

    pub fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|role| role.name() == name).unwrap()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Relay => "relay",
            Self::Consumer => "consumer",
        }
    }
}

/// How a process gets to all of it.
#[derive(Clone)]
pub struct Route {
    pub folder: PathBuf,
    pub database: String,
    pub broker: String,
}

impl Route {
    /// As the arguments of a child say.
    pub fn of(args: &[String]) -> Self {
        let [folder, database, broker] = args else { panic!("{args:?}") };
        Self { folder: folder.into(), database: database.clone(), broker: broker.clone() }
    }

    pub fn args(&self) -> [&str; 3] {
        [self.folder.to_str().unwrap(), &self.database, &self.broker]
    }
}

pub struct Place<D: Server> {
    folder: TempDir,
    database: Lent,
    host: Lent,
    pub outbox: Outbox<D>,
    pub to_database: Wire,
    pub to_broker: Wire,
}

impl<D: Server> Place<D> {
    pub async fn new() -> Self {
        let (database, host) = (D::fresh().await, testkit::rabbitmq::virtual_host().await);
        D::install(database.url()).await;
        let outbox = Outbox::<D>::new(D::sessions().connect(database.url()).await.unwrap());
        outbox.migrate().await.unwrap();
        let to_database = Wire::new(database.url(), b"COMMIT").await;
        let to_broker = Wire::new(host.url(), TOPIC.as_bytes()).await;
        let place = Self { folder: tempfile::tempdir().unwrap(), database, host, outbox, to_database, to_broker };
        place.prepare().await;
        place
    }

    /// The tables of the service, and the queues before the first message.
    async fn prepare(&self) {
        let (mut conn, sql) = (self.outbox.pool().acquire().await.unwrap(), Sql::<D>::new());
        for create in [
            "create table counter (msg_key {key} not null primary key, n bigint not null)",
            "create table orders (id {key} not null, topic {key} not null, msg_key {key} not null, n bigint not null)",
            "create table effect (id {key} not null)",
        ] {
            sql.sql(create).execute(&mut conn).await.unwrap();
        }
        for key in 0..KEYS {
            let insert = sql.sql("insert into counter (msg_key, n) values (?, 0)").bind(&key_name(key));
            insert.execute(&mut conn).await.unwrap();
        }
        let broker = RabbitMqBroker::new(self.host.url(), RabbitMqOptions::default()).unwrap();
        broker.subscribe(&Subscription::new(QUEUE).topic(TOPIC)).await.unwrap();
        let (_connection, channel) = channel(self.host.url()).await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(WITNESS.into(), durable, FieldTable::default()).await.unwrap();
        bind(&channel, TOPIC).await;
        bind(&channel, NOW_AND_THEN).await;
    }

    /// Nobody listens to a topic for so long.
    pub async fn deafen(&self, length: Duration) {
        let (_connection, channel) = channel(self.host.url()).await;
        let (exchange, arguments) = (RabbitMqOptions::default().exchange, FieldTable::default());
        channel.queue_unbind(WITNESS.into(), exchange.into(), NOW_AND_THEN.into(), arguments).await.unwrap();
        sleep(length).await;
        bind(&channel, NOW_AND_THEN).await;
    }

    /// Returns once the broker holds back whoever publishes.
    pub async fn is_held_back(&self) {
        let (connection, channel) = channel(self.host.url()).await;
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        // It is told so when it publishes; nobody listens.
        channel.basic_publish("".into(), "nobody".into(), options, b"", properties).await.unwrap();
        eventually(SOON, async || if connection.status().blocked() { Ok(()) } else { Err("nobody is held back") })
            .await;
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn wires(&self) -> [&Wire; 2] {
        [&self.to_broker, &self.to_database]
    }

    /// The way of the services, over wires that may be spoilt.
    pub fn route(&self) -> Route {
        self.by(self.to_database.url(), self.to_broker.url())
    }

    /// The way of the auditor.
    pub fn direct(&self) -> Route {
        self.by(self.database.url(), self.host.url())
    }

    fn by(&self, database: &str, broker: &str) -> Route {
        Route { folder: self.folder().to_owned(), database: database.to_owned(), broker: broker.to_owned() }
    }
}

pub fn key_name(key: u64) -> String {
    format!("customer-{key}")
}

async fn bind(channel: &Channel, topic: &str) {
    let exchange = RabbitMqOptions::default().exchange;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(WITNESS.into(), exchange.into(), topic.into(), options, arguments).await.unwrap();
}

/// A plain channel, which knows nothing of the crate; it closes with its connection.
pub async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}
