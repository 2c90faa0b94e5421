//! A resource as it is seen from outside of its services: shown and repaired, and never asked for a second phase.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Pool;

use super::{At, AtDb, AtOptions, migrations, misfit};
use crate::DtxError;
use crate::coordinator::repair::{ParkedBranch, Repair, Repaired};
use crate::coordinator::rm::{ParkedInfo, Resource, UndoInfo, Undone};
use crate::tm::Dtx;

#[derive(Debug)]
struct Sight<D: AtDb>(At<D>);

impl<D: AtDb> At<D> {
    /// Lets `dtx` show and repair the database of a resource without being one of its services: for operators. Its tables
    /// are verified, and none is made. No branch can be made on it, and none is ended but by
    /// [`Dtx::repair`](crate::Dtx::repair): what is still to be undone is left to the services, which know their
    /// [`AtOptions`].
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn example(dtx: onceward_dtx::Dtx, pool: sqlx::SqlitePool) -> Result<(), onceward_dtx::DtxError> {
    /// use onceward_dtx::At;
    ///
    /// At::for_repair("wallet", pool, &dtx).await?;
    /// for parked in dtx.parked().await? {
    ///     println!("{}: {}", parked.xid, parked.reason);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`At::new`], and a [`DtxError::Backend`] of class `Refused` if its tables are not there or of another version.
    pub async fn for_repair(resource_id: impl Into<String>, pool: Pool<D>, dtx: &Dtx) -> Result<(), DtxError> {
        migrations(D::DIALECT).verify(&pool).await?;
        // There is no first phase that could use it up.
        let pools = [pool.clone(), pool];
        let at = Self::over(resource_id.into(), pools, dtx, AtOptions::default()).await?;
        dtx.resources().add(Arc::new(Sight(at)))
    }
}

#[async_trait]
impl<D: AtDb> Resource for Sight<D> {
    fn id(&self) -> &str {
        self.0.resource_id()
    }

    fn home(&self) -> Option<String> {
        self.0.home()
    }

    async fn commit(&self, _: &str, _: i64) -> Result<(), DtxError> {
        Err(self.left())
    }

    /// Only says what has become of a branch: a repair asks for it.
    async fn rollback(&self, xid: &str, branch_id: i64) -> Result<Undone, DtxError> {
        // Undone without the options of its services, a table with a trusted trigger would be parked, and a column that never
        // goes back would go back.
        let is_it = |row: &UndoInfo| row.xid == xid && row.branch_id == branch_id;
        if self.0.undo_rows().await?.iter().any(is_it) {
            return Err(self.left());
        }
        self.0.rollback(xid, branch_id).await
    }

    async fn undo_rows(&self) -> Result<Vec<UndoInfo>, DtxError> {
        self.0.undo_rows().await
    }

    async fn parked(&self) -> Result<Vec<ParkedInfo>, DtxError> {
        self.0.parked().await
    }

    async fn inspect(&self, xid: &str, branch_id: i64) -> Result<Option<ParkedBranch>, DtxError> {
        self.0.inspect(xid, branch_id).await
    }

    async fn repair(&self, repair: &Repair) -> Result<Repaired, DtxError> {
        self.0.repair(repair).await
    }
}

impl<D: AtDb> Sight<D> {
    fn left(&self) -> DtxError {
        misfit(self.id(), "its second phases are for its services, which know its tables")
    }
}
