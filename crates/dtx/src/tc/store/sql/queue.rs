//! The queue of transactions that wait for rows, in a database.
//!
//! Who serves it changes the row of `dtx_turn` first, so one at a time does; then come rows of `dtx_global` and of `dtx_lock`,
//! each in the order of their keys, as everywhere. Every transaction here is READ COMMITTED or better.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Conn, Db};

use super::rows::{micros, status_of};
use super::{Conflict, NewWaiter, SqlStore};
use crate::coordinator::WaiterInfo;
use crate::tc::lock::LockKey;
use crate::tc::state::GlobalStatus;
use crate::tc::turn::{self, Answer, Holder, Waiting};

/// A waiter as it is stored, beside what the rules need.
struct Place {
    waiting: Waiting,
    owner: String,
    is_open: bool,
    is_late: bool,
    keys: Vec<LockKey>,
}

type Served = Vec<(String, Answer)>;

impl<D: Db> SqlStore<D> {
    /// The first in the queue who wants one of these rows, for a transaction that holds none.
    pub(super) async fn queued(
        &self,
        conn: &mut impl Conn<D>,
        xid: &str,
        locks: &[LockKey],
    ) -> Result<Option<Conflict>, BackendError> {
        let stands_behind: Option<(i64,)> = self
            .sql
            .sql(
                "select id from dtx_turn where exists (select 1 from dtx_wait) \
                 and not exists (select 1 from dtx_lock where xid = ?)",
            )
            .bind(xid)
            .fetch_optional(conn)
            .await?;
        if stands_behind.is_none() {
            return Ok(None);
        }
        for lock in locks {
            let first: Option<(String,)> = self
                .sql
                .sql(
                    "select p.xid from dtx_wait w join dtx_waiter p on p.waiter = w.waiter \
                     where w.lock_id = ? and p.xid <> ? order by p.ticket limit 1",
                )
                .bind(&lock.id())
                .bind(xid)
                .fetch_optional(conn)
                .await?;
            if let Some((holder,)) = first {
                return Ok(Some(Conflict { lock: lock.clone(), holder, status: GlobalStatus::Active }));
            }
        }
        Ok(None)
    }

    pub(super) async fn join_queue(&self, new: &NewWaiter) -> Result<Served, BackendError> {
        let mut tx = begin(&self.pool).await?;
        self.take_turn(&mut tx).await?;
        self.sql
            .sql("insert into dtx_waiter (waiter, xid, owner, state, until) values (?, ?, ?, 1, {now} + ?)")
            .bind(&new.waiter)
            .bind(&new.xid)
            .bind(&new.owner)
            .bind(micros(new.patience))
            .execute(&mut tx)
            .await?;
        let locks: BTreeMap<_, _> = new.locks.iter().map(|lock| (lock.id(), lock)).collect();
        for (id, lock) in locks {
            self.sql
                .sql("insert into dtx_wait (lock_id, waiter, resource_id, table_name, row_key) values (?, ?, ?, ?, ?)")
                .bind(&id)
                .bind(&new.waiter)
                .bind(&lock.resource_id)
                .bind(&lock.table)
                .bind(&lock.key)
                .execute(&mut tx)
                .await?;
        }
        let served = self.serve_queue(&mut tx, &new.owner).await?;
        commit(tx).await?;
        Ok(served)
    }

    async fn take_turn(&self, conn: &mut impl Conn<D>) -> Result<(), BackendError> {
        self.sql.sql("update dtx_turn set served = served + 1 where id = 1").execute(conn).await.map(drop)
    }

