//! The common case of a settle, many messages in one statement.

use onceward_backend::{BackendError, Conn, Db, Dialect};

use super::SqlStore;
use crate::store::{History, Lease, Place, Queued, Settled, Verdict};

/// Whether this message can be settled with others of its kind: sent at its first attempt.
pub(super) fn is_plain<D: Db>((queued, verdict): &(Queued, Verdict)) -> bool {
    // MariaDB has no statement that deletes and inserts what it deleted; SQLite has no round trips to save.
    D::DIALECT == Dialect::Postgres && queued.place == Place::Hot && *verdict == Verdict::Sent
}

impl<D: Db> SqlStore<D> {
    /// Forgets the messages and logs each, in one statement; answers how many there were. The list travels as two texts,
    /// whose separator is in no id.
    pub(super) async fn forget_all(
        &self,
        conn: &mut impl Conn<D>,
        lease: &Lease,
        history: History,
        sent: &[&Queued],
    ) -> Result<u64, BackendError> {
        let sequences: Vec<String> = sent.iter().map(|queued| queued.sequence.to_string()).collect();
        let ids: Vec<&str> = sent.iter().map(|queued| queued.envelope.id.as_str()).collect();
        let statement = match history {
            History::Rows => {
                "with gone as (delete from mq_hot using \
                 unnest(string_to_array(?, ' ')::bigint[], string_to_array(?, ' ')) as t(id, message_id) \
                 where mq_hot.shard = ? and mq_hot.id = t.id and mq_hot.message_id = t.message_id collate \"C\" \
                 returning mq_hot.id, mq_hot.message_id, mq_hot.topic) \
                 insert into mq_history (message_id, topic, status, attempt, error, at) \
                 select message_id, topic, 'sent', 1, null, {now} from gone order by id"
            }
            History::Off => {
                "delete from mq_hot using \
                 unnest(string_to_array(?, ' ')::bigint[], string_to_array(?, ' ')) as t(id, message_id) \
                 where mq_hot.shard = ? and mq_hot.id = t.id and mq_hot.message_id = t.message_id collate \"C\""
            }
        };
        let statement = self.sql.sql(statement).bind(sequences.join(" ").as_str()).bind(ids.join(" ").as_str());
        statement.bind(i64::from(lease.lane)).execute(conn).await
    }
}

impl Settled {
    /// Counts `expected` messages of which `moved` were still there.
    pub(super) fn add(&mut self, moved: u64, expected: usize) {
        let moved = usize::try_from(moved).unwrap_or(expected).min(expected);
        self.done += moved;
        self.gone += expected - moved;
    }
}
