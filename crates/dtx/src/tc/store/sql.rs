//! A coordinator's state in a database of its own.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::{BackendError, Db, Dialect, Migrations};
use sqlx::Pool;

use super::{Conflict, Decided, Due, NewGlobal, NewWaiter, Registration, Shift, Standing, Tally, TcStore};
use crate::coordinator::{BranchInfo, LockInfo, NewBranch, TransactionFilter, TransactionInfo, WaiterInfo};
use crate::tc::lock::LockKey;
use crate::tc::state::{BranchStatus, Decision, GlobalStatus, settled};
use crate::tc::turn::Answer;

mod many;
mod owner;
mod queue;
mod rows;
mod sight;
mod step;
mod together;

use rows::{dues, micros};

const INIT: (i64, &str) = (1, include_str!("../../../sql/0001_init.sql"));
const QUEUE: (i64, &str) = (2, include_str!("../../../sql/0002_queue.sql"));
const INDEXES: (i64, &str) = (3, include_str!("../../../sql/0003_postgres.sql"));
const ROOM: (i64, &str) = (4, include_str!("../../../sql/0004_room_postgres.sql"));

const fn migrations(dialect: Dialect) -> Migrations {
    match dialect {
        Dialect::Postgres => Migrations::new("dtx", &[INIT, QUEUE, INDEXES, ROOM]),
        _ => Migrations::new("dtx", &[INIT, QUEUE]),
    }
}

/// A [`TcStore`] in a SQL database. On SQLite it is the embedded default and wants a file of its own: a resource in the
/// same file would hold the write lock while it asks the coordinator.
pub struct SqlStore<D: Db> {
    pool: Pool<D>,
    sql: Arc<Sql<D>>,
    home: Option<String>,
}

impl<D: Db> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), sql: Arc::clone(&self.sql), home: self.home.clone() }
    }
}

impl<D: Db> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("home", &self.home).finish_non_exhaustive()
    }
}

impl<D: Db> SqlStore<D> {
    /// A store on your pool; its tables are made or brought up to date.
    ///
    /// How durable a decision is, is how durable a commit on this pool is: on SQLite open the pool with
    /// `synchronous = FULL`, or use [`SqlStore::open`].
    ///
    /// # Errors
    /// If the database cannot be reached or a migration is refused.
    pub async fn new(pool: Pool<D>) -> Result<Self, BackendError> {
        migrations(D::DIALECT).run(&pool).await?;
        Self::over(pool).await
    }

    /// A store on tables that a coordinator keeps there: for a program that joins it to look, and must make or change no
    /// table.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn example(pool: sqlx::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use onceward_dtx::{SqlStore, Tc, TcOptions};
    ///
    /// let peers = TcOptions::default().with_peers(Duration::from_secs(5));
    /// let coordinator = Tc::new(Arc::new(SqlStore::existing(pool).await?), peers);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the database cannot be reached. Class `Refused` if it holds no such tables, or those of another version.
    pub async fn existing(pool: Pool<D>) -> Result<Self, BackendError> {
        migrations(D::DIALECT).verify(&pool).await?;
        Self::over(pool).await
    }

    async fn over(pool: Pool<D>) -> Result<Self, BackendError> {
        let home = crate::place::file::<D>(&mut pool.acquire().await?).await?;
        Ok(Self { pool, sql: Arc::new(Sql::new()), home })
    }
}

#[async_trait]
impl<D: Db> TcStore for SqlStore<D> {
    fn home(&self) -> Option<String> {
        self.home.clone()
    }

    async fn begin(&self, xid: &str, name: &str, timeout: Duration) -> Result<(), BackendError> {
        let new = NewGlobal { xid: xid.to_owned(), name: name.to_owned(), timeout };
        self.begin_in(&mut self.pool.acquire().await?, &new).await
    }

    async fn register(&self, branch: &NewBranch) -> Result<Registration, BackendError> {
        let mut tx = begin(&self.pool).await?;
        let registration = self.register_in(&mut tx, branch).await?;
        if registration == Registration::Registered {
            commit(tx).await?;
        }
        Ok(registration)
    }

    async fn take(&self, xid: &str, locks: &[LockKey]) -> Result<Registration, BackendError> {
        let mut tx = begin(&self.pool).await?;
        let registration = self.take_in(&mut tx, xid, locks).await?;
        if registration == Registration::Registered {
            commit(tx).await?;
        }
        Ok(registration)
    }

    fn gathers(&self) -> bool {
        // MySQL has no statement for many.
        D::DIALECT != Dialect::MySql
    }

