//! What wants to hear how a branch ended, in the transaction that ends it.

use std::fmt::Debug;

use async_trait::async_trait;
use onceward_backend::Db;

use crate::DtxError;

/// Holds something back while a global transaction is undecided, and lets it go or forgets it by the decision.
///
/// A branch gives out its hold through [`Conn::hold`](onceward_backend::Conn::hold); whoever asked is told the end in the
/// very transaction that removes the undo record, so it happens if and only if the end does. Both calls may come again
/// after a crash, and must do nothing then.
#[async_trait]
pub trait BranchParticipant<D: Db>: Debug + Send + Sync + 'static {
    /// The global transaction is committed: let go what is held under that name.
    async fn on_commit(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<(), DtxError>;

    /// The global transaction is rolled back: forget what is held under that name.
    async fn on_rollback(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<(), DtxError>;

    /// The transaction of [`on_commit`](Self::on_commit) has committed: a place to wake whoever waits for it.
    fn committed(&self) {}
}

#[cfg(feature = "reliable-mq")]
#[async_trait]
impl<D: Db> BranchParticipant<D> for onceward_reliable_mq::Outbox<D> {
    async fn on_commit(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<(), DtxError> {
        self.release_held(conn, xid, hold_id).await.map(drop).map_err(|error| DtxError::Participant(error.into()))
    }

    async fn on_rollback(&self, conn: &mut D::Connection, xid: &str, hold_id: &str) -> Result<(), DtxError> {
        self.discard_held(conn, xid, hold_id).await.map(drop).map_err(|error| DtxError::Participant(error.into()))
    }

    fn committed(&self) {
        self.wake();
    }
}
