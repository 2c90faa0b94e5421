//! Into the store: enqueued, held back, let go.

use onceward_backend::{Conn, Db};

use super::{SqlStore, Uncaptured, lanes, row};
use crate::{
    Error, ident,
    message::{Message, MessageId, lane},
};

impl<D: Db> SqlStore<D> {
    /// Enqueues on this connection, in whatever transaction it is in.
    pub(crate) async fn enqueue_tx(&self, conn: &mut impl Conn<D>, message: &Message) -> Result<MessageId, Error> {
        let id = ident::message_id(message);
        let lane = i64::from(lane(message.key(), &id, lanes(D::DIALECT)));
        let headers = row::write_headers(message)?;
        let delay = ident::micros(message.delay);
        if let Some(hold) = conn.hold() {
            self.sql
                .sql(
                    "insert into mq_held (xid, hold_id, shard, message_id, topic, msg_key, headers, payload, enqueued_at, due_at) \
                     values (?, ?, ?, ?, ?, ?, ?, ?, {now}, case when ? = 0 then 0 else {now} + ? end)",
                )
                .bind(&hold.xid)
                .bind(&hold.hold_id)
                .bind(lane)
                .bind(id.as_str())
                .bind(message.topic())
                .bind(message.key())
                .bind(&headers)
                .bind(message.payload().as_ref())
                .bind(delay)
                .bind(delay)
                .execute(&mut Uncaptured(conn.uncaptured()))
                .await?;
        } else if delay == 0 {
            self.sql
                .sql(
                    "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
                     values (?, ?, ?, ?, ?, ?, {now})",
                )
                .bind(lane)
                .bind(id.as_str())
                .bind(message.topic())
                .bind(message.key())
                .bind(&headers)
                .bind(message.payload().as_ref())
                .execute(conn)
                .await?;
        } else {
            self.sql
                .sql(
                    "{insert_ignore} mq_delayed (shard, message_id, topic, msg_key, headers, payload, \
                     hot_id, enqueued_at, attempts, blocks, due_at) \
                     values (?, ?, ?, ?, ?, ?, 0, {now}, 0, 0, {now} + ?) {or_ignore}",
                )
                .bind(lane)
                .bind(id.as_str())
                .bind(message.topic())
                .bind(message.key())
                .bind(&headers)
                .bind(message.payload().as_ref())
                .bind(delay)
                .execute(conn)
                .await?;
        }
        Ok(id)
    }

    /// Moves held messages to where the relay finds them; answers how many.
    pub(crate) async fn release_held(&self, conn: &mut D::Connection, xid: &str, hold: &str) -> Result<u64, Error> {
        let conn = &mut Uncaptured(conn);
        // The row locks make a second release at the same time wait, and then find nothing to move.
        let held: Vec<(i64,)> = self
            .sql
            .sql("select id from mq_held where xid = ? and hold_id = ? order by id {for_update}")
            .bind(xid)
            .bind(hold)
            .fetch_all(conn)
            .await?;
        if held.is_empty() {
            return Ok(0);
        }
        self.sql
            .sql(
                "insert into mq_hot (shard, message_id, topic, msg_key, headers, payload, enqueued_at) \
                 select shard, message_id, topic, msg_key, headers, payload, enqueued_at from mq_held \
                 where xid = ? and hold_id = ? and due_at = 0 order by id",
            )
            .bind(xid)
            .bind(hold)
            .execute(conn)
            .await?;
        // `where` ends the select so that SQLite does not read `on conflict` as a join constraint.
        self.sql
            .sql(
                "{insert_ignore} mq_delayed (shard, message_id, topic, msg_key, headers, payload, enqueued_at, \
                 hot_id, attempts, blocks, due_at) \
                 select shard, message_id, topic, msg_key, headers, payload, enqueued_at, 0, 0, 0, due_at from mq_held \
                 where xid = ? and hold_id = ? and due_at > 0 {or_ignore}",
            )
            .bind(xid)
            .bind(hold)
            .execute(conn)
            .await?;
        self.discard(conn, xid, hold).await
    }

    /// Deletes held messages; answers how many.
    pub(crate) async fn discard_held(&self, conn: &mut D::Connection, xid: &str, hold: &str) -> Result<u64, Error> {
        self.discard(&mut Uncaptured(conn), xid, hold).await
    }

    async fn discard(&self, conn: &mut Uncaptured<'_, D>, xid: &str, hold: &str) -> Result<u64, Error> {
        let delete = self.sql.sql("delete from mq_held where xid = ? and hold_id = ?");
        Ok(delete.bind(xid).bind(hold).execute(conn).await?)
    }
}
