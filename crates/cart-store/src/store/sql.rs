//! Carts in a database: SQLite, PostgreSQL, MariaDB.
//!
//! A cart is one row, its rules run here: read the row, change the record, write it back if its revision is still the one
//! that was read, else begin again. So no lock is held while this process thinks, and a pool of one connection is enough.
//! Where a mark must be kept together with the change, the same happens inside one transaction. Isolation assumed: READ
//! COMMITTED.

mod rows;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::internal::{Sql, begin, commit, random_unit};
use onceward_backend::{BackendError, Db, Dialect, Migrations};
use sqlx::Pool;

use super::{Absorb, Capabilities, Durability, Store, now};
use crate::cart::Record;
use crate::error::Error;
use crate::types::{
    Applied, Bought, Cart, Change, Command, GuestId, Line, MemberId, MergeId, MergeReport, MergeTtl, OrderId, Owner,
    Sealing, Stage, Taken, Unfinished,
};
use rows::Expiry;

/// Carts in a SQLite file.
#[cfg(feature = "sqlite")]
pub type SqliteStore = SqlStore<sqlx::Sqlite>;
/// Carts in PostgreSQL.
#[cfg(feature = "postgres")]
pub type PostgresStore = SqlStore<sqlx::Postgres>;
/// Carts in MariaDB or MySQL.
#[cfg(feature = "mysql")]
pub type MySqlStore = SqlStore<sqlx::MySql>;

/// Carts in the tables `cart_carts` and `cart_marks` of a database. Cheap to clone.
///
/// Round trips: `get` 1, `apply`, `seal`, `tombstone` and `settle` 2 (and 2 more each time that another writer was first),
/// `absorb` and `take` 6, `delete` 5.
pub struct SqlStore<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
}

impl<D: Db> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql) }
    }
}

impl<D: Db> std::fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStore").field("database", &D::DIALECT.name()).finish_non_exhaustive()
    }
}

impl<D: Db> SqlStore<D> {
    /// Carts in the database of `pool`.
    pub fn new(pool: Pool<D>) -> Self {
        Self { pool, sql: Arc::new(Sql::new()) }
    }

    /// Creates the tables, or brings them up to date. Call it once at start; processes that do so at once wait for each
    /// other.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        const STEPS: Migrations = Migrations::new("cart-store", &[(1, include_str!("../../sql/0001_init.sql"))]);
        STEPS.run(&self.pool).await
    }

    /// Changes one cart by compare and set; `change` says when it expires, or `None` if it is to be left as it is.
    async fn change<T>(
        &self,
        owner: &Owner,
        mut change: impl FnMut(&mut Record) -> Result<(T, Option<Expiry>), Error> + Send,
    ) -> Result<T, Error> {
        let id = owner.id();
        for attempt in 1..=ATTEMPTS {
            let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
            let mut row = self.read(&mut conn, &id).await?;
            let (answer, expiry) = change(&mut row.record)?;
            let Some(expiry) = expiry else { return Ok(answer) };
            if self.write(&mut conn, &id, &row, expiry).await? {
                return Ok(answer);
            }
            drop(conn);
            lost_a_race(attempt).await;
        }
        Err(Error::Contended)
    }

    /// Changes one cart once per mark. What `first` answers is kept under the mark; a repeat reads it by `again`.
    async fn once<T>(
        &self,
        owner: &Owner,
        name: &str,
        ttl: Duration,
        mut first: impl FnMut(&mut Record) -> Result<(T, Vec<u8>, Option<Expiry>), Error> + Send,
        again: impl Fn(&[u8]) -> Result<T, &'static str> + Send + Sync,
    ) -> Result<T, Error> {
        let id = owner.id();
        for attempt in 1..=ATTEMPTS {
            let mut tx = begin(&self.pool).await?;
            if let Some(kept) = self.recall(&mut tx, &id, name).await? {
                return again(&kept).map_err(|what| self.corrupt(what));
            }
            let mut row = self.read(&mut tx, &id).await?;
            let (answer, kept, expiry) = first(&mut row.record)?;
            let noted = self.remember(&mut tx, &id, name, &kept, ttl).await?;
            let written = match expiry {
                Some(expiry) if noted => self.write(&mut tx, &id, &row, expiry).await?,
                _ => noted,
            };
            if written {
                commit(tx).await?;
                return Ok(answer);
            }
            tx.rollback().await.map_err(BackendError::from)?;
            lost_a_race(attempt).await;
        }
        Err(Error::Contended)
    }

    fn corrupt(&self, what: &'static str) -> Error {
        Error::Backend(BackendError::corrupt(D::DIALECT.name(), what))
    }
}

