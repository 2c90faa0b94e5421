//! Global locks that a transaction takes before it has anything open in the database.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use sqlx::{Execute, Executor};
use tokio::time::Instant;
use tracing::Instrument;

use super::At;
use super::call::Call;
use super::capture::AtDb;
use super::locks::key_text;
use crate::DtxError;
use crate::context::{self, Global};
use crate::tc::lock::LockKey;

/// How often the rows are looked at before somebody moves them too fast.
const ROUNDS: usize = 8;

tokio::task_local! {
    /// Set while the closure of a local transaction runs.
    static OPEN: ();
}

/// Runs the closure of a local transaction, in which nothing may wait for a lock.
pub(super) fn open<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OPEN.scope((), work)
}

/// What a query chose.
struct Chosen {
    table: String,
    keys: BTreeSet<LockKey>,
}

impl<D: AtDb> At<D> {
    /// Takes the global locks of the rows that a query chooses, for the current global transaction until its end, and answers
    /// how many rows that are. Call it before the branch that changes them: that one then meets no conflict, so it is never
    /// run twice.
    ///
    /// The query is a plain `select` of columns from one table that branches may change, with any condition, order and limit.
    /// It is run for the keys of its rows only. All of them are asked for at once, in the order of arrival, all or none, while
    /// neither a connection nor a row is held. Once they are given, the query is run again: rows that it chooses now and did
    /// not before are taken too. Rows that were waited for and are no longer chosen stay locked and are not counted. What other
    /// global transactions have not decided yet is read as it is; rows that come later are not held.
    ///
    /// ```
    /// # use onceward_dtx::{At, Dtx, DtxError, Options, sqlx::{self, Sqlite}};
    /// # async fn example(dtx: Dtx, at: At<Sqlite>) -> Result<(), DtxError> {
    /// dtx.run(Options::new("interest"), async |_| {
    ///     let held = at.lock(sqlx::query("select id from account where owner = ?").bind("ann")).await?;
    ///     assert_eq!(held, 2);
    ///     at.branch(async |mut tx| {
    ///         sqlx::query("update account set balance = balance + 1 where owner = ?").bind("ann").execute(&mut *tx).await?;
    ///         Ok(())
    ///     })
    ///     .await
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DtxError::NoTransaction`] outside of a global transaction. [`DtxError::Refused`] for another query, a table that is not
    /// covered, or within the closure of a branch, where the local transaction would be open meanwhile; of one that was begun
    /// by hand that is not noticed. [`DtxError::TooLarge`] past [`AtOptions::max_rows`](crate::AtOptions::max_rows).
    /// [`DtxError::LockConflict`] if a row stays locked past [`AtOptions::lock_timeout`](crate::AtOptions::lock_timeout) or the
    /// deadline, or at once if its holder is parked; one that rolls back is waited for. [`DtxError::Deadlock`] if the
    /// transaction waits in a circle and began last; [`DtxError::Moved`] if the query chooses other rows again and again;
    /// [`DtxError::Ended`] if the transaction is decided.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the queue. Rows that were given already stay the transaction's.
    pub fn lock<'q>(&self, query: impl Execute<'q, D>) -> BoxFuture<'_, Result<usize, DtxError>> {
        // Taken apart here and not in the future, which must not hold the query.
        let call = Call::take(query);
        async move {
            let call = call.map_err(sqlx::Error::Encode)?.bound();
            let global = context::current().ok_or(DtxError::NoTransaction)?;
            if OPEN.try_with(|()| ()).is_ok() {
                let part = "At::lock within a branch, which would wait with its local transaction open";
                return Err(DtxError::refused(part, "call it before the branch"));
            }
            let span = tracing::info_span!("onceward.dtx.lock", resource = self.resource_id(), xid = global.xid());
            self.take(&global, &call).instrument(span).await
        }
        .boxed()
    }

    async fn take(&self, global: &Global, call: &Call<D>) -> Result<usize, DtxError> {
        let (coordinator, xid) = (&self.0.coordinator, global.xid());
        let until = global.deadline().min(Instant::now() + self.options().lock_timeout);
        let mut held = BTreeSet::new();
        let mut chosen = self.choose(call).await?;
        for _ in 0..ROUNDS {
            let wanted: Vec<_> = chosen.keys.difference(&held).cloned().collect();
            if wanted.is_empty() {
                return Ok(chosen.keys.len());
            }
            let mut granted = true;
            let is_ours = match coordinator.take_locks(xid, &wanted).await {
                Err(DtxError::LockConflict { .. }) => {
                    let left = until.saturating_duration_since(Instant::now());
                    granted = coordinator.wait_for_locks(xid, &wanted, left).await?;
                    // Granted may be a guess, and rows that are free are not ours either.
                    coordinator.holds(xid, &wanted).await?
                }
                taken => taken.map(|()| true)?,
            };
            if is_ours {
                held.extend(wanted);
                chosen = self.choose(call).await?;
                continue;
            }
            match coordinator.check_locks(Some(xid), &wanted).await {
                // It is open, and whoever holds them will end.
                Err(DtxError::LockConflict { rolling_back: false, .. }) if granted => {}
                checked => checked?,
            }
        }
        Err(DtxError::Moved { table: chosen.table })
    }

    /// The keys of the rows that the query chooses now: one statement on a connection that goes back at once.
    async fn choose(&self, call: &Call<D>) -> Result<Chosen, DtxError> {
        let limit = self.options().max_rows;
        let mut conn = self.0.pool.acquire().await?;
        self.plans().schema(D::schema(&mut conn).await?);
        let plan = self.plans().chosen(&mut conn, call.sql.as_str(), &self.options().tables).await?;
        let mut keys = BTreeSet::new();
        let mut rows = D::executor(&mut conn).fetch(call.with_text(&plan.text));
        while let Some(row) = rows.try_next().await? {
            let found = D::locked(&plan.table, &row).inspect_err(|_| self.plans().forget())?;
            let (resource_id, table) = (self.resource_id().to_owned(), plan.table.locked_as.clone());
            keys.insert(LockKey { resource_id, table, key: key_text::<D>(&plan.table, &found) });
            if keys.len() > limit {
                return Err(DtxError::TooLarge { what: "rows", limit });
            }
        }
        Ok(Chosen { table: plan.table.name.clone(), keys })
    }
}
