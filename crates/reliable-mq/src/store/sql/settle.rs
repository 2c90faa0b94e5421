//! What became of messages.

use std::time::Duration;

use onceward_backend::{
    BackendError, Conn, Db,
    internal::{begin, commit},
};

use super::{
    SqlStore,
    batch::{is_one_statement, is_plain},
    row::{attempts, envelope, limit, with_origin},
};
use crate::{
    Error, ident,
    store::{Due, History, Lease, Place, Queued, Settled, Status, Verdict},
};

/// `hot_id, message_id, topic, msg_key, headers, payload, enqueued_at, attempts`
type DelayedRow = (i64, String, String, Option<String>, String, Vec<u8>, i64, i64);

impl<D: Db> SqlStore<D> {
    pub(super) async fn find_due(&self, lease: &Lease, most: usize) -> Result<Due, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        // One read on an idle lane; a lane has one owner, so nothing needs to be locked.
        let next: Option<(i64,)> = self
            .sql
            .sql("select due_at - {now} from mq_delayed where shard = ? order by due_at limit 1")
            .bind(i64::from(lease.lane))
            .fetch_optional(&mut conn)
            .await?;
        match next {
            None => return Ok(Due::default()),
            Some((wait,)) if wait > 0 => {
                return Ok(Due { ready: Vec::new(), next: Some(Duration::from_micros(wait.unsigned_abs())) });
            }
            Some(_) => {}
        }
        let rows: Vec<DelayedRow> = self
            .sql
            .sql(
                "select hot_id, message_id, topic, msg_key, headers, payload, enqueued_at, attempts from mq_delayed \
                 where shard = ? and due_at <= {now} order by due_at, hot_id limit ?",
            )
            .bind(i64::from(lease.lane))
            .bind(limit(most))
            .fetch_all(&mut conn)
            .await?;
        let ready = rows.into_iter().map(|(sequence, id, topic, key, headers, payload, at, spent)| {
            let envelope = envelope(D::DIALECT.name(), id, topic, key, &headers, payload, at)?;
            let envelope = with_origin(envelope, lease, sequence);
            Ok(Queued { envelope, place: Place::Delayed, sequence, attempts: attempts(spent) })
        });
        Ok(Due { ready: ready.collect::<Result<_, Error>>()?, next: None })
    }

    pub(super) async fn settle_all(
        &self,
        lease: &Lease,
        history: History,
        settled: &[(Queued, Verdict)],
    ) -> Result<Settled, Error> {
        let mut report = Settled::default();
        if settled.is_empty() {
            return Ok(report);
        }
        let plain: Vec<&Queued> = settled.iter().filter(|one| is_plain::<D>(one)).map(|(queued, _)| queued).collect();
        if plain.len() == settled.len() && is_one_statement::<D>(history) {
            let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
            let gone = self.forget_all(&mut conn, lease, history, &plain).await?;
            report.add(gone, plain.len());
            return Ok(report);
        }
        let mut tx = begin(&self.pool).await?;
        if !plain.is_empty() {
            let gone = self.forget_all(&mut tx, lease, history, &plain).await?;
            report.add(gone, plain.len());
        }
        if settled.iter().any(|(_, verdict)| *verdict != Verdict::Sent) {
            let mine: Option<(i64,)> = self
                .sql
                .sql("select epoch from mq_shard where shard = ? and owner = ? and epoch = ? {for_update}")
                .bind(i64::from(lease.lane))
                .bind(&lease.owner)
                .bind(lease.epoch)
                .fetch_optional(&mut tx)
                .await?;
            report.fenced = mine.is_none();
        }
        for (queued, verdict) in settled.iter().filter(|one| !is_plain::<D>(one)) {
            let moved = match verdict {
                Verdict::Sent => self.forget(&mut tx, lease, queued).await?,
                _ if report.fenced => continue,
                Verdict::Retry { after, error } => self.postpone(&mut tx, lease, queued, *after, error).await?,
                Verdict::Dead { error } => self.bury(&mut tx, lease, queued, error).await?,
            };
            if !moved {
                report.gone += 1;
                continue;
            }
            report.done += 1;
            match verdict {
                Verdict::Sent if history == History::Off => {}
                Verdict::Sent => self.log_attempt(&mut tx, queued, Status::Sent, None).await?,
                Verdict::Retry { error, .. } => {
                    self.log_attempt(&mut tx, queued, Status::Failed, Some(error.as_str())).await?
                }
                Verdict::Dead { error } => {
                    self.log_attempt(&mut tx, queued, Status::Dead, Some(error.as_str())).await?
                }
            }
        }
        commit(tx).await?;
        Ok(report)
    }

    async fn forget(&self, conn: &mut impl Conn<D>, lease: &Lease, queued: &Queued) -> Result<bool, BackendError> {
        let delete = match queued.place {
            Place::Hot => "delete from mq_hot where shard = ? and id = ? and message_id = ?",
            Place::Delayed => "delete from mq_delayed where shard = ? and hot_id = ? and message_id = ?",
        };
        let delete = self.sql.sql(delete).bind(i64::from(lease.lane)).bind(queued.sequence);
        Ok(delete.bind(queued.envelope.id.as_str()).execute(conn).await? == 1)
    }

    async fn postpone(
        &self,
        conn: &mut impl Conn<D>,
        lease: &Lease,
        queued: &Queued,
        after: Duration,
        error: &str,
    ) -> Result<bool, BackendError> {
        let spent = i64::from(queued.attempts) + 1;
        let postpone = match queued.place {
            Place::Delayed => self.sql.sql(
                "update mq_delayed set attempts = ?, due_at = {now} + ?, failed_at = {now}, last_error = ? \
                 where shard = ? and hot_id = ? and message_id = ?",
            ),
            // A message without a key blocks nobody. The same id twice in the lane becomes one.
            Place::Hot => self.sql.sql(
                "{insert_ignore} mq_delayed (attempts, due_at, failed_at, last_error, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at, blocks) \
                 select ?, {now} + ?, {now}, ?, shard, id, message_id, topic, msg_key, headers, payload, enqueued_at, \
                 case when msg_key is null then 0 else 1 end from mq_hot \
                 where shard = ? and id = ? and message_id = ? {or_ignore}",
            ),
        };
        let done = postpone
            .bind(spent)
            .bind(ident::micros(after))
            .bind(error)
            .bind(i64::from(lease.lane))
            .bind(queued.sequence)
            .bind(queued.envelope.id.as_str())
            .execute(conn)
            .await?;
        match queued.place {
            Place::Delayed => Ok(done == 1),
            Place::Hot => self.forget(conn, lease, queued).await,
        }
    }

    async fn bury(
        &self,
        conn: &mut impl Conn<D>,
        lease: &Lease,
        queued: &Queued,
        error: &str,
    ) -> Result<bool, BackendError> {
        let bury = match queued.place {
            Place::Hot => {
                "{insert_ignore} mq_dead (attempts, last_error, dead_at, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select ?, ?, {now}, shard, id, message_id, topic, msg_key, headers, payload, enqueued_at from mq_hot \
                 where shard = ? and id = ? and message_id = ? {or_ignore}"
            }
            Place::Delayed => {
                "{insert_ignore} mq_dead (attempts, last_error, dead_at, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select ?, ?, {now}, shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at from mq_delayed \
                 where shard = ? and hot_id = ? and message_id = ? {or_ignore}"
            }
        };
        self.sql
            .sql(bury)
            .bind(i64::from(queued.attempts) + 1)
            .bind(error)
            .bind(i64::from(lease.lane))
            .bind(queued.sequence)
            .bind(queued.envelope.id.as_str())
            .execute(conn)
            .await?;
        self.forget(conn, lease, queued).await
    }

    async fn log_attempt(
        &self,
        conn: &mut impl Conn<D>,
        queued: &Queued,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), BackendError> {
        self.sql
            .sql("insert into mq_history (message_id, topic, status, attempt, error, at) values (?, ?, ?, ?, ?, {now})")
            .bind(queued.envelope.id.as_str())
            .bind(queued.envelope.topic())
            .bind(status.as_str())
            .bind(i64::from(queued.attempts) + 1)
            .bind(error)
            .execute(conn)
            .await?;
        Ok(())
    }
}
