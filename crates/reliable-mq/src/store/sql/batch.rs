//! The common case of a settle, many messages at once.

use onceward_backend::{BackendError, Conn, Db, Dialect};

use super::{SqlStore, row};
use crate::store::{History, Place, Queued, Settled, Verdict};

/// Whether this message can be settled with others of its kind: sent at its first attempt.
pub(super) fn is_plain<D: Db>((queued, verdict): &(&Queued, Verdict)) -> bool {
    // SQLite has no round trips to save.
    D::DIALECT != Dialect::Sqlite && queued.place == Place::Hot && *verdict == Verdict::Sent
}

/// Whether [`SqlStore::forget_all`] is one statement, which needs no transaction around it. MariaDB has none that deletes
/// and inserts what it deleted.
pub(super) fn is_one_statement<D: Db>(history: History) -> bool {
    D::DIALECT == Dialect::Postgres || history == History::Off
}

/// Deletes the messages of a list that are still in their lanes. There is one plan, which looks for each of them and deletes
/// what it has found. Where the table was empty at the planner's last look, it would rather walk over the whole table; and if it
/// were shown how long the list is, it would read the whole table too.
macro_rules! gone {
    ($columns:literal, $after:literal) => {
        concat!(
            "with gone as (delete from mq_hot where (select set_config('synchronous_commit', \
             coalesce(?, current_setting('synchronous_commit')), true)) is not null \
             and ctid = any (array(select found.ctid from \
             unnest((select ?::bigint[]), (select ?::bigint[]), (select ?::text[])) as t(shard, id, message_id) \
             cross join lateral (select h.ctid from mq_hot h where h.shard = t.shard and h.id = t.id \
             and h.message_id = t.message_id collate \"C\" offset 0) found)) returning shard, id, message_id",
            $columns,
            ") ",
            $after
        )
    };
}

/// The messages of a list that are still in their lanes; the list comes first, so that its rows are looked up one by one.
macro_rules! listed {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " from json_table(?, '$[*]' columns \
             (shard bigint path '$[0]', id bigint path '$[1]', \
             message_id varchar(255) character set ascii path '$[2]')) t \
             straight_join mq_hot h on h.shard = t.shard and h.id = t.id and h.message_id = t.message_id collate ascii_bin ",
            $after
        )
    };
}

impl<D: Db> SqlStore<D> {
    /// Forgets the messages and logs each; answers how many there were.
    pub(super) async fn forget_all(
        &self,
        conn: &mut impl Conn<D>,
        history: History,
        sent: &[&Queued],
        lazily: bool,
    ) -> Result<u64, BackendError> {
        if D::DIALECT == Dialect::MySql {
            return self.forget_listed(conn, history, sent).await;
        }
        let lanes: Vec<i64> = sent.iter().map(|queued| queued.lane.into()).collect();
        let sequences: Vec<i64> = sent.iter().map(|queued| queued.sequence).collect();
        let ids: Vec<_> = sent.iter().map(|queued| Some(queued.envelope.id.as_str())).collect();
        // Lazily, the marks do not wait for the disk: one that a crash of the database loses makes a repeat under the same id.
        let statement = match history {
            History::Rows => gone!(
                ", topic",
                "insert into mq_history (message_id, topic, status, attempt, error, at) \
                 select message_id, topic, 'sent', 1, null, {now} from gone order by shard, id"
            ),
            History::Batches => gone!(
                "",
                ", log as (insert into mq_batch (shard, first_id, last_id, messages, at) \
                 select shard, min(id), max(id), count(*), {now} from gone group by shard) select count(*) from gone"
            ),
            History::Off => gone!("", "select count(*) from gone"),
        };
        let statement =
            self.sql.sql(statement).bind(lazily.then_some("off")).bind(&*lanes).bind(&*sequences).bind(&*ids);
        if history == History::Rows {
            return statement.execute(conn).await;
        }
        statement.fetch_one::<(i64,)>(conn).await.map(|(gone,)| row::count(gone))
    }

    async fn forget_listed(
        &self,
        conn: &mut impl Conn<D>,
        history: History,
        sent: &[&Queued],
    ) -> Result<u64, BackendError> {
        let list: Vec<_> =
            sent.iter().map(|queued| (queued.lane, queued.sequence, queued.envelope.id.as_str())).collect();
        let list = serde_json::to_string(&list).map_err(|error| BackendError::corrupt(D::DIALECT.name(), error))?;
        if history == History::Rows {
            // Locks what it copies: of two relays that have published the same, one logs and deletes it.
            let log = self.sql.sql(listed!(
                "insert into mq_history (message_id, topic, status, attempt, error, at) \
                 select h.message_id, h.topic, 'sent', 1, null, {now}",
                "order by h.shard, h.id for update"
            ));
            log.bind(list.as_str()).execute(conn).await?;
        }
        if history == History::Batches {
            let lock = self.sql.sql(listed!("select h.id", "order by h.shard, h.id for update"));
            lock.bind(list.as_str()).fetch_all::<(i64,)>(conn).await?;
            let log = self.sql.sql(listed!(
                "insert into mq_batch (shard, first_id, last_id, messages, at) \
                 select h.shard, min(h.id), max(h.id), count(*), {now}",
                "group by h.shard"
            ));
            log.bind(list.as_str()).execute(conn).await?;
        }
        let delete = self.sql.sql(listed!("delete h", ""));
        delete.bind(list.as_str()).execute(conn).await
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
