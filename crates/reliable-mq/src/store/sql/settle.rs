//! What became of messages.

use std::time::Duration;

use onceward_backend::{
    BackendError, Conn, Db,
    internal::{begin, commit},
};

use super::{
    SqlStore,
    batch::{is_one_statement, is_plain},
};
use crate::{
    Error, ident,
    store::{BatchRow, Batches, History, Lease, Place, Queued, Settled, Status, Verdict},
};

impl<D: Db> SqlStore<D> {
    pub(super) async fn settle_all(
        &self,
        leases: &[Lease],
        history: History,
        settled: &[(&Queued, Verdict)],
    ) -> Result<Settled, Error> {
        let mut report = Settled::default();
        if settled.is_empty() {
            return Ok(report);
        }
        let plain: Vec<&Queued> = settled.iter().filter(|one| is_plain::<D>(one)).map(|(queued, _)| *queued).collect();
        if plain.len() == settled.len() && is_one_statement::<D>(history) {
            let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
            let gone = self.forget_all(&mut conn, history, &plain, true).await?;
            report.add(gone, plain.len());
            return Ok(report);
        }
        let mut tx = begin(&self.pool).await?;
        if !plain.is_empty() {
            // Failures are in it, which are waited for: attempts must not come back.
            let gone = self.forget_all(&mut tx, history, &plain, false).await?;
            report.add(gone, plain.len());
        }
        for lease in Settled::failing(leases, settled) {
            let mine: Option<(i64,)> = self
                .sql
                .sql("select epoch from mq_shard where shard = ? and owner = ? and epoch = ? {for_update}")
                .bind(i64::from(lease.lane))
                .bind(&lease.owner)
                .bind(lease.epoch)
                .fetch_optional(&mut tx)
                .await?;
            if mine.is_none() {
                report.fenced.push(lease.lane);
            }
        }
        let mut batches = Batches::default();
        for (queued, verdict) in settled.iter().filter(|one| !is_plain::<D>(one)) {
            let moved = match verdict {
                Verdict::Sent => self.forget(&mut tx, queued).await?,
                _ if report.fenced.contains(&queued.lane) => continue,
                Verdict::Retry { after, error, blocks } => {
                    self.postpone(&mut tx, queued, *after, error, *blocks).await?
                }
                Verdict::Dead { error } => self.bury(&mut tx, queued, error).await?,
            };
            if !moved {
                report.gone += 1;
                continue;
            }
            report.done += 1;
            match verdict {
                Verdict::Sent if history == History::Off => {}
                Verdict::Sent if history == History::Batches && queued.place == Place::Hot => {
                    batches.add(queued.lane, queued.sequence, 0)
                }
                Verdict::Sent => self.log_attempt(&mut tx, queued, Status::Sent, None).await?,
                Verdict::Retry { error, .. } => {
                    self.log_attempt(&mut tx, queued, Status::Failed, Some(error.as_str())).await?
                }
                Verdict::Dead { error } => {
                    self.log_attempt(&mut tx, queued, Status::Dead, Some(error.as_str())).await?
                }
            }
        }
        for batch in batches.rows() {
            self.log_batch(&mut tx, &batch).await?;
        }
        commit(tx).await?;
        Ok(report)
    }

    async fn forget(&self, conn: &mut impl Conn<D>, queued: &Queued) -> Result<bool, BackendError> {
        let delete = match queued.place {
            Place::Hot => "delete from mq_hot where shard = ? and id = ? and message_id = ?",
            Place::Delayed => "delete from mq_delayed where shard = ? and hot_id = ? and message_id = ?",
        };
        let delete = self.sql.sql(delete).bind(i64::from(queued.lane)).bind(queued.sequence);
        Ok(delete.bind(queued.envelope.id.as_str()).execute(conn).await? == 1)
    }

    async fn postpone(
        &self,
        conn: &mut impl Conn<D>,
        queued: &Queued,
        after: Duration,
        error: &str,
        blocks: bool,
    ) -> Result<bool, BackendError> {
        let spent = i64::from(queued.attempts) + 1;
        let postpone = match queued.place {
            Place::Delayed => self.sql.sql(
                "update mq_delayed set attempts = ?, due_at = {now} + ?, failed_at = {now}, last_error = ? \
                 where shard = ? and hot_id = ? and message_id = ?",
            ),
            // The same id twice in the lane becomes one.
            Place::Hot => self.sql.sql(
                "{insert_ignore} mq_delayed (attempts, due_at, failed_at, last_error, blocks, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select ?, {now} + ?, {now}, ?, ?, shard, id, message_id, topic, msg_key, headers, payload, enqueued_at \
                 from mq_hot \
                 where shard = ? and id = ? and message_id = ? {or_ignore}",
            ),
        };
        let postpone = postpone.bind(spent).bind(ident::micros(after)).bind(error);
        // What was released stays released, and a message without a key blocks nobody.
        let postpone = match queued.place {
            Place::Delayed => postpone,
            Place::Hot => postpone.bind(i64::from(blocks && queued.envelope.key().is_some())),
        };
        let done = postpone
            .bind(i64::from(queued.lane))
            .bind(queued.sequence)
            .bind(queued.envelope.id.as_str())
            .execute(conn)
            .await?;
        match queued.place {
            Place::Delayed => Ok(done == 1),
            Place::Hot => self.forget(conn, queued).await,
        }
    }

    async fn bury(&self, conn: &mut impl Conn<D>, queued: &Queued, error: &str) -> Result<bool, BackendError> {
        let bury = match queued.place {
            Place::Hot => {
                "{insert_ignore} mq_dead (attempts, last_error, dead_at, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select ?, ?, {now}, shard, id, coalesce(?, message_id), topic, msg_key, headers, payload, enqueued_at \
                 from mq_hot \
                 where shard = ? and id = ? and message_id = ? {or_ignore}"
            }
            Place::Delayed => {
                "{insert_ignore} mq_dead (attempts, last_error, dead_at, \
                 shard, hot_id, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select ?, ?, {now}, shard, hot_id, coalesce(?, message_id), topic, msg_key, headers, payload, enqueued_at \
                 from mq_delayed \
                 where shard = ? and hot_id = ? and message_id = ? {or_ignore}"
            }
        };
        let place = async |conn: &mut _, id: Option<&str>| {
            let bury = self.sql.sql(bury).bind(i64::from(queued.attempts) + 1).bind(error).bind(id);
            let bury = bury.bind(i64::from(queued.lane)).bind(queued.sequence).bind(queued.envelope.id.as_str());
            bury.execute(conn).await
        };
        // Two that others inserted under one id that is none are two messages.
        if place(conn, None).await? == 0 && queued.flaw.is_some() {
            place(conn, Some(ident::instance().as_str())).await?;
        }
        self.forget(conn, queued).await
    }

    async fn log_batch(&self, conn: &mut impl Conn<D>, batch: &BatchRow) -> Result<(), BackendError> {
        self.sql
            .sql("insert into mq_batch (shard, first_id, last_id, messages, at) values (?, ?, ?, ?, {now})")
            .bind(i64::from(batch.lane))
            .bind(batch.first)
            .bind(batch.last)
            .bind(i64::try_from(batch.messages).unwrap_or(i64::MAX))
            .execute(conn)
            .await?;
        Ok(())
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