    async fn begin_all(&self, new: &[NewGlobal]) -> Result<(), BackendError> {
        self.begin_many(new).await
    }

    async fn register_all(&self, branches: &[NewBranch]) -> Result<Vec<Registration>, BackendError> {
        self.register_many(branches).await
    }

    async fn commit_all(&self, xids: &[&str]) -> Result<Vec<Option<Decided>>, BackendError> {
        self.commit_many(xids).await
    }

    async fn decide(&self, xid: &str, decision: Decision, due: Duration) -> Result<Option<Decided>, BackendError> {
        let mut tx = begin(&self.pool).await?;
        let decided = self.decide_in(&mut tx, xid, decision, due).await?;
        commit(tx).await?;
        Ok(decided)
    }

    async fn branches(&self, xid: &str) -> Result<Vec<BranchInfo>, BackendError> {
        let mut conn = self.pool.acquire().await?;
        Ok(self.branches_of(&mut conn, xid).await?.into_iter().map(|(info, _)| info).collect())
    }

    async fn settle(&self, xid: &str, ends: &[(i64, BranchStatus)]) -> Result<Option<Decided>, BackendError> {
        let mut tx = begin(&self.pool).await?;
        // The row of the transaction first: settling, deciding and registering follow each other.
        self.sql.sql("update dtx_global set tries = tries where xid = ?").bind(xid).execute(&mut tx).await?;
        let Some(mut standing) = self.standing(&mut tx, xid).await? else { return Ok(None) };
        for (branch_id, status) in ends {
            self.sql
                .sql(
                    "update dtx_branch set status = ? where xid = ? and branch_id = ? \
                     and (status = 1 or (status = 3 and ? = 2))",
                )
                .bind(status.code())
                .bind(xid)
                .bind(*branch_id)
                .bind(status.code())
                .execute(&mut tx)
                .await?;
        }
        let branches = self.branches_of(&mut tx, xid).await?;
        let statuses: Vec<_> = branches.iter().map(|(info, _)| info.status).collect();
        let after = settled(standing.status, &statuses);
        let (mut wanted, moved) = (false, after != standing.status);
        if moved {
            self.sql
                .sql("update dtx_global set status = ?, ended = {now} where xid = ? and status = ?")
                .bind(after.code())
                .bind(xid)
                .bind(standing.status.code())
                .execute(&mut tx)
                .await?;
            standing.status = after;
        }
        // A transaction may end without an answer: if all its branches had failed before.
        if after.is_over() && (moved || !ends.is_empty()) {
            self.sql.sql("delete from dtx_branch where xid = ? and status = 2").bind(xid).execute(&mut tx).await?;
        }
        if after.is_over() && (moved || !ends.is_empty()) || after == GlobalStatus::RollingBack {
            let left = branches.iter().filter(|(info, _)| info.status != BranchStatus::Done);
            let kept: Vec<_> = left.flat_map(|(_, locks)| locks.split(';').map(str::to_owned)).collect();
            wanted = self.free(&mut tx, xid, &kept).await?;
        }
        commit(tx).await?;
        Ok(Some(Decided { standing, wanted }))
    }

    async fn branches_of(&self, xids: &[&str]) -> Result<Vec<Vec<BranchInfo>>, BackendError> {
        self.all_branches(xids).await
    }

    async fn end_committed(&self, xids: &[&str]) -> Result<(), BackendError> {
        self.end_all(xids).await
    }

    async fn enqueue(&self, waiter: &NewWaiter) -> Result<Vec<(String, Answer)>, BackendError> {
        self.join_queue(waiter).await
    }

    async fn serve(&self, owner: &str) -> Result<Vec<(String, Answer)>, BackendError> {
        let mut tx = begin(&self.pool).await?;
        let served = self.serve_queue(&mut tx, owner).await?;
        commit(tx).await?;
        Ok(served)
    }

    async fn answers(&self, owner: &str) -> Result<Vec<(String, Option<Answer>)>, BackendError> {
        self.read_answers(owner).await
    }

    async fn leave(&self, waiters: &[&str]) -> Result<(), BackendError> {
        let mut tx = begin(&self.pool).await?;
        for waiter in waiters {
            self.forget_waiter(&mut tx, waiter).await?;
        }
        commit(tx).await
    }

    async fn waiters(&self) -> Result<Vec<WaiterInfo>, BackendError> {
        self.list_waiters().await
    }