#[async_trait]
impl<D: Db> Store for SqlStore<D> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full(Durability::Backend).with_shared(D::DIALECT != Dialect::Sqlite)
    }

    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let row = self.read(&mut conn, &owner.id()).await?;
        Ok(row.lives.then(|| row.record.cart(owner.clone())))
    }

    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error> {
        self.change(owner, |record| {
            let applied = record.apply(batch, change, now())?;
            let written = applied.changed && !applied.replayed;
            Ok((applied, written.then(|| Expiry::after(change.ttl))))
        })
        .await
    }

    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, ttl: MergeTtl) -> Result<Sealing, Error> {
        self.change(&Owner::Guest(*guest), |record| {
            let sealed_before = record.seal.is_some();
            let sealing = record.seal(into, merge, now())?;
            let ttl = if sealing.stage == Stage::Sealed { ttl.sealed } else { ttl.tombstoned };
            Ok((sealing, (!sealed_before).then(|| Expiry::after(Some(ttl)))))
        })
        .await
    }

    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error> {
        let first = |record: &mut Record| {
            let before = record.version;
            let report = record.absorb(lines, &absorb.limits)?;
            let kept = report.encode();
            Ok((report, kept, (record.version != before).then(|| Expiry::after(absorb.ttl))))
        };
        let name = format!("m:{}", absorb.merge.text());
        let owner = Owner::Member(member.clone());
        self.once(&owner, &name, absorb.mark_ttl, first, |kept| MergeReport::decode(kept).map(MergeReport::replay))
            .await
    }

    async fn tombstone(&self, guest: &GuestId, merge: MergeId, ttl: Duration) -> Result<(), Error> {
        self.change(&Owner::Guest(*guest), |record| {
            Ok(((), record.promote(merge, Stage::Tombstoned, now()).then(|| Expiry::after(Some(ttl)))))
        })
        .await
    }

    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error> {
        self.change(&Owner::Guest(*guest), |record| {
            Ok(((), record.promote(merge, Stage::Settled, now()).then_some(Expiry::Keep)))
        })
        .await
    }

    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let mut found = Vec::new();
        for (stage, age) in [(Stage::Sealed, sealed), (Stage::Tombstoned, tombstoned)] {
            found.extend(self.at_stage(&mut conn, stage, age, limit).await?);
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], mark_ttl: Duration) -> Result<Taken, Error> {
        let first = |record: &mut Record| {
            let before = record.version;
            let taken = record.take(lines)?;
            Ok((taken, taken.encode(), (record.version != before).then_some(Expiry::Keep)))
        };
        let name = format!("o:{}", order.as_str());
        self.once(owner, &name, mark_ttl, first, |kept| Taken::decode(kept).map(Taken::replay)).await
    }

    async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        let id = owner.id();
        let mut tx = begin(&self.pool).await?;
        let lived = self.read(&mut tx, &id).await?.lives;
        self.sql.sql("delete from cart_marks where cart_id = ?").bind(&id).execute(&mut tx).await?;
        let gone = self.sql.sql("delete from cart_carts where id = ?").bind(&id).execute(&mut tx).await?;
        commit(tx).await?;
        Ok(lived && gone == 1)
    }

    async fn purge(&self, limit: u32) -> Result<u64, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        Ok(self.purge_expired(&mut conn, limit).await?)
    }

    async fn health(&self) -> Result<(), Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        self.sql.sql("select {now}").fetch_one::<(i64,)>(&mut conn).await?;
        Ok(())
    }
}

/// Each lost race means that another writer made progress; the pause keeps many of them from running in step.
async fn lost_a_race(attempt: u32) {
    metrics::counter!("onceward_cart_races_total").increment(1);
    if attempt > 1 {
        let longest = Duration::from_millis(u64::from(attempt.min(20)));
        tokio::time::sleep(longest.mul_f64(random_unit())).await;
    }
}

const ATTEMPTS: u32 = 200;
