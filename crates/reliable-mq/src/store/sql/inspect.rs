//! What operators and checks ask for.

use std::time::Duration;

use onceward_backend::{
    BackendError, Db,
    internal::{begin, commit},
};

use super::{
    SqlStore,
    row::{self, attempts, count, foreign, limit},
};
use crate::{
    Error, ident,
    message::{MessageId, REPLAY_WINDOW, Replay},
    store::{Attempt, BatchRow, Counts, DeadLetter, LogRow, Status},
};

/// `hot, delayed, failed, held, dead, age of the oldest in hot, the same in delayed`
type CountRow = (i64, i64, i64, i64, i64, Option<i64>, Option<i64>);
/// `message_id, topic, msg_key, headers, payload, enqueued_at, attempts, last_error, dead_at`
type DeadRow = (String, String, Option<String>, String, Vec<u8>, i64, i64, String, i64);

impl<D: Db> SqlStore<D> {
    pub(super) async fn count(&self) -> Result<Counts, Error> {
        let (hot, delayed, failed, held, dead, oldest_hot, oldest_delayed): CountRow = self
            .sql
            .sql(
                "select (select count(*) from mq_hot), (select count(*) from mq_delayed), \
                 (select count(*) from mq_delayed where attempts > 0), (select count(*) from mq_held), \
                 (select count(*) from mq_dead), (select {now} - min(enqueued_at) from mq_hot), \
                 (select {now} - min(enqueued_at) from mq_delayed)",
            )
            .fetch_one(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let oldest = oldest_hot.max(oldest_delayed).map(|age| Duration::from_micros(count(age)));
        Ok(Counts {
            hot: count(hot),
            delayed: count(delayed),
            failed: count(failed),
            held: count(held),
            dead: count(dead),
            oldest,
        })
    }

    pub(super) async fn read_log(&self, most: usize) -> Result<Vec<LogRow>, Error> {
        let rows: Vec<(String, String, String, i64, Option<String>, i64)> = self
            .sql
            .sql("select message_id, topic, status, attempts, last_error, at from mq_log order by at desc limit ?")
            .bind(limit(most))
            .fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let rows = rows.into_iter().map(|(id, topic, status, spent, last_error, at)| {
            let message_id = MessageId::trusted(id);
            Ok(LogRow {
                message_id,
                topic,
                status: status_of::<D>(&status)?,
                attempts: attempts(spent),
                last_error,
                at,
            })
        });
        rows.collect()
    }

    pub(super) async fn read_attempts(&self, id: &MessageId) -> Result<Vec<Attempt>, Error> {
        let rows: Vec<(String, i64, Option<String>, i64)> = self
            .sql
            .sql("select status, attempt, error, at from mq_history where message_id = ? order by id")
            .bind(id.as_str())
            .fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let rows = rows.into_iter().map(|(status, attempt, error, at)| {
            Ok(Attempt { status: status_of::<D>(&status)?, attempt: attempts(attempt), error, at })
        });
        rows.collect()
    }

    pub(super) async fn read_dead(&self, most: usize) -> Result<Vec<DeadLetter>, Error> {
        let rows: Vec<DeadRow> = self
            .sql
            .sql(
                "select message_id, topic, msg_key, headers, payload, enqueued_at, attempts, last_error, dead_at \
                 from mq_dead order by dead_at, message_id limit ?",
            )
            .bind(limit(most))
            .fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let rows = rows.into_iter().map(|(id, topic, key, headers, payload, enqueued_at, spent, error, at)| {
            let (envelope, _) = foreign(id, topic, key, &headers, payload, enqueued_at);
            Ok(DeadLetter { envelope, attempts: attempts(spent), error, at })
        });
        rows.collect()
    }

    pub(super) async fn replay_dead(&self, id: &MessageId, window: Option<Duration>) -> Result<bool, Error> {
        let mut tx = begin(&self.pool).await?;
        let letter: Option<(i64, String)> = self
            .sql
            .sql("select {now} - enqueued_at, headers from mq_dead where message_id = ? {for_update}")
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        let Some((age, headers)) = letter else { return Ok(false) };
        if window.is_some_and(|window| age > ident::micros(window)) {
            return Err(Error::MayDuplicate);
        }
        self.sql
            .sql(
                "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select shard, message_id, topic, msg_key, ?, payload, enqueued_at from mq_dead where message_id = ?",
            )
            .bind(row::with_header(headers, REPLAY_WINDOW, Replay::new(window).header()).as_str())
            .bind(id.as_str())
            .execute(&mut tx)
            .await?;
        self.sql.sql("delete from mq_dead where message_id = ?").bind(id.as_str()).execute(&mut tx).await?;
        commit(tx).await?;
        self.ring();
        Ok(true)
    }

    pub(super) async fn read_batches(&self, most: usize) -> Result<Vec<BatchRow>, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let read = self
            .sql
            .sql("select shard, first_id, last_id, messages, at from mq_batch order by at desc, id desc limit ?");
        let rows: Vec<(i64, i64, i64, i64, i64)> = read.bind(limit(most)).fetch_all(&mut conn).await?;
        let batch = |(lane, first, last, messages, at)| BatchRow {
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            first,
            last,
            messages: count(messages),
            at,
        };
        Ok(rows.into_iter().map(batch).collect())
    }

