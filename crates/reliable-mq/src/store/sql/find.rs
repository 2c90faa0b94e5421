//! What operators look for.

use std::{collections::BTreeMap, time::Duration};

use onceward_backend::{BackendError, Db, Dialect};

use super::{
    SqlStore,
    inspect::status_of,
    row::{self, attempts, count, foreign, limit},
};
use crate::{
    Error, ident,
    message::{Envelope, MessageId, TENANT},
    store::{Counts, LaneInfo, MessageFilter, MessageInfo, Status, TopicInfo},
};

/// `message_id, topic, msg_key, headers, status, attempts, last_error, age, since, due, blocks, xid`
type InfoRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    i64,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    i64,
    Option<String>,
);
/// `shard, owner, epoch, lease, hot, delayed, age of the oldest in hot, the most overdue in delayed`
type LaneRow = (i64, String, i64, i64, i64, i64, Option<i64>, Option<i64>);
/// `message_id, topic, msg_key, headers, payload, enqueued_at`
type MessageRow = (String, String, Option<String>, String, Vec<u8>, i64);

/// The list of messages, given how a header is read from the text of all. The table that knows most comes first: PostgreSQL
/// takes the types of the columns from it. A table that is not wanted is not read, which the conditions on the whole would not
/// reach on MariaDB.
macro_rules! list {
    ($tenant:literal) => {
        concat!(
            "select m.message_id, m.topic, m.msg_key, m.headers, m.status, m.attempts, m.last_error, {now} - m.enqueued_at, \
             {now} - m.since, m.due_at - {now}, m.blocks, m.xid from (\
             select message_id, topic, msg_key, headers, case when attempts = 0 then 'delayed' else 'failed' end as status, \
             attempts, last_error, enqueued_at, coalesce(failed_at, enqueued_at) as since, due_at, blocks, null as xid \
             from mq_delayed where (? = 1 and attempts = 0 or ? = 1 and attempts > 0) \
             union all select message_id, topic, msg_key, headers, 'held', 0, null, enqueued_at, enqueued_at, null, 0, xid \
             from mq_held where ? = 1 \
             union all select message_id, topic, msg_key, headers, 'dead', attempts, last_error, enqueued_at, dead_at, null, 0, null \
             from mq_dead where ? = 1 \
             union all select message_id, topic, msg_key, headers, 'pending', 0, null, enqueued_at, enqueued_at, null, 0, null \
             from mq_hot where ? = 1 \
             union all select message_id, topic, null, null, status, attempt, null, at, at, null, 0, null \
             from mq_history where ? = 1 and status = 'sent') m \
             where (? is null or m.message_id = ?) and (? is null or m.topic = ?) and (? is null or m.msg_key = ?) \
             and (? is null or ",
            $tenant,
            " = ?) and (? is null or replace(m.last_error, ?, '') <> m.last_error) and m.enqueued_at <= {now} - ? \
             order by m.enqueued_at, m.message_id limit ?"
        )
    };
}
/// The tables of it, as they come.
const LISTED: [Status; 6] =
    [Status::Delayed, Status::Failed, Status::Held, Status::Dead, Status::Pending, Status::Sent];

