//! The statements.

use std::time::Duration;

use onceward_backend::{BackendError, Conn, Db};

use super::SqlStore;
use crate::cart::{Record, pack};
use crate::error::Error;
use crate::types::{Owner, Stage, Unfinished};

/// A cart as it was read.
pub(super) struct Row {
    pub(super) record: Record,
    /// Whether there is a cart that has not expired.
    pub(super) lives: bool,
    /// None if there is no row at all.
    revision: Option<i64>,
}

/// When a cart that is written expires.
#[derive(Clone, Copy)]
pub(super) enum Expiry {
    /// As before.
    Keep,
    /// So many microseconds from now; never if none.
    In(Option<i64>),
}

impl Expiry {
    pub(super) fn after(ttl: Option<Duration>) -> Self {
        Self::In(ttl.map(micros))
    }
}

/// A time span that can be added to a point in time, and taken from one, without overflow.
pub(super) fn micros(span: Duration) -> i64 {
    const LONGEST: i64 = i64::MAX / 4;
    i64::try_from(span.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}

impl<D: Db> SqlStore<D> {
    pub(super) async fn read(&self, conn: &mut impl Conn<D>, id: &str) -> Result<Row, Error> {
        let found: Option<(i64, Option<i64>, Vec<u8>)> = self
            .sql
            .sql("select revision, expires_at - {now}, body from cart_carts where id = ?")
            .bind(id)
            .fetch_optional(conn)
            .await?;
        let Some((revision, remains, body)) = found else {
            return Ok(Row { record: Record::default(), lives: false, revision: None });
        };
        let lives = remains.is_none_or(|micros| micros > 0);
        let record = if lives { Record::decode(&body).map_err(|what| self.corrupt(what))? } else { Record::default() };
        Ok(Row { record, lives, revision: Some(revision) })
    }

    /// Writes the record back; false if another writer was first.
    pub(super) async fn write(
        &self,
        conn: &mut impl Conn<D>,
        id: &str,
        row: &Row,
        expiry: Expiry,
    ) -> Result<bool, BackendError> {
        let record = &row.record;
        let stage = i64::from(record.seal.as_ref().map_or(0, |seal| pack::stage_code(seal.stage)));
        let lines = i64::try_from(record.lines.len()).unwrap_or(i64::MAX);
        let body = record.encode();
        // MySQL assigns from left to right and compares `merge_stage` with what it was only before it is assigned.
        let update = match (row.revision, expiry) {
            (Some(_), Expiry::Keep) => self.sql.sql(
                "update cart_carts set merge_at = case when merge_stage = ? then merge_at else {now} end, \
                 merge_stage = ?, version = ?, line_count = ?, body = ?, revision = revision + 1, updated_at = {now} \
                 where id = ? and revision = ?",
            ),
            (Some(_), Expiry::In(_)) => self.sql.sql(
                "update cart_carts set merge_at = case when merge_stage = ? then merge_at else {now} end, \
                 merge_stage = ?, version = ?, line_count = ?, body = ?, revision = revision + 1, updated_at = {now}, \
                 expires_at = {now} + ? where id = ? and revision = ?",
            ),
            (None, _) => {
                let ttl = match expiry {
                    Expiry::In(ttl) => ttl,
                    Expiry::Keep => None,
                };
                let insert = self.sql.sql(
                    "{insert_ignore} cart_carts \
                     (id, revision, merge_stage, version, line_count, body, merge_at, updated_at, expires_at) \
                     values (?, ?, ?, ?, ?, ?, {now}, {now}, {now} + ?) {or_ignore}",
                );
                let insert = insert.bind(id).bind(first_revision()).bind(stage).bind(i64::from(record.version));
                return Ok(insert.bind(lines).bind(&body).bind(ttl).execute(conn).await? == 1);
            }
        };
        let update = update.bind(stage).bind(stage).bind(i64::from(record.version)).bind(lines).bind(&body);
        let update = match expiry {
            Expiry::Keep => update,
            Expiry::In(ttl) => update.bind(ttl),
        };
        Ok(update.bind(id).bind(row.revision).execute(conn).await? == 1)
    }

    /// What is kept under a mark. One that has expired is removed, so that it can be set again.
    pub(super) async fn recall(
        &self,
        conn: &mut impl Conn<D>,
        id: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let found: Option<(i64, Vec<u8>)> = self
            .sql
            .sql("select expires_at - {now}, body from cart_marks where cart_id = ? and mark = ?")
            .bind(id)
            .bind(name)
            .fetch_optional(conn)
            .await?;
        match found {
            Some((remains, body)) if remains > 0 => Ok(Some(body)),
            Some(_) => {
                let expired = "delete from cart_marks where cart_id = ? and mark = ? and expires_at <= {now}";
                self.sql.sql(expired).bind(id).bind(name).execute(conn).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Sets a mark; false if another writer was first.
    pub(super) async fn remember(
        &self,
        conn: &mut impl Conn<D>,
        id: &str,
        name: &str,
        kept: &[u8],
        ttl: Duration,
    ) -> Result<bool, BackendError> {
        let insert =
            "{insert_ignore} cart_marks (cart_id, mark, body, expires_at) values (?, ?, ?, {now} + ?) {or_ignore}";
        Ok(self.sql.sql(insert).bind(id).bind(name).bind(kept).bind(micros(ttl)).execute(conn).await? == 1)
    }

    /// Merges that have been at a stage for at least `age`, the oldest first.
    pub(super) async fn at_stage(
        &self,
        conn: &mut impl Conn<D>,
        stage: Stage,
        age: Duration,
        limit: u32,
    ) -> Result<Vec<Unfinished>, Error> {
        let rows: Vec<(String, i64, Vec<u8>)> = self
            .sql
            .sql(
                "select id, {now} - merge_at, body from cart_carts where merge_stage = ? and merge_at <= {now} - ? \
                 and (expires_at is null or expires_at > {now}) order by merge_at, id limit ?",
            )
            .bind(i64::from(pack::stage_code(stage)))
            .bind(micros(age))
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for (id, age, body) in rows {
            let Some(Owner::Guest(guest)) = Owner::from_id(&id) else { continue };
            let record = Record::decode(&body).map_err(|what| self.corrupt(what))?;
            let age = Duration::from_micros(u64::try_from(age).unwrap_or_default());
            found.extend(record.seal.map(|seal| Unfinished::new(guest, seal.into, seal.stage, age)));
        }
        Ok(found)
    }

    /// Removes what expired first. The bound is read before, since no syntax for a limited delete is common to all.
    pub(super) async fn purge_expired(&self, conn: &mut impl Conn<D>, limit: u32) -> Result<u64, BackendError> {
        let carts = self.sql.sql(
            "select max(t.expires_at) from \
             (select expires_at from cart_carts where expires_at <= {now} order by expires_at limit ?) t",
        );
        let bound = one::<Option<i64>>(carts.bind(i64::from(limit)).fetch_one(conn).await?);
        let mut gone = 0;
        if bound.is_some() {
            gone += self.sql.sql("delete from cart_carts where expires_at <= ?").bind(bound).execute(conn).await?;
        }
        let marks = self.sql.sql(
            "select max(t.expires_at) from \
             (select expires_at from cart_marks where expires_at <= {now} order by expires_at limit ?) t",
        );
        let bound = one::<Option<i64>>(marks.bind(i64::from(limit)).fetch_one(conn).await?);
        if bound.is_some() {
            gone += self.sql.sql("delete from cart_marks where expires_at <= ?").bind(bound).execute(conn).await?;
        }
        Ok(gone)
    }
}

fn one<T>((value,): (T,)) -> T {
    value
}

/// Random, so that a row that was removed and made anew is never taken for the one that was read.
fn first_revision() -> i64 {
    let mut bytes = [0; 8];
    // Without randomness any number will do: it only narrows a race.
    let _ = getrandom::fill(&mut bytes);
    i64::from_be_bytes(bytes) >> 2
}