    pub(super) async fn serve_queue(&self, conn: &mut impl Conn<D>, owner: &str) -> Result<Served, BackendError> {
        self.take_turn(conn).await?;
        let places = self.places(conn).await?;
        let (open, over): (Vec<_>, Vec<_>) = places.into_iter().partition(|place| place.is_open && !place.is_late);
        let told = |place: &Place| if place.is_open { Answer::Late } else { Answer::Ended };
        let mut answers: Vec<(&Place, Answer)> = over.iter().map(|place| (place, told(place))).collect();
        let waiting: Vec<_> = open.iter().map(|place| place.waiting.clone()).collect();
        let (held, holding) = self.holders(conn, &waiting).await?;
        for (at, answer) in turn::serve(&waiting, &held, &holding) {
            answers.push((&open[at], answer));
        }
        self.grant(conn, &mut answers).await?;
        let mut own = Vec::new();
        for (place, answer) in answers {
            let waiter = place.waiting.waiter.as_str();
            if place.owner == owner {
                self.forget_waiter(conn, waiter).await?;
                own.push((waiter.to_owned(), answer));
            } else {
                self.stop_waiting(conn, waiter).await?;
                let answered = self.sql.sql("update dtx_waiter set state = ? where waiter = ?");
                answered.bind(answer.code()).bind(waiter).execute(conn).await?;
            }
        }
        Ok(own)
    }

    /// Whoever waits, in the order of arrival.
    async fn places(&self, conn: &mut impl Conn<D>) -> Result<Vec<Place>, BackendError> {
        let waits: Vec<(String, String, String, String, String)> = self
            .sql
            .sql("select waiter, lock_id, resource_id, table_name, row_key from dtx_wait order by waiter, lock_id")
            .fetch_all(conn)
            .await?;
        if waits.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = HashMap::<String, (Vec<String>, Vec<LockKey>)>::new();
        for (waiter, id, resource_id, table, key) in waits {
            let (ids, keys) = wanted.entry(waiter).or_default();
            ids.push(id);
            keys.push(LockKey { resource_id, table, key });
        }
        let rows: Vec<(String, String, String, Option<i64>, bool, bool)> = self
            .sql
            .sql(
                "select p.waiter, p.xid, p.owner, g.began, coalesce(g.status = 1 and g.deadline > {now}, false), \
                 p.until <= {now} from dtx_waiter p left join dtx_global g on g.xid = p.xid where p.state = 1 order by p.ticket",
            )
            .fetch_all(conn)
            .await?;
        let place =
            |(waiter, xid, owner, began, is_open, is_late): (String, String, String, Option<i64>, bool, bool)| {
                let (locks, keys) = wanted.remove(&waiter).unwrap_or_default();
                Place {
                    waiting: Waiting { waiter, xid, began: began.unwrap_or_default(), locks },
                    owner,
                    is_open,
                    is_late,
                    keys,
                }
            };
        Ok(rows.into_iter().map(place).collect())
    }

    /// Who holds what is waited for, and who of those that wait holds any row.
    async fn holders(
        &self,
        conn: &mut impl Conn<D>,
        waiting: &[Waiting],
    ) -> Result<(HashMap<String, Holder>, HashSet<String>), BackendError> {
        if waiting.is_empty() {
            return Ok((HashMap::new(), HashSet::new()));
        }
        let rows: Vec<(String, String, Option<i64>)> = self
            .sql
            .sql(
                "select l.lock_id, l.xid, g.status from dtx_lock l left join dtx_global g on g.xid = l.xid \
                 where l.lock_id in (select lock_id from dtx_wait) and (g.status is null or g.status in (1, 4, 12))",
            )
            .fetch_all(conn)
            .await?;
        let mut held = HashMap::with_capacity(rows.len());
        for (id, xid, status) in rows {
            let status = status.map_or(Ok(GlobalStatus::Parked), status_of)?;
            held.insert(id, Holder { xid, status });
        }
        let holding: Vec<(String,)> = self
            .sql
            .sql("select distinct xid from dtx_lock where xid in (select xid from dtx_waiter where state = 1)")
            .fetch_all(conn)
            .await?;
        Ok((held, holding.into_iter().map(|(xid,)| xid).collect()))
    }

