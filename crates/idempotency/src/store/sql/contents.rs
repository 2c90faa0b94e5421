//! Digests of contents in a table.

use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::Dialect;

use super::{
    CLAIMED, Conn, DONE, Db, Error, SqlStore, TRIES, attempt, begin, commit, crowded, fingerprint, left, micros, owner,
    state,
};
use crate::{Capabilities, ContentAnswer, ContentClaim, ContentSlot, DedupStore, Fingerprint, Record, Verdict};

/// A row as it was read, with the revision that a change of it must name.
struct Row {
    revision: i64,
    /// Its time is over: it counts as absent.
    dead: bool,
    second: Option<Fingerprint>,
    record: Record,
}

macro_rules! read {
    ($lock:literal) => {
        concat!(
            "select revision, state, attempt, takeover, owner, fingerprint, lease_until - {now}, keep_until - {now} \
             from idem_record where name = ? ",
            $lock
        )
    };
}
type Columns = (i64, i64, i64, i64, String, Option<Vec<u8>>, i64, i64);

macro_rules! insert {
    ($insert:literal, $or:literal) => {
        concat!(
            $insert,
            " idem_record (name, state, revision, attempt, takeover, owner, holder, fingerprint, claimed_at, \
             lease_until, tail, keep_until) values (?, ?, 0, 1, 0, ?, ?, ?, {now}, {now} + ?, ?, {now} + ?) ",
            $or
        )
    };
}

impl<D: Db> SqlStore<D> {
    /// Inserts the record of a content that was never seen; changes nothing if there is one. `lock` says that the row will
    /// be locked next: MySQL's `insert ignore` leaves a shared lock on a row that is there, and two transactions that have
    /// one and both want to write are a deadlock, so an upsert that changes nothing locks it for writing at once. Its count
    /// says nothing. (Elsewhere an upsert would be in the way of a branch of a global transaction, which captures inserts.)
    pub(super) async fn insert_content(
        &self,
        conn: &mut impl Conn<D>,
        name: &str,
        ask: &ContentSlot,
        lock: bool,
    ) -> Result<bool, Error> {
        let (state, keep) = ending(ask);
        let upsert = lock && D::DIALECT == Dialect::MySql;
        let statement = self.sql.sql(if upsert {
            insert!("insert into", "{upsert name: name}")
        } else {
            insert!("{insert_ignore}", "{or_ignore}")
        });
        let inserted = statement
            .bind(name)
            .bind(state)
            .bind(&ask.owner.hex())
            .bind(&ask.holder)
            .bind(ask.key.second.as_ref().map(|second| &second.as_bytes()[..]))
            .bind(micros(ask.lease))
            .bind(micros(ask.tail))
            .bind(micros(keep));
        Ok(inserted.execute(conn).await? == 1 && !upsert)
    }

    async fn read_content(&self, conn: &mut impl Conn<D>, name: &str, lock: bool) -> Result<Option<Row>, Error> {
        let statement = self.sql.sql(if lock { read!("{for_update}") } else { read!("") });
        let row = statement.bind(name).fetch_optional::<Columns>(conn).await?;
        let Some((revision, at, attempts, takeover, owned, second, lease, keep)) = row else {
            return Ok(None);
        };
        let second = second.map(|bytes| fingerprint::<D>(&bytes)).transpose()?;
        let record = Record {
            state: state::<D>(at)?,
            attempt: attempt::<D>(attempts)?,
            takeover: takeover != 0,
            owner: owner::<D>(&owned)?,
            fingerprint: second.unwrap_or(Fingerprint::NONE),
            life: Duration::ZERO,
            lease: left(lease),
            superseded: false,
            result: Vec::new(),
        };
        Ok(Some(Row { revision, dead: keep <= 0, second, record }))
    }

    /// Claims a record that is free; false if it changed since it was read.
    async fn take_content(
        &self,
        conn: &mut impl Conn<D>,
        name: &str,
        ask: &ContentSlot,
        (revision, attempt, takeover): (i64, u32, bool),
    ) -> Result<bool, Error> {
        let (state, keep) = ending(ask);
        let taken = self
            .sql
            .sql(
                "update idem_record set state = ?, revision = revision + 1, attempt = ?, takeover = ?, owner = ?, \
                 holder = ?, fingerprint = ?, claimed_at = {now}, lease_until = {now} + ?, tail = ?, \
                 keep_until = {now} + ? where name = ? and revision = ?",
            )
            .bind(state)
            .bind(i64::from(attempt))
            .bind(i64::from(takeover))
            .bind(&ask.owner.hex())
            .bind(&ask.holder)
            .bind(ask.key.second.as_ref().map(|second| &second.as_bytes()[..]))
            .bind(micros(ask.lease))
            .bind(micros(ask.tail))
            .bind(micros(keep))
            .bind(name)
            .bind(revision);
        Ok(taken.execute(conn).await? == 1)
    }

