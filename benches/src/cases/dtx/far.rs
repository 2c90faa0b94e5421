//! A PostgreSQL database that is as far away as a job says.

use std::time::Duration;

use sqlx::PgPool;
use testkit::Lent;
use testkit::postgres::database;
use testkit::{Mode, Proxy};

use super::super::bare;
use super::{Job, ROWS, TABLE};
use crate::case::Setting;

/// How late the runtime's timer wakes whoever waits for one, in the mean: it knows milliseconds only.
const LATE: Duration = Duration::from_millis(1);

/// A database, and the wire that makes it far.
pub(super) struct Place {
    proxy: Option<Proxy>,
    database: Lent,
}

impl Place {
    /// A trip is there and back, so each way has half of the delay.
    pub(super) async fn new(trip: Duration) -> Self {
        let database = database().await;
        if trip.is_zero() {
            return Self { proxy: None, database };
        }
        let proxy = Proxy::in_front_of(database.url()).await;
        proxy.set(Mode::Delay((trip / 2).saturating_sub(LATE)));
        Self { proxy: Some(proxy), database }
    }

    pub(super) fn url(&self) -> &str {
        self.proxy.as_ref().map_or_else(|| self.database.url(), Proxy::url)
    }
}

/// The databases of a job, each with the table.
pub(super) async fn stocks(setting: Setting, job: Job) -> (Vec<Place>, Vec<PgPool>) {
    let (mut places, mut pools) = (Vec::new(), Vec::new());
    for _ in 0..job.databases {
        let (place, pool) = stock(setting, job).await;
        places.push(place);
        pools.push(pool);
    }
    (places, pools)
}

/// A database with the table.
pub(super) async fn stock(setting: Setting, job: Job) -> (Place, PgPool) {
    let place = Place::new(job.trip).await;
    let pool = bare::postgres_pool(place.url(), setting).await;
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    let fill = "insert into stock select n, 1000000, 'tea-' || n from generate_series(0, $1 - 1) n";
    sqlx::query(fill).bind(i64::try_from(ROWS).unwrap()).execute(&pool).await.unwrap();
    sqlx::query("vacuum analyze stock").execute(&pool).await.unwrap();
    (place, pool)
}
