//! Many messages with one statement, where a statement is a round trip.
//!
//! However many there are, it has one text: the rows travel as arrays on PostgreSQL, one for each column. MariaDB has none; there
//! they are one JSON text, and their payloads one behind the other a value of which the server cuts each, so that they stay bytes.

use onceward_backend::{Conn, Db, Dialect, Hold, internal::Statement};
use serde_json::json;

use super::{SqlStore, Uncaptured, lanes, row};
use crate::{
    Error, ident,
    message::{Message, MessageId, lane},
};

/// Of one statement at most, so that neither it nor the server's copy of it grows without bound. A larger message goes alone.
const MESSAGES: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;

/// `insert into .. select` of these columns: the first, the payload, and the last of the row `m`.
macro_rules! insert {
    ($dialect:expr, $into:literal, $first:literal, $last:literal, $after:literal) => {
        match $dialect {
            Dialect::Postgres => concat!(
                $into,
                " select ",
                $first,
                "m.payload, ",
                $last,
                " from unnest(?, ?, ?, ?, ?, ?, ?) with ordinality \
                 as m(payload, shard, id, topic, msg_key, headers, delay, n) order by m.n ",
                $after
            ),
            _ => concat!(
                $into,
                " select ",
                $first,
                "substring(?, m.start, m.size), ",
                $last,
                " from json_table(?, '$[*]' columns (n bigint path '$.n', shard bigint path '$.shard', \
                 id varchar(255) character set ascii path '$.id', topic varchar(255) character set ascii path '$.topic', \
                 msg_key varchar(255) character set ascii path '$.msg_key', \
                 headers longtext character set utf8mb4 path '$.headers', delay bigint path '$.delay', \
                 start int path '$.start', size int path '$.size')) m order by m.n ",
                $after
            ),
        }
    };
}

/// Rows of one table.
#[derive(Default)]
struct Rows<'m> {
    messages: Vec<&'m Message>,
    ids: Vec<MessageId>,
    lanes: Vec<i64>,
    headers: Vec<String>,
    delays: Vec<i64>,
}

impl<'m> Rows<'m> {
    fn add(&mut self, lane: u32, id: MessageId, message: &'m Message) -> Result<(), Error> {
        self.headers.push(row::write_headers(message)?);
        self.delays.push(ident::micros(message.delay));
        self.lanes.push(i64::from(lane));
        self.ids.push(id);
        self.messages.push(message);
        Ok(())
    }

    /// Binds all of them, where the statement is of [`insert!`].
    fn bind<D: Db>(&self, statement: Statement<D>) -> Statement<D> {
        if D::DIALECT == Dialect::Postgres { self.bind_arrays(statement) } else { self.bind_json(statement) }
    }

    fn bind_arrays<D: Db>(&self, statement: Statement<D>) -> Statement<D> {
        let payloads: Vec<&[u8]> = self.messages.iter().map(|message| message.payload().as_ref()).collect();
        let ids: Vec<_> = self.ids.iter().map(|id| Some(id.as_str())).collect();
        let topics: Vec<_> = self.messages.iter().map(|message| Some(message.topic())).collect();
        let keys: Vec<_> = self.messages.iter().map(|message| message.key()).collect();
        let headers: Vec<_> = self.headers.iter().map(|headers| Some(headers.as_str())).collect();
        let statement = statement.bind(&*payloads).bind(&*self.lanes).bind(&*ids).bind(&*topics).bind(&*keys);
        statement.bind(&*headers).bind(&*self.delays)
    }

    fn bind_json<D: Db>(&self, statement: Statement<D>) -> Statement<D> {
        let mut payloads = Vec::new();
        let mut rows = Vec::with_capacity(self.messages.len());
        for (n, message) in self.messages.iter().enumerate() {
            rows.push(json!({
                "n": n, "shard": self.lanes[n], "id": self.ids[n].as_str(), "topic": message.topic(), "msg_key": message.key(),
                "headers": self.headers[n], "delay": self.delays[n],
                "start": payloads.len() + 1, "size": message.payload().len(),
            }));
            payloads.extend_from_slice(message.payload());
        }
        statement.bind(&payloads).bind(serde_json::Value::from(rows).to_string().as_str())
    }
}

