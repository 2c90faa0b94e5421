//! Gathers what there is: in the database by plain SQL, in the broker from a queue that nobody else reads.

use std::time::Duration;

use lapin::{
    Channel, Connection,
    options::{BasicGetOptions, QueueDeclareOptions},
    types::FieldTable,
};
use onceward_backend::{
    internal::{Columns, Sql},
    sqlx::Pool,
};
use tokio::time::{Instant, sleep};

use crate::{
    audit::{Evidence, Order},
    place::{Place, QUEUE, Route, TOPIC, WITNESS, channel},
    server::Server,
};

/// The longest until everything has arrived and had its effect.
const BOUND: Duration = Duration::from_secs(40);

pub struct Auditor<D: Server> {
    pool: Pool<D>,
    route: Route,
}

impl<D: Server> Auditor<D> {
    pub async fn new(place: &Place<D>) -> Self {
        let route = place.direct();
        Self { pool: Pool::<D>::connect(&route.database).await.unwrap(), route }
    }

    /// Returns once nothing waits anywhere, or when it has waited long enough: what is left then is a finding.
    pub async fn quiet(&self) {
        let began = Instant::now();
        let (_connection, channel) = self.channel().await;
        while began.elapsed() < BOUND {
            let waiting = "select (select count(*) from mq_hot) + (select count(*) from mq_delayed)";
            let missing = "select count(*) from orders o where o.topic = ? and not exists (select 1 from effect e where e.id = o.id)";
            let waiting = self.rows::<(i64,)>(waiting).await[0].0;
            let mut conn = self.pool.acquire().await.unwrap();
            let missing = Sql::<D>::new().sql(missing).bind(TOPIC).fetch_one::<(i64,)>(&mut conn).await.unwrap().0;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queued = channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await.unwrap();
            if waiting + missing + i64::from(queued.message_count()) == 0 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Empties the queue of the witness.
    pub async fn gather(&self) -> Evidence {
        let orders = self.rows::<(String, String, String, i64)>("select id, topic, msg_key, n from orders").await;
        Evidence {
            orders: orders.into_iter().map(|(id, topic, key, n)| (id, Order { topic, key, n })).collect(),
            arrivals: self.arrivals().await,
            hot: self.rows("select message_id from mq_hot").await.into_iter().map(|(id,)| id).collect(),
            delayed: self.rows("select message_id, last_error from mq_delayed").await.into_iter().collect(),
            dead: self.rows("select message_id, last_error from mq_dead").await.into_iter().collect(),
            history: self.rows("select message_id, status, error from mq_history").await,
            effects: self.rows("select id from effect").await.into_iter().map(|(id,)| id).collect(),
        }
    }

    async fn arrivals(&self) -> Vec<(String, String)> {
        let (_connection, channel) = self.channel().await;
        let mut arrivals = Vec::new();
        while let Some(got) = channel.basic_get(WITNESS.into(), BasicGetOptions { no_ack: true }).await.unwrap() {
            let id = got.delivery.properties.message_id().as_ref().map_or("", |id| id.as_str()).to_owned();
            arrivals.push((id, String::from_utf8(got.delivery.data).unwrap()));
        }
        arrivals
    }

    async fn channel(&self) -> (Connection, Channel) {
        channel(&self.route.broker).await
    }

    async fn rows<T: Columns>(&self, select: &'static str) -> Vec<T> {
        let mut conn = self.pool.acquire().await.unwrap();
        Sql::<D>::new().sql(select).fetch_all(&mut conn).await.unwrap()
    }
}