    async fn parked(&self) -> Result<Vec<(String, BranchInfo)>, BackendError> {
        let mut conn = self.pool.acquire().await?;
        let select = self
            .sql
            .sql("select xid, branch_id, resource_id from dtx_branch where status = 3 order by xid, number desc");
        let rows: Vec<(String, i64, String)> = select.fetch_all(&mut conn).await?;
        let info = |branch_id, resource_id| BranchInfo { branch_id, resource_id, status: BranchStatus::Parked };
        Ok(rows.into_iter().map(|(xid, branch_id, resource_id)| (xid, info(branch_id, resource_id))).collect())
    }

    async fn postpone(&self, xid: &str, pause: Duration) -> Result<(), BackendError> {
        let mut conn = self.pool.acquire().await?;
        self.sql
            .sql("update dtx_global set due = {now} + ?, tries = tries + 1 where xid = ?")
            .bind(micros(pause))
            .bind(xid)
            .execute(&mut conn)
            .await?;
        Ok(())
    }

    async fn due(&self, shift: &Shift) -> Result<Vec<Due>, BackendError> {
        self.take_on(shift).await
    }

    async fn beat(&self, owner: &str, lease: Duration) -> Result<(), BackendError> {
        self.note_owner(owner, lease).await
    }

    async fn orphans(&self, limit: i64) -> Result<Vec<Due>, BackendError> {
        let sql = &self.sql;
        let orphans = sql.sql(
            "select xid, status, tries from dtx_global where status = 1 and not exists (select 1 from dtx_owner o \
             where o.until > (select {now}) and substr(dtx_global.xid, 1, length(o.owner)) = o.owner) \
             order by began limit ?",
        );
        dues(orphans.bind(limit), &mut self.pool.acquire().await?).await
    }

    async fn unfinished(&self) -> Result<Vec<Due>, BackendError> {
        let unfinished =
            self.sql.sql("select xid, status, tries from dtx_global where status in (1, 4, 8) order by began, xid");
        dues(unfinished, &mut self.pool.acquire().await?).await
    }

    async fn held(&self, xid: Option<&str>, locks: &[LockKey]) -> Result<Option<Conflict>, BackendError> {
        let mut conn = self.pool.acquire().await?;
        for lock in locks {
            if let Some(conflict) = self.holder(&mut conn, lock).await?.filter(|held| Some(&*held.holder) != xid) {
                return Ok(Some(conflict));
            }
        }
        Ok(None)
    }

    async fn holds(&self, xid: &str, locks: &[LockKey]) -> Result<bool, BackendError> {
        let own = self.sql.sql(
            "select l.lock_id from dtx_global g join dtx_lock l on l.xid = g.xid where g.xid = ? and g.status + 0 = 1",
        );
        let own: Vec<(String,)> = own.bind(xid).fetch_all(&mut self.pool.acquire().await?).await?;
        let own: HashSet<_> = own.into_iter().map(|(id,)| id).collect();
        Ok(locks.iter().all(|lock| own.contains(&lock.id())))
    }

    async fn find(&self, xid: &str) -> Result<Option<Standing>, BackendError> {
        self.standing(&mut self.pool.acquire().await?, xid).await
    }

    async fn transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionInfo>, BackendError> {
        self.show_transactions(filter).await
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        self.count_transactions().await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, BackendError> {
        self.show_locks().await
    }

    async fn purge(&self, older: Duration) -> Result<u64, BackendError> {
        // Who was told something and never asked for it is dead by now.
        self.sql
            .sql("delete from dtx_waiter where state <> 1 and xid not in (select xid from dtx_global where status = 1)")
            .execute(&mut self.pool.acquire().await?)
            .await?;
        // A parked transaction is over, but nobody may forget it.
        self.sql
            .sql("delete from dtx_global where ended <= (select {now}) - ? and status in (9, 11)")
            .bind(micros(older))
            .execute(&mut self.pool.acquire().await?)
            .await
    }
}

#[cfg(feature = "sqlite")]
impl SqlStore<sqlx::Sqlite> {
    /// A store in a SQLite file of its own, created if absent, with `synchronous = FULL`: a decision survives a power
    /// failure.
    ///
    /// # Errors
    /// If the file cannot be opened or a migration is refused.
    pub async fn open(path: impl AsRef<std::path::Path>) -> Result<Self, BackendError> {
        use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
        let pool = onceward_backend::sqlite::open(path.as_ref()).await?;
        let options = (*pool.connect_options()).clone().synchronous(SqliteSynchronous::Full);
        pool.close().await;
        Self::new(SqlitePoolOptions::new().max_connections(4).connect_with(options).await?).await
    }
}
