//! The inbox: what a consumer has handled, written in the transaction of its effects.

use std::{fmt, sync::Arc, time::Duration};

use onceward_backend::{BackendError, Conn, Db, Dialect, internal::Sql};
use sqlx::Pool;

use crate::{
    Error, ident,
    message::{Envelope, MAX_NAME, MessageId, Replay, check_name},
    store::{SqlStore, row},
};

/// Remembers, per consumer, which messages were handled, so that a repeat has no second effect while the record lives.
///
/// A [`Consumer`](crate::Consumer) uses it by itself. Services that receive in another way call
/// [`first_tx`](Self::first_tx) at the head of their own transaction.
pub struct Inbox<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
    retention: Duration,
}

impl<D: Db> Inbox<D> {
    /// An inbox in the database that the handlers write to; it remembers for seven days.
    #[must_use]
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Arc::new(Sql::new()), retention: Duration::from_secs(7 * 24 * 3600) }
    }

    /// Sets how long messages are remembered. It must exceed every way in which a message can come again: the broker's
    /// redelivery, the retries of relay and consumer, and replays by hand.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long messages are remembered.
    #[must_use]
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// Makes the tables or brings them up to date; harmless when repeated.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn migrate(&self) -> Result<(), Error> {
        SqlStore::new(self.pool.clone()).migrate().await
    }

    /// Records the message for this consumer and answers whether it is the first time. A `false` means that the effects are
    /// there already, committed. While another transaction has the same message in hand, this waits for its end.
    ///
    /// # Errors
    /// [`Error::Message`] for a consumer name that is none; [`Error::Backend`].
    pub async fn first_tx(&self, conn: &mut impl Conn<D>, consumer: &str, id: &MessageId) -> Result<bool, Error> {
        check_name("the consumer name", consumer, MAX_NAME)?;
        let insert =
            self.sql.sql("{insert_ignore} mq_inbox (consumer, message_id, at) values (?, ?, {now}) {or_ignore}");
        Ok(insert.bind(consumer).bind(id.as_str()).insert_once(conn).await?)
    }

    /// Whether it is the first time for all of them; which they are that it is not for, only one by one tells. On PostgreSQL
    /// neither this nor what follows in the transaction waits for a lock for longer than `wait`: there nothing else ends the
    /// wait for a transaction whose host is gone. MariaDB and SQLite have limits of their own.
    pub(crate) async fn all_first_within_tx(
        &self,
        conn: &mut impl Conn<D>,
        consumer: &str,
        ids: &[&MessageId],
        wait: Duration,
    ) -> Result<bool, Error> {
        if let ([id], Dialect::MySql | Dialect::Sqlite) = (ids, D::DIALECT) {
            return self.first_tx(conn, consumer, id).await;
        }
        check_name("the consumer name", consumer, MAX_NAME)?;
        let mut ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
        // In one order, so that of two transactions that have several in common one waits for the other.
        ids.sort_unstable();
        let count = ids.len() as u64;
        let inserted = if D::DIALECT == Dialect::Postgres {
            // The limit in the statement itself, which is one trip.
            let insert = self.sql.sql(
                "insert into mq_inbox (consumer, message_id, at) select ?, id, {now} from unnest(?) id \
                 where (select set_config('lock_timeout', ?, true)) is not null on conflict do nothing",
            );
            let wait = format!("{}ms", wait.as_millis().clamp(1, LONGEST_WAIT));
            insert.bind(consumer).bind(&*ids).bind(&wait).execute(conn).await?
        } else {
            let insert = self.sql.sql(if D::DIALECT == Dialect::MySql {
                "insert ignore into mq_inbox (consumer, message_id, at) select ?, t.id, {now} \
                 from json_table(?, '$[*]' columns (id varchar(255) character set ascii path '$')) t"
            } else {
                "insert into mq_inbox (consumer, message_id, at) select ?, value, {now} from json_each(?) \
                 where true on conflict do nothing"
            });
            insert.bind(consumer).bind(serde_json::Value::from(ids).to_string().as_str()).execute(conn).await?
        };
        Ok(inserted == count)
    }

    /// Whether it may have handled this message and forgotten it, so that the first time may be none: asked after
    /// [`first_tx`](Self::first_tx) has answered `true`. Only of replayed messages it can be so, and for others nothing is
    /// asked. It compares the outbox's time of the enqueue with the time of this database.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn forgotten_tx(&self, conn: &mut impl Conn<D>, envelope: &Envelope) -> Result<Option<Forgotten>, Error> {
        let (Some(Replay::Within(window)), retention) = (envelope.replay(), self.retention) else { return Ok(None) };
        if window > retention {
            return Ok(Some(Forgotten::Window { window, retention }));
        }
        let (age,): (i64,) = self.sql.sql("select {now} - ?").bind(envelope.enqueued_at).fetch_one(conn).await?;
        let age = Duration::from_micros(row::count(age));
        Ok((age > retention).then_some(Forgotten::Age { age, retention }))
    }

    /// Forgets about `limit` messages that are older than the retention; answers how many.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn purge(&self, limit: usize) -> Result<u64, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let (last,): (Option<i64>,) = self
            .sql
            .sql("select max(at) from (select at from mq_inbox where at < (select {now} - ?) order by at limit ?) oldest")
            .bind(ident::micros(self.retention))
            .bind(row::limit(limit))
            .fetch_one(&mut conn)
            .await?;
        let Some(last) = last else { return Ok(0) };
        Ok(self.sql.sql("delete from mq_inbox where at <= ?").bind(last).execute(&mut conn).await?)
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<D> {
        &self.pool
    }
}

/// As the server counts them, in ms: 24 days.
const LONGEST_WAIT: u128 = i32::MAX as u128;

/// Why a replayed message that an inbox does not know may have been handled all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forgotten {
    /// The replay took inboxes to remember for longer than this one does.
    #[error(
        "it was replayed for inboxes that remember {window:?}, and this one remembers {retention:?}, so it may have been \
         handled and forgotten: if its effect is not there, or may come twice, replay it to a consumer with `may_duplicate`"
    )]
    Window {
        /// What the replay assumed.
        window: Duration,
        /// What this inbox remembers.
        retention: Duration,
    },
    /// It came later than this inbox remembers.
    #[error(
        "it was replayed, and is {age:?} old by now, and the inbox remembers {retention:?}, so it may have been handled and \
         forgotten: if its effect is not there, or may come twice, replay it to a consumer with `may_duplicate`"
    )]
    Age {
        /// How long ago it was enqueued.
        age: Duration,
        /// What this inbox remembers.
        retention: Duration,
    },
}

impl<D: Db> Clone for Inbox<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql), retention: self.retention }
    }
}

impl<D: Db> fmt::Debug for Inbox<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("retention", &self.retention).finish_non_exhaustive()
    }
}
