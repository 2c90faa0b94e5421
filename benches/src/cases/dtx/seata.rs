//! On PostgreSQL by plain sqlx: a local transaction, and what Seata's AT sends to the database for the same updates.
//!
//! Only the statements: no coordinator is asked and no image is made, so this flatters it. Its asynchronous deletion of undo
//! records is one statement for up to a thousand of them, as in its own worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::far::{stock, stocks};
use super::{Job, UPDATE};
use crate::case::{Client, Setting, World};

struct Plain {
    pools: Vec<PgPool>,
    seed: u64,
    job: Job,
}

pub(super) async fn plain(setting: Setting, job: Job) -> World {
    let (places, pools) = stocks(setting, job).await;
    World::new((0..setting.clients).map(|_| Plain { pools: pools.clone(), seed: setting.seed, job })).keep(places)
}

#[async_trait]
impl Client for Plain {
    async fn turn(&self, turn: u64) -> u64 {
        for pool in &self.pools {
            let mut tx = pool.begin().await.unwrap();
            for id in self.job.ids(self.seed, turn) {
                sqlx::query(UPDATE).bind(id).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
        1
    }
}

/// The table of Seata's script for PostgreSQL.
const UNDO_LOG: &str = "create table undo_log (id serial primary key, branch_id bigint not null, xid varchar(128) not null, \
     context varchar(128) not null, rollback_info bytea not null, log_status integer not null, \
     log_created timestamp(0) not null, log_modified timestamp(0) not null, unique (xid, branch_id));\
     create index ix_log_created on undo_log (log_created)";

/// What its JSON parser writes for one row of three columns has about this size.
const ROLLBACK_INFO: [u8; 1000] = [b'j'; 1000];

struct Sequence {
    pool: PgPool,
    seed: u64,
    job: Job,
    done: UnboundedSender<(String, i64)>,
    waiting: Arc<AtomicUsize>,
}

pub(super) async fn sequence(setting: Setting, job: Job) -> World {
    let (place, pool) = stock(setting, job).await;
    sqlx::raw_sql(UNDO_LOG).execute(&pool).await.unwrap();
    let (done, due) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let second = PgPool::connect(place.url()).await.unwrap();
    let worker = TaskTracker::new();
    worker.spawn(forget(second, due, Arc::clone(&waiting)));
    worker.close();
    let client =
        |_| Sequence { pool: pool.clone(), seed: setting.seed, job, done: done.clone(), waiting: Arc::clone(&waiting) };
    World::new((0..setting.clients).map(client).collect::<Vec<_>>())
        .keep(place)
        .rest({
            let waiting = Arc::clone(&waiting);
            move || {
                let waiting = Arc::clone(&waiting);
                async move {
                    while waiting.load(Ordering::Acquire) > 0 {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        })
        .closing(async move {
            drop(done);
            worker.wait().await;
        })
}

#[async_trait]
impl Client for Sequence {
    async fn turn(&self, turn: u64) -> u64 {
        type Image = (i64, i64, String);
        let (xid, branch) = (format!("192.168.0.17:8091:{turn}"), i64::try_from(turn).unwrap());
        let mut tx = self.pool.begin().await.unwrap();
        let mut rollback_info = Vec::new();
        for id in self.job.ids(self.seed, turn) {
            let before = "select id, quantity, name from stock where id = $1 for update";
            let _: Image = sqlx::query_as(before).bind(id).fetch_one(&mut *tx).await.unwrap();
            sqlx::query(UPDATE).bind(id).execute(&mut *tx).await.unwrap();
            let after = "select id, quantity, name from stock where (id) in ((($1)))";
            let _: Image = sqlx::query_as(after).bind(id).fetch_one(&mut *tx).await.unwrap();
            rollback_info.extend(ROLLBACK_INFO);
        }
        sqlx::query(
            "insert into undo_log (branch_id, xid, context, rollback_info, log_status, log_created, log_modified) \
             values ($1, $2, $3, $4, $5, now(), now())",
        )
        .bind(branch)
        .bind(&xid)
        .bind("serializer=jackson&compressorType=NONE")
        .bind(rollback_info)
        .bind(0)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.done.send((xid, branch)).unwrap();
        1
    }
}

/// Deletes undo records, as many at once as wait, until no client is left.
async fn forget(pool: PgPool, mut due: UnboundedReceiver<(String, i64)>, waiting: Arc<AtomicUsize>) {
    let mut batch = Vec::new();
    while due.recv_many(&mut batch, 1000).await > 0 {
        let (xids, branches): (Vec<String>, Vec<i64>) = batch.drain(..).unzip();
        let count = branches.len();
        let delete = "delete from undo_log where branch_id = any($1) and xid = any($2)";
        sqlx::query(delete).bind(branches).bind(xids).execute(&pool).await.unwrap();
        waiting.fetch_sub(count, Ordering::AcqRel);
    }
}