impl<D: Db> SqlStore<D> {
    /// Enqueues all on this connection, in whatever transaction it is in, and answers their ids in the same order.
    pub(crate) async fn enqueue_all_tx(
        &self,
        conn: &mut impl Conn<D>,
        messages: &[Message],
    ) -> Result<Vec<MessageId>, Error> {
        let mut ids = Vec::with_capacity(messages.len());
        // SQLite has no round trips to save.
        if D::DIALECT == Dialect::Sqlite || messages.len() < 2 {
            for message in messages {
                ids.push(self.enqueue_tx(conn, message).await?);
            }
            return Ok(ids);
        }
        let hold = conn.hold();
        // Rows of our own: an undo would find nothing in them that the transaction does not take back anyway.
        let conn = &mut Uncaptured(conn.uncaptured());
        for part in parts(messages) {
            let (mut now, mut later) = (Rows::default(), Rows::default());
            for message in part {
                let id = ident::message_id(message);
                let rows = if hold.is_some() || message.delay.is_zero() { &mut now } else { &mut later };
                rows.add(lane(message.key(), &id, lanes(D::DIALECT)), id.clone(), message)?;
                ids.push(id);
            }
            match &hold {
                Some(hold) => self.hold_all(conn, hold, &now).await?,
                None => self.insert_hot(conn, &now).await?,
            }
            self.insert_delayed(conn, &later).await?;
        }
        Ok(ids)
    }

    async fn insert_hot(&self, conn: &mut Uncaptured<'_, D>, rows: &Rows<'_>) -> Result<(), Error> {
        if rows.messages.is_empty() {
            return Ok(());
        }
        let insert = insert!(
            D::DIALECT,
            "insert into mq_hot (payload, shard, message_id, topic, msg_key, headers, enqueued_at)",
            "",
            "m.shard, m.id, m.topic, m.msg_key, m.headers, {now}",
            ""
        );
        rows.bind(self.sql.sql(insert)).execute(conn).await?;
        Ok(())
    }

    async fn insert_delayed(&self, conn: &mut Uncaptured<'_, D>, rows: &Rows<'_>) -> Result<(), Error> {
        if rows.messages.is_empty() {
            return Ok(());
        }
        let insert = insert!(
            D::DIALECT,
            "{insert_ignore} mq_delayed (payload, shard, message_id, topic, msg_key, headers, enqueued_at, hot_id, attempts, \
             blocks, due_at)",
            "",
            "m.shard, m.id, m.topic, m.msg_key, m.headers, {now}, 0, 0, 0, {now} + m.delay",
            "{or_ignore}"
        );
        rows.bind(self.sql.sql(insert)).execute(conn).await?;
        Ok(())
    }

    async fn hold_all(&self, conn: &mut Uncaptured<'_, D>, hold: &Hold, rows: &Rows<'_>) -> Result<(), Error> {
        let insert = insert!(
            D::DIALECT,
            "insert into mq_held (xid, hold_id, payload, shard, message_id, topic, msg_key, headers, enqueued_at, due_at)",
            "?, ?, ",
            "m.shard, m.id, m.topic, m.msg_key, m.headers, {now}, case when m.delay = 0 then 0 else {now} + m.delay end",
            ""
        );
        let insert = self.sql.sql(insert).bind(&hold.xid).bind(&hold.hold_id);
        rows.bind(insert).execute(conn).await?;
        Ok(())
    }
}

/// In parts of a bounded size, in their order.
fn parts(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            bytes += message.payload().len();
            bytes <= BYTES
        };
        let many = rest.iter().take(MESSAGES).take_while(fits).count().max(1).min(rest.len());
        let (part, left) = rest.split_at(many);
        rest = left;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_the_order_and_their_bounds() {
        let message = |bytes: usize| Message::to("t").payload(vec![7; bytes]).unwrap();
        let sizes = |messages: &[Message]| parts(messages).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![message(1); 2_500]), [1_000, 1_000, 500]);
        let large = vec![message(1024 * 1024); 9];
        assert_eq!(sizes(&large), [4, 4, 1]);
        assert_eq!(sizes(&large[..1]), [1]);
    }
}
