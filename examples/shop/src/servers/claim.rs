//! The right to be the only shop of a namespace: recovery takes whatever is undecided for left behind by a dead process, so
//! there must be no other that is alive.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, query, query_as, query_scalar};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{ServerError, Servers, connect};

/// Arbitrary; the lock is of the coordinator's database, and nothing else there takes one of this number.
const LOCK: i64 = 0x5348_4f50;
/// How often the holder looks whether its connection lives.
const LOOK: Duration = Duration::from_secs(1);
/// How long one try to hold the lock may take.
const TRY: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

/// Another shop is the one of this namespace.
#[derive(Debug, thiserror::Error)]
#[error("another shop runs under the namespace {0} of these servers; stop it or give another --namespace")]
pub struct Taken(pub String);

/// A session-level advisory lock in the coordinator's database, on a connection of its own: it goes with the connection,
/// so with the process.
#[derive(Debug)]
pub struct Claim {
    options: PgConnectOptions,
    conn: PgConnection,
    namespace: String,
}

/// One look at the lock.
enum Held {
    Ours(PgConnection),
    Theirs,
}

impl Servers {
    /// Claims the namespace; `None` if another shop has it and does not end within `patience`.
    ///
    /// # Errors
    /// If PostgreSQL does not answer.
    pub async fn claim(&self, patience: Duration) -> Result<Option<Claim>, ServerError> {
        // By its name the holder knows a session of its own that the server has not noticed to be dead.
        let name = format!("onceward-shop {}", Uuid::new_v4());
        let options = self.postgres.clone().database(&self.database("tc")).application_name(&name);
        let until = Instant::now() + patience;
        loop {
            if let Held::Ours(conn) = take(&options).await? {
                return Ok(Some(Claim { options, conn, namespace: self.namespace.to_string() }));
            }
            if Instant::now() > until {
                return Ok(None);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Claim {
    /// Keeps the claim for as long as this is polled: takes it again after its connection was lost.
    ///
    /// # Errors
    /// Ends only when another shop has taken it meanwhile.
    pub async fn keep(mut self) -> Taken {
        loop {
            sleep(LOOK).await;
            if matches!(timeout(TRY, self.conn.ping()).await, Ok(Ok(()))) {
                continue;
            }
            tracing::warn!("the connection that holds the claim on the namespace is lost");
            self.conn = loop {
                match timeout(TRY, take(&self.options)).await {
                    Ok(Ok(Held::Ours(conn))) => break conn,
                    Ok(Ok(Held::Theirs)) => return Taken(self.namespace),
                    Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
                }
            };
            tracing::info!("the namespace is claimed again");
        }
    }
}

async fn take(options: &PgConnectOptions) -> Result<Held, ServerError> {
    let told = |error| ServerError::silent("POSTGRES_URL", error);
    let mut conn: PgConnection = connect("POSTGRES_URL", options).await?;
    // A machine that vanished is noticed within half a minute.
    let watch = "select set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), \
                 set_config('tcp_keepalives_count', '4', false)";
    query(watch).execute(&mut conn).await.map_err(told)?;
    loop {
        let got = query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut conn).await;
        if got.map_err(told)? {
            return Ok(Held::Ours(conn));
        }
        let holder = query_as(
            "select l.pid, a.application_name from pg_locks l join pg_stat_activity a on a.pid = l.pid \
             where l.locktype = 'advisory' and l.classid = 0 and l.objid = $1::bigint::oid and l.granted \
             and l.database = (select oid from pg_database where datname = current_database())",
        );
        let holder: Option<(i32, Option<String>)> = holder.bind(LOCK).fetch_optional(&mut conn).await.map_err(told)?;
        match holder {
            Some((pid, name)) if name.as_deref() == options.get_application_name() => {
                // Ours, on a wire that is dead.
                query("select pg_terminate_backend($1)").bind(pid).execute(&mut conn).await.map_err(told)?;
                sleep(PAUSE).await;
            }
            Some(_) => return Ok(Held::Theirs),
            // Freed between the two looks.
            None => {}
        }
    }
}
