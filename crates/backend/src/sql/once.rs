//! The row that is inserted once: barriers, inboxes and claims are this.

use super::{Conn, Db, Statement};
use crate::BackendError;

impl<D: Db> Statement<D> {
    /// Runs an `{insert_ignore} .. {or_ignore}` of one row and answers whether this call inserted it. In a transaction it
    /// waits for an undecided insert of the same key.
    pub async fn insert_once(self, conn: &mut impl Conn<D>) -> Result<bool, BackendError> {
        Ok(self.execute(conn).await? == 1)
    }
}