    pub(super) async fn purge(&self, older: Duration, most: usize) -> Result<u64, Error> {
        let mut purged = 0;
        for purge in [
            "delete from mq_history where id in (select id from (select id from mq_history \
             where at < (select {now}) - ? order by at, id limit ?) oldest)",
            "delete from mq_batch where id in (select id from (select id from mq_batch \
             where at < (select {now}) - ? order by at, id limit ?) oldest)",
        ] {
            // In a transaction for its isolation, as below.
            let mut tx = begin(&self.pool).await?;
            let left = limit(most) - i64::try_from(purged).unwrap_or(i64::MAX);
            purged += self.sql.sql(purge).bind(ident::micros(older)).bind(left).execute(&mut tx).await?;
            commit(tx).await?;
        }
        Ok(purged)
    }

    pub(super) async fn purge_letters(&self, older: Duration, most: usize) -> Result<u64, Error> {
        let older = ident::micros(older);
        // Asked twice: a letter that was replayed and given up again meanwhile is a new one.
        let purge = self.sql.sql(
            "delete from mq_dead where message_id in (select message_id from (select message_id from mq_dead \
             where dead_at < (select {now}) - ? order by dead_at, message_id limit ?) oldest) and dead_at < {now} - ?",
        );
        // In a transaction for its isolation: under REPEATABLE READ MariaDB would lock the gaps that new letters go into.
        let mut tx = begin(&self.pool).await?;
        let purged = purge.bind(older).bind(limit(most)).bind(older).execute(&mut tx).await?;
        commit(tx).await?;
        Ok(purged)
    }

    pub(super) async fn make_due(&self, id: &MessageId) -> Result<bool, Error> {
        // What is overdue keeps its turn. MariaDB counts only rows that change, so the look comes first.
        let mut tx = begin(&self.pool).await?;
        let waits: Option<(i64,)> = self
            .sql
            .sql("select due_at from mq_delayed where message_id = ? and attempts > 0 {for_update}")
            .bind(id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        if waits.is_none() {
            return Ok(false);
        }
        let due = self.sql.sql("update mq_delayed set due_at = {now} where message_id = ? and due_at > {now}");
        due.bind(id.as_str()).execute(&mut tx).await?;
        commit(tx).await?;
        self.ring();
        Ok(true)
    }
}

pub(super) fn status_of<D: Db>(word: &str) -> Result<Status, BackendError> {
    Status::parse(word)
        .ok_or_else(|| BackendError::corrupt(D::DIALECT.name(), "a status that this version does not know"))
}
