//! AT: ordinary sqlx statements, captured so that committed work can be undone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceward_backend::{Db, Migrations};
use sqlx::{Pool, Transaction};

use crate::DtxError;
use crate::coordinator::Coordinator;
use crate::participant::BranchParticipant;
use crate::tm::Dtx;

mod branch;
mod call;
mod capture;
mod catalog;
mod connection;
mod finish;
mod image;
mod key;
mod locks;
mod log;
mod phase_two;
mod plan;
mod plans;
mod undo;

pub use branch::AtTransaction;
pub use capture::AtDb;
pub use connection::AtConnection;

use log::Log;
use plans::Plans;

const MIGRATIONS: Migrations = Migrations::new("dtx-at", &[(1, include_str!("../sql/at/0001_init.sql"))]);

/// A database as a resource of global transactions. Cheap to clone; all clones are one.
pub struct At<D: AtDb>(Arc<Inner<D>>);

struct Inner<D: AtDb> {
    resource_id: String,
    home: Option<String>,
    pool: Pool<D>,
    undo_pool: Pool<D>,
    coordinator: Arc<dyn Coordinator>,
    options: AtOptions<D>,
    plans: Arc<Plans<D>>,
    log: Log<D>,
}

impl<D: AtDb> Clone for At<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: AtDb> fmt::Debug for At<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("At").field("resource_id", &self.0.resource_id).finish_non_exhaustive()
    }
}

/// Settings of an [`At`].
#[non_exhaustive]
pub struct AtOptions<D: Db> {
    /// How long a branch tries again while its rows are locked. It never goes on past the deadline of its transaction.
    pub lock_timeout: Duration,
    /// The most rows that one branch may change.
    pub max_rows: usize,
    /// The most bytes that the images of one branch may take.
    pub max_bytes: usize,
    /// Who hears how branches end.
    pub participants: Vec<Arc<dyn BranchParticipant<D>>>,
}

impl<D: Db> Default for AtOptions<D> {
    /// 10 s, 10,000 rows, 16 MiB, nobody.
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(10),
            max_rows: 10_000,
            max_bytes: 16 * 1024 * 1024,
            participants: Vec::new(),
        }
    }
}

impl<D: Db> fmt::Debug for AtOptions<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOptions")
            .field("lock_timeout", &self.lock_timeout)
            .field("max_rows", &self.max_rows)
            .field("max_bytes", &self.max_bytes)
            .field("participants", &self.participants)
            .finish()
    }
}

impl<D: Db> AtOptions<D> {
    /// Sets how long a branch tries again while its rows are locked.
    #[must_use]
    pub const fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sets the most rows that one branch may change.
    #[must_use]
    pub const fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// Sets the most bytes that the images of one branch may take.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Adds somebody who hears how branches end.
    #[must_use]
    pub fn with_participant(mut self, participant: Arc<dyn BranchParticipant<D>>) -> Self {
        self.participants.push(participant);
        self
    }
}

impl<D: AtDb> At<D> {
    /// Makes the database behind `pool` a resource under an id that is the same after every restart. Its tables
    /// `undo_log` and `dtx_parked` are made, or an `undo_log` that is there is verified.
    ///
    /// # Errors
    /// [`DtxError::Resource`] if the id is taken, if the database is in memory (the second phase has connections of its
    /// own), if it is the coordinator's or another resource's file, or if there is an `undo_log` of another shape.
    pub async fn new(
        resource_id: impl Into<String>,
        pool: Pool<D>,
        dtx: &Dtx,
        options: AtOptions<D>,
    ) -> Result<Self, DtxError> {
        let resource_id = resource_id.into();
        let problem = |problem: &str| DtxError::Resource { resource: resource_id.clone(), problem: problem.to_owned() };
        let home = D::home(&mut *pool.acquire().await?).await?;
        if home.is_none() {
            return Err(problem("a database in memory has one connection; use a file"));
        }
        if dtx.coordinator().home() == home {
            return Err(problem("it is the coordinator's own file, where the two would lock each other out"));
        }
        MIGRATIONS.run(&pool).await?;
        let undo_pool = D::undo_pool(&pool);
        if D::home(&mut *undo_pool.acquire().await?).await? != home {
            return Err(problem("its connections do not all mean one database and schema"));
        }
        let log = Log::new();
        let mut trial = onceward_backend::internal::begin(&pool).await?;
        let keyed = log.is_keyed(&mut trial).await;
        trial.rollback().await?;
        match keyed {
            Ok(true) => {}
            Ok(false) => return Err(problem("its undo_log has no unique key on xid and branch_id")),
            Err(DtxError::Backend(error)) if error.is_retryable() => return Err(error.into()),
            Err(_) => return Err(problem("its undo_log has other columns")),
        }
        let at = Self(Arc::new(Inner {
            resource_id: resource_id.clone(),
            home,
            pool,
            undo_pool,
            coordinator: Arc::clone(dtx.coordinator()),
            options,
            plans: Arc::default(),
            log,
        }));
        dtx.resources().add(Arc::new(at.clone()))?;
        Ok(at)
    }

    /// The id that branches of this resource carry.
    pub fn resource_id(&self) -> &str {
        &self.0.resource_id
    }

    /// Your pool, for reads and for tables that take no part in global transactions.
    pub fn pool(&self) -> &Pool<D> {
        &self.0.pool
    }

    /// Reads the catalogue anew with the next statement: for after a migration that this process has run itself. What others
    /// change is found by itself, on PostgreSQL within 5 s.
    pub fn forget_plans(&self) {
        self.0.plans.forget();
    }

    /// A plain transaction without undo, locks or capture: it may overwrite rows of open global transactions, whose
    /// rollback is then parked. Logged.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn unprotected(&self) -> Result<Transaction<'static, D>, DtxError> {
        tracing::warn!(resource = self.0.resource_id, "unprotected transaction");
        Ok(onceward_backend::internal::begin(&self.0.pool).await?)
    }

    pub(crate) fn options(&self) -> &AtOptions<D> {
        &self.0.options
    }

    pub(crate) fn plans(&self) -> &Arc<Plans<D>> {
        &self.0.plans
    }
}