impl<D: Db> SqlStore<D> {
    pub(super) async fn find_messages(&self, filter: &MessageFilter) -> Result<Vec<MessageInfo>, Error> {
        let mut list = self.sql.sql(match D::DIALECT {
            Dialect::Postgres => list!("mq_header(m.headers, 'tenant')"),
            Dialect::MySql => list!("case when json_valid(m.headers) then json_value(m.headers, '$.tenant') end"),
            _ => list!("case when json_valid(m.headers) then json_extract(m.headers, '$.tenant') end"),
        });
        for status in LISTED {
            list = list.bind(i64::from(filter.states.contains(&status)));
        }
        let id = filter.id.as_ref().map(MessageId::as_str);
        let error = filter.error.as_deref().filter(|text| !text.is_empty());
        for value in [id, filter.topic.as_deref(), filter.key.as_deref(), filter.tenant.as_deref(), error] {
            list = list.bind(value).bind(value);
        }
        let list = list.bind(ident::micros(filter.older_than)).bind(limit(filter.limit));
        let rows: Vec<InfoRow> = list.fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?).await?;
        rows.into_iter().map(info::<D>).collect()
    }

    pub(super) async fn find_message(&self, id: &MessageId) -> Result<Option<Envelope>, Error> {
        let mut find = self.sql.sql(
            "select message_id, topic, msg_key, headers, payload, enqueued_at from mq_hot where message_id = ? \
             union all select message_id, topic, msg_key, headers, payload, enqueued_at from mq_delayed where message_id = ? \
             union all select message_id, topic, msg_key, headers, payload, enqueued_at from mq_held where message_id = ? \
             union all select message_id, topic, msg_key, headers, payload, enqueued_at from mq_dead where message_id = ? \
             limit 1",
        );
        for _ in 0..4 {
            find = find.bind(id.as_str());
        }
        let found: Option<MessageRow> =
            find.fetch_optional(&mut self.pool.acquire().await.map_err(BackendError::from)?).await?;
        let read =
            |(id, topic, key, headers, payload, at): MessageRow| foreign(id, topic, key, &headers, payload, at).0;
        Ok(found.map(read))
    }

    pub(super) async fn find_lanes(&self) -> Result<Vec<LaneInfo>, Error> {
        let rows: Vec<LaneRow> = self
            .sql
            .sql(
                "select s.shard, s.owner, s.epoch, s.until_at - {now}, \
                 (select count(*) from mq_hot h where h.shard = s.shard), \
                 (select count(*) from mq_delayed d where d.shard = s.shard), \
                 (select {now} - min(h.enqueued_at) from mq_hot h where h.shard = s.shard), \
                 (select {now} - min(d.due_at) from mq_delayed d where d.shard = s.shard) \
                 from mq_shard s order by s.shard",
            )
            .fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let lanes = rows.into_iter().map(|(lane, owner, epoch, lease, hot, delayed, oldest, overdue)| LaneInfo {
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            lease: (!owner.is_empty() && lease > 0).then(|| time(lease)),
            owner: Some(owner).filter(|owner| !owner.is_empty()),
            epoch,
            hot: count(hot),
            delayed: count(delayed),
            lag: oldest.max(overdue.filter(|overdue| *overdue >= 0)).map(time),
        });
        Ok(lanes.collect())
    }

    pub(super) async fn find_topics(&self) -> Result<Vec<TopicInfo>, Error> {
        let rows: Vec<(String, String, i64, i64)> = self
            .sql
            .sql(
                "select topic, 'hot', count(*), {now} - min(enqueued_at) from mq_hot group by topic \
                 union all select topic, 'delayed', count(*), {now} - min(enqueued_at) from mq_delayed \
                 where attempts = 0 group by topic \
                 union all select topic, 'failed', count(*), {now} - min(enqueued_at) from mq_delayed \
                 where attempts > 0 group by topic \
                 union all select topic, 'held', count(*), {now} - min(enqueued_at) from mq_held group by topic \
                 union all select topic, 'dead', count(*), {now} - min(enqueued_at) from mq_dead group by topic",
            )
            .fetch_all(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        let mut topics: BTreeMap<String, Counts> = BTreeMap::new();
        for (topic, place, number, oldest) in rows {
            let (counts, number) = (topics.entry(topic).or_default(), count(number));
            match place.as_str() {
                "hot" => counts.hot = number,
                "held" => counts.held = number,
                "dead" => counts.dead = number,
                place => {
                    counts.delayed += number;
                    counts.failed += if place == "failed" { number } else { 0 };
                }
            }
            if !matches!(place.as_str(), "held" | "dead") {
                counts.oldest = counts.oldest.max(Some(time(oldest)));
            }
        }
        Ok(topics.into_iter().map(|(topic, counts)| TopicInfo { topic, counts }).collect())
    }
}

fn info<D: Db>(row: InfoRow) -> Result<MessageInfo, Error> {
    let (id, topic, key, headers, status, spent, last_error, age, since, due, blocks, xid) = row;
    Ok(MessageInfo {
        message_id: MessageId::trusted(id),
        topic,
        key,
        tenant: headers.and_then(|headers| row::header(&headers, TENANT)),
        status: status_of::<D>(&status)?,
        attempts: attempts(spent),
        last_error,
        age: time(age),
        since: time(since),
        due: due.map(time),
        blocks: blocks != 0,
        xid,
    })
}

/// One that is over, or a clock that was set back, is no time at all.
fn time(micros: i64) -> Duration {
    Duration::from_micros(count(micros))
}