    /// Claims the slot of that name. `lock` says that this is one step of a transaction.
    pub(super) async fn claim_content(
        &self,
        conn: &mut impl Conn<D>,
        name: &str,
        collided: bool,
        ask: &ContentSlot,
        lock: bool,
    ) -> Result<ContentAnswer, Error> {
        for _ in 0..TRIES {
            if self.insert_content(conn, name, ask, lock).await? {
                return Ok(ContentAnswer::First { attempt: 1, takeover: false, collided });
            }
            let Some(row) = self.read_content(conn, name, lock).await? else { continue };
            let (attempt, takeover) = match row.record.judge_content(&ask.owner, ask.mark) {
                _ if row.dead => (1, false),
                Verdict::Take { takeover } => (row.record.attempt + 1, takeover),
                Verdict::Mine => {
                    let Record { attempt, takeover, .. } = row.record;
                    return Ok(ContentAnswer::First { attempt, takeover, collided });
                }
                Verdict::InFlight(retry_after) => {
                    return Ok(ContentAnswer::InFlight { retry_after });
                }
                _ => return Ok(ContentAnswer::Done),
            };
            if self.take_content(conn, name, ask, (row.revision, attempt, takeover)).await? {
                return Ok(ContentAnswer::First { attempt, takeover, collided });
            }
        }
        Err(crowded::<D>())
    }

    /// Chooses between the first slot and the one named by both digests. The row of the first slot is locked, or was just
    /// inserted, in a transaction, so that all contents of one first digest choose one after the other. `joined` says that
    /// the transaction is the caller's, which may have read before and must read again what is committed now.
    pub(super) async fn claim_verified(
        &self,
        conn: &mut impl Conn<D>,
        own: &str,
        ask: &ContentSlot,
        joined: bool,
    ) -> Result<ContentAnswer, Error> {
        let name = &ask.key.name;
        self.insert_content(conn, name, ask, true).await?;
        let first = self.read_content(conn, name, true).await?.filter(|row| !row.dead);
        let own_lives = self.read_content(conn, own, joined).await?.is_some_and(|row| !row.dead);
        if !own_lives {
            let collided = first.and_then(|row| row.second).is_some_and(|second| Some(second) != ask.key.second);
            let slot = if collided { own } else { name };
            return self.claim_content(conn, slot, collided, ask, true).await;
        }
        // The first slot was free and is mine since the insert above; it is not needed.
        self.sql
            .sql("delete from idem_record where name = ? and owner = ?")
            .bind(name)
            .bind(&ask.owner.hex())
            .execute(conn)
            .await?;
        self.claim_content(conn, own, true, ask, true).await
    }

    /// The state of the record, and whether `claim` was the last to claim it.
    async fn content_state(&self, conn: &mut impl Conn<D>, claim: &ContentClaim) -> Result<Option<(i64, bool)>, Error> {
        let row = self
            .sql
            .sql("select state, owner from idem_record where name = ? and keep_until > {now}")
            .bind(&claim.slot_name())
            .fetch_optional::<(i64, String)>(conn)
            .await?;
        Ok(row.map(|(state, owner)| (state, owner == claim.owner.hex())))
    }
}

/// The state that a claim begins in, and how long its record stays.
fn ending(ask: &ContentSlot) -> (i64, Duration) {
    if ask.mark { (DONE, ask.retention) } else { (CLAIMED, ask.lease + ask.tail) }
}

#[async_trait]
impl<D: Db> DedupStore for SqlStore<D> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn claim(&self, ask: &ContentSlot) -> Result<ContentAnswer, Error> {
        let Some(own) = ask.key.collision_name() else {
            return self.claim_content(&mut self.conn().await?, &ask.key.name, false, ask, false).await;
        };
        let mut tx = begin(&self.pool).await?;
        let answer = self.claim_verified(&mut tx, &own, ask, false).await?;
        commit(tx).await?;
        Ok(answer)
    }

    async fn renew(&self, claim: &ContentClaim, lease: Duration) -> Result<bool, Error> {
        let renewed = self
            .sql
            .sql(
                "update idem_record set lease_until = {now} + ?, keep_until = {now} + ? + tail, \
                 revision = revision + 1 where name = ? and owner = ? and state = ? and keep_until > {now}",
            )
            .bind(micros(lease))
            .bind(micros(lease))
            .bind(&claim.slot_name())
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        Ok(renewed.execute(&mut self.conn().await?).await? == 1)
    }

    async fn complete(&self, claim: &ContentClaim, retention: Duration) -> Result<bool, Error> {
        let mut conn = self.conn().await?;
        let completed = self
            .sql
            .sql(
                "update idem_record set state = ?, keep_until = {now} + ?, revision = revision + 1 \
                 where name = ? and owner = ? and state = ? and keep_until > {now}",
            )
            .bind(DONE)
            .bind(micros(retention))
            .bind(&claim.slot_name())
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        if completed.execute(&mut conn).await? == 1 {
            return Ok(true);
        }
        Ok(self.content_state(&mut conn, claim).await? == Some((DONE, true)))
    }

    async fn release(&self, claim: &ContentClaim) -> Result<bool, Error> {
        let mut conn = self.conn().await?;
        let released = self
            .sql
            .sql("delete from idem_record where name = ? and owner = ? and state = ? and keep_until > {now}")
            .bind(&claim.slot_name())
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        if released.execute(&mut conn).await? == 1 {
            return Ok(true);
        }
        Ok(self.content_state(&mut conn, claim).await?.is_none())
    }

    async fn health(&self) -> Result<(), Error> {
        self.ping().await
    }
}