    /// Takes the rows of those that are granted theirs. Who ended meanwhile is told so; a row that somebody else has taken
    /// meanwhile, which only who was no waiter can, takes the grant back.
    async fn grant(&self, conn: &mut impl Conn<D>, answers: &mut Vec<(&Place, Answer)>) -> Result<(), BackendError> {
        let granted = answers.iter().filter(|(_, answer)| *answer == Answer::Granted);
        let xids: BTreeSet<_> = granted.map(|(place, _)| place.waiting.xid.as_str()).collect();
        let mut ended = HashSet::new();
        for xid in xids {
            // Locks its row: a decision follows, and then sees these locks, or it has been and there are none to take.
            let open = self
                .sql
                .sql("update dtx_global set tries = tries where xid = ? and status + 0 = 1 and deadline > {now}");
            if open.bind(xid).execute(conn).await? == 0 {
                ended.insert(xid);
            }
        }
        for (place, answer) in answers.iter_mut().filter(|(_, answer)| *answer == Answer::Granted) {
            if ended.contains(place.waiting.xid.as_str()) {
                *answer = Answer::Ended;
            }
        }
        let mut rows: Vec<(&str, &str, &LockKey)> = Vec::new();
        for (place, _) in answers.iter().filter(|(_, answer)| *answer == Answer::Granted) {
            let Waiting { xid, locks, .. } = &place.waiting;
            rows.extend(locks.iter().zip(&place.keys).map(|(id, key)| (id.as_str(), xid.as_str(), key)));
        }
        rows.sort_unstable();
        rows.dedup();
        let (mut taken, mut missed) = (Vec::new(), HashSet::new());
        for (id, xid, lock) in rows {
            if self.take_lock(conn, xid, id, lock).await? {
                taken.push((id, xid));
            } else if self.holder(conn, lock).await?.is_none_or(|held| held.holder != xid) {
                missed.insert(xid);
            }
        }
        for (id, xid) in taken.into_iter().filter(|(_, xid)| missed.contains(xid)) {
            let free = self.sql.sql("delete from dtx_lock where lock_id = ? and xid = ?");
            free.bind(id).bind(xid).execute(conn).await?;
        }
        answers.retain(|(place, answer)| *answer != Answer::Granted || !missed.contains(place.waiting.xid.as_str()));
        Ok(())
    }

    pub(super) async fn read_answers(&self, owner: &str) -> Result<Vec<(String, Option<Answer>)>, BackendError> {
        let rows: Vec<(String, i64)> = self
            .sql
            .sql("select waiter, state from dtx_waiter where owner = ?")
            .bind(owner)
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        let answers: Vec<_> = rows.into_iter().map(|(waiter, state)| (waiter, Answer::from_code(state))).collect();
        if answers.iter().any(|(_, answer)| answer.is_some()) {
            let mut tx = begin(&self.pool).await?;
            for (waiter, _) in answers.iter().filter(|(_, answer)| answer.is_some()) {
                self.forget_waiter(&mut tx, waiter).await?;
            }
            commit(tx).await?;
        }
        Ok(answers)
    }

    /// From here on nobody stands behind it.
    async fn stop_waiting(&self, conn: &mut impl Conn<D>, waiter: &str) -> Result<(), BackendError> {
        self.sql.sql("delete from dtx_wait where waiter = ?").bind(waiter).execute(conn).await.map(drop)
    }

    pub(super) async fn forget_waiter(&self, conn: &mut impl Conn<D>, waiter: &str) -> Result<(), BackendError> {
        self.stop_waiting(conn, waiter).await?;
        self.sql.sql("delete from dtx_waiter where waiter = ?").bind(waiter).execute(conn).await.map(drop)
    }

    pub(super) async fn list_waiters(&self) -> Result<Vec<WaiterInfo>, BackendError> {
        let rows: Vec<(String, String, String, String, String, Option<String>)> = self
            .sql
            .sql(
                "select p.waiter, p.xid, w.resource_id, w.table_name, w.row_key, l.xid from dtx_waiter p \
                 join dtx_wait w on w.waiter = p.waiter left join dtx_lock l on l.lock_id = w.lock_id \
                 order by p.ticket, w.lock_id",
            )
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        let mut waiters = Vec::<(String, WaiterInfo)>::new();
        for (waiter, xid, resource_id, table, key, holder) in rows {
            if waiters.last().is_none_or(|(last, _)| *last != waiter) {
                waiters.push((waiter, WaiterInfo { xid, wants: Vec::new() }));
            }
            if let Some((_, info)) = waiters.last_mut() {
                info.wants.push((LockKey { resource_id, table, key }, holder));
            }
        }
        Ok(waiters.into_iter().map(|(_, info)| info).collect())
    }
}
