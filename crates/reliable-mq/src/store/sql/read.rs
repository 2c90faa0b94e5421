//! What a relay reads: of all its lanes with one statement.

use std::time::Duration;

use onceward_backend::{BackendError, Db, Dialect, internal::Statement};

use super::{
    SqlStore, lanes,
    row::{attempts, foreign, limit, with_origin},
};
use crate::{
    Error,
    store::{Budget, Due, Fetched, Lease, Place, Queued, Reach, Writers},
};

/// `epoch, shard, id, message_id, topic, msg_key, headers, payload, enqueued_at`
type HotRow = (i64, i64, i64, String, String, Option<String>, String, Vec<u8>, i64);
/// `hot_id, message_id, topic, msg_key, headers, payload, enqueued_at, attempts`
type DelayedRow = (i64, String, String, Option<String>, String, Vec<u8>, i64, i64);

/// A select of one lane, as often as there are lanes: what limits each must stand in its own.
macro_rules! each_lane {
    ($database:ty, $select:expr) => {
        if lanes(<$database>::DIALECT) == 1 {
            $select
        } else {
            concat!(
                "(",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ") union all (",
                $select,
                ")"
            )
        }
    };
}

/// What was never tried of a lane, under these conditions.
macro_rules! hot {
    ($conditions:literal) => {
        concat!(
            "select (select s.epoch from mq_shard s where s.shard = ?), \
             h.shard, h.id, h.message_id, h.topic, h.msg_key, h.headers, h.payload, h.enqueued_at from mq_hot h where ",
            $conditions,
            " order by h.shard, h.id limit ?"
        )
    };
}

impl<D: Db> SqlStore<D> {
    pub(super) async fn read_hot(&self, from: &[Reach], budget: Budget) -> Result<Fetched, Error> {
        let statement = self.sql.sql(match D::DIALECT {
            // Said so that there is one plan, which reads along the primary key. Where statistics are from a time when a table
            // was empty, or there are none, the planner expects a few rows of a lane, or some of a table that has none, and
            // would rather read and sort the lane than read a part of it in order. So the stretch is compared as rows, and what
            // is to be left out cannot become a join, nor be taken for all.
            Dialect::Postgres => each_lane!(
                D,
                hot!(
                    "(h.shard, h.id) > (?, ?) and (h.shard, h.id) <= (?, 9223372036854775807) \
                     and ((select not exists (select 1 from mq_delayed d where d.shard = ? and d.blocks = 1)) \
                     or not exists (select 1 from mq_delayed d \
                     where d.shard = h.shard and d.msg_key = h.msg_key and d.blocks = 1 offset 0)) \
                     and case when h.topic = any (array(select p.topic from mq_paused p)) then false else true end"
                )
            ),
            _ => each_lane!(
                D,
                hot!(
                    "h.shard = ? and h.id > ? and h.shard = ? and not exists (select 1 from mq_delayed d \
                     where d.shard = h.shard and d.msg_key = h.msg_key and d.blocks = 1) \
                     and not exists (select 1 from mq_paused p where p.topic = h.topic)"
                )
            ),
        });
        let most = limit(budget.messages);
        let statement = for_lanes(statement, from, |statement, reach| {
            let (lane, after) = reach.map_or((-1, 0), |reach| (i64::from(reach.lease.lane), reach.after));
            let statement = statement.bind(lane).bind(lane).bind(after).bind(lane);
            // Most of the time nothing blocks, and then that is asked once and not for each message.
            let statement = if D::DIALECT == Dialect::Postgres { statement.bind(lane) } else { statement };
            statement.bind(most)
        });
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let mut bytes = 0;
        let rows: Vec<HotRow> = statement
            .fetch_while(&mut conn, |(.., payload, _): &HotRow| {
                bytes += payload.len();
                bytes < budget.bytes
            })
            .await?;
        let mut fetched = Fetched::default();
        for (epoch, shard, sequence, id, topic, key, headers, payload, at) in rows {
            let lease = from.iter().map(|reach| &reach.lease).find(|lease| i64::from(lease.lane) == shard);
            let lease =
                lease.ok_or_else(|| BackendError::corrupt(D::DIALECT.name(), "a lane that was not asked for"))?;
            if epoch != lease.epoch {
                fetched.lost.push(lease.lane);
                continue;
            }
            let (envelope, flaw) = foreign(id, topic, key, &headers, payload, at);
            let (envelope, lane) = (with_origin(envelope, lease, sequence), lease.lane);
            fetched.queued.push(Queued { envelope, lane, place: Place::Hot, sequence, attempts: 0, flaw });
        }
        Ok(fetched)
    }

    /// Whoever has inserted into the table keeps a lock on it to the end, taken before the sequence was.
    pub(super) async fn find_writers(&self) -> Result<Option<Writers>, Error> {
        if D::DIALECT != Dialect::Postgres {
            return Ok(None);
        }
        let writers = self.sql.sql(
            "select virtualtransaction from pg_locks where locktype = 'relation' and mode = 'RowExclusiveLock' \
             and relation = 'mq_hot'::regclass and database = (select oid from pg_database where datname = current_database())",
        );
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let rows: Vec<(String,)> = writers.fetch_all(&mut conn).await?;
        Ok(Some(rows.into_iter().map(|(writer,)| writer).collect()))
    }

    pub(super) async fn find_due(&self, leases: &[Lease], budget: Budget) -> Result<Due, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        // One read while all lanes are idle; a lane has one owner, so nothing needs to be locked.
        let first = self
            .sql
            .sql(each_lane!(D, "select shard, due_at - {now} from mq_delayed where shard = ? order by due_at limit 1"));
        let first =
            for_lanes(first, leases, |statement, lease| statement.bind(lease.map_or(-1, |l| i64::from(l.lane))));
        let (mut due, mut bytes) = (Due::default(), 0);
        for (shard, wait) in first.fetch_all::<(i64, i64)>(&mut conn).await? {
            if wait > 0 {
                due.waits(Duration::from_micros(wait.unsigned_abs()));
                continue;
            }
            let Some(lease) = leases.iter().find(|lease| i64::from(lease.lane) == shard) else { continue };
            if bytes >= budget.bytes {
                continue;
            }
            let rows: Vec<DelayedRow> = self
                .sql
                .sql(
                    "select hot_id, message_id, topic, msg_key, headers, payload, enqueued_at, attempts from mq_delayed d \
                     where shard = ? and due_at <= (select {now}) \
                     and not exists (select 1 from mq_paused p where p.topic = d.topic) order by due_at, hot_id limit ?",
                )
                .bind(shard)
                .bind(limit(budget.messages))
                .fetch_while(&mut conn, |(_, _, _, _, _, payload, ..): &DelayedRow| {
                    bytes += payload.len();
                    bytes < budget.bytes
                })
                .await?;
            for (sequence, id, topic, key, headers, payload, at, spent) in rows {
                let (envelope, flaw) = foreign(id, topic, key, &headers, payload, at);
                let (envelope, attempts) = (with_origin(envelope, lease, sequence), attempts(spent));
                let (lane, place) = (lease.lane, Place::Delayed);
                due.ready.push(Queued { envelope, lane, place, sequence, attempts, flaw });
            }
        }
        Ok(due)
    }
}

/// Binds what belongs to each lane, and nothing's where a lane is not asked for.
fn for_lanes<D: Db, T>(
    mut statement: Statement<D>,
    asked: &[T],
    bind: impl Fn(Statement<D>, Option<&T>) -> Statement<D>,
) -> Statement<D> {
    for n in 0..lanes(D::DIALECT) as usize {
        statement = bind(statement, asked.get(n));
    }
    statement
}
