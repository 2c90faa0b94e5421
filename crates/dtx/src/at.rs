//! AT: ordinary sqlx statements, captured so that committed work can be undone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onceward_backend::{Dialect, Migrations};
use sqlx::{Pool, Transaction};

use crate::DtxError;
use crate::coordinator::Coordinator;
use crate::tm::Dtx;

mod ahead;
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
#[cfg(test)]
mod mutate;
mod options;
mod phase_two;
mod plan;
mod plans;
mod repair;
mod savepoint;
mod sight;
mod undo;
mod watch;

pub use branch::AtTransaction;
pub use capture::AtDb;
pub use connection::AtConnection;
pub use options::{AtOptions, TableOptions};
pub use savepoint::AtSavepoint;
pub use watch::{BypassInfo, Watch};

use log::Log;
use plans::Plans;

const INIT: (i64, &str) = (1, include_str!("../sql/at/0001_init.sql"));
const REPAIR: (i64, &str) = (2, include_str!("../sql/at/0002_repair.sql"));
const UNDO_PART: (i64, &str) = (3, include_str!("../sql/at/0003_undo_part.sql"));
const BYPASS: (i64, &str) = (4, include_str!("../sql/at/0004_bypass.sql"));
const ROOM: (i64, &str) = (5, include_str!("../sql/at/0005_room_postgres.sql"));

const fn migrations(dialect: Dialect) -> Migrations {
    match dialect {
        Dialect::Postgres => Migrations::new("dtx-at", &[INIT, REPAIR, UNDO_PART, BYPASS, ROOM]),
        _ => Migrations::new("dtx-at", &[INIT, REPAIR, UNDO_PART, BYPASS]),
    }
}

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
    /// True once a watched table was met: then every BEGIN says whose it is.
    watched: AtomicBool,
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

impl<D: AtDb> At<D> {
    /// Makes the database behind `pool` a resource under an id that is the same after every restart. Its tables
    /// `undo_log`, `dtx_parked`, `dtx_repair` and `dtx_bypass` are made, or an `undo_log` that is there is verified.
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
        let undo_pool = D::undo_pool(&pool);
        let at = Self::over(resource_id.into(), [pool, undo_pool], dtx, options).await?;
        let problem = |problem: &str| Err(misfit(at.resource_id(), problem));
        migrations(D::DIALECT).run(at.pool()).await?;
        let mut trial = onceward_backend::internal::begin(at.pool()).await?;
        let keyed = at.0.log.is_keyed(&mut trial).await;
        trial.rollback().await?;
        match keyed {
            Ok(true) => {}
            Ok(false) => return problem("its undo_log has no unique key on xid and branch_id"),
            Err(DtxError::Backend(error)) if error.is_retryable() => return Err(error.into()),
            Err(_) => return problem("its undo_log has other columns"),
        }
        dtx.resources().add(Arc::new(at.clone()))?;
        Ok(at)
    }

    /// The resource before its tables are looked at, with the pools of its two phases.
    async fn over(
        resource_id: String,
        [pool, undo_pool]: [Pool<D>; 2],
        dtx: &Dtx,
        options: AtOptions<D>,
    ) -> Result<Self, DtxError> {
        let problem = |problem: &str| Err(misfit(&resource_id, problem));
        let home = D::home(&mut *pool.acquire().await?).await?;
        if home.is_none() {
            return problem("a database in memory has one connection; use a file");
        }
        if dtx.coordinator().home() == home {
            return problem("it is the coordinator's own file, where the two would lock each other out");
        }
        if D::home(&mut *undo_pool.acquire().await?).await? != home {
            return problem("its connections do not all mean one database and schema");
        }
        let coordinator = Arc::clone(dtx.coordinator());
        let (plans, log, watched) = (Arc::default(), Log::new(), AtomicBool::new(false));
        Ok(Self(Arc::new(Inner { resource_id, home, pool, undo_pool, coordinator, options, plans, log, watched })))
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
    /// rollback is then parked. Logged. A [watch](Self::watch) takes it for what it is.
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

fn misfit(resource: &str, problem: &str) -> DtxError {
    DtxError::Resource { resource: resource.to_owned(), problem: problem.to_owned() }
}
