//! The resources of this process, which are asked for the second phase of their branches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;

use super::repair::{ParkedBranch, Repair, Repaired};
use crate::DtxError;

/// Something that took part in a transaction and can make its branch final or take it back.
#[async_trait]
pub trait Resource: Debug + Send + Sync + 'static {
    /// The id that branches carry; the same after every restart.
    fn id(&self) -> &str;

    /// The file that it keeps its rows in, so that no two resources share one: they would not see each other's locks.
    fn home(&self) -> Option<String> {
        None
    }

    /// Makes a branch final. Asked again until it answers `Ok`; a branch that is final already is `Ok`.
    async fn commit(&self, xid: &str, branch_id: i64) -> Result<(), DtxError>;

    /// Makes final those of several branches that it can end together, and answers which; the others are asked one by one.
    /// An error may hide that some are final.
    async fn commit_together(&self, branches: &[(&str, i64)]) -> Result<BTreeSet<(String, i64)>, DtxError> {
        let _ = branches;
        Ok(BTreeSet::new())
    }

    /// Takes a branch back, whether or not its first phase committed, and makes sure that it cannot commit later. Asked
    /// again until it answers `Ok`.
    async fn rollback(&self, xid: &str, branch_id: i64) -> Result<Undone, DtxError>;

    /// Undo records that wait for a decision or its second phase. None of them, unless the resource keeps any.
    async fn undo_rows(&self) -> Result<Vec<UndoInfo>, DtxError> {
        Ok(Vec::new())
    }

    /// Branches that wait for a person. None, unless [`rollback`](Self::rollback) parks.
    async fn parked(&self) -> Result<Vec<ParkedInfo>, DtxError> {
        Ok(Vec::new())
    }

    /// A parked branch with its rows; none if it is not parked.
    async fn inspect(&self, xid: &str, branch_id: i64) -> Result<Option<ParkedBranch>, DtxError> {
        let _ = (xid, branch_id);
        Ok(None)
    }

    /// Ends a parked branch as a person decided, and keeps a record of that, in one local transaction. After that,
    /// [`rollback`](Self::rollback) answers `Done`.
    ///
    /// # Errors
    /// [`DtxError::NotParked`]; [`DtxError::RowsChanged`] if it is no longer what the fingerprint says; the error of a
    /// constraint that forbids it. Nothing was changed then.
    async fn repair(&self, repair: &Repair) -> Result<Repaired, DtxError> {
        Err(DtxError::NotParked { xid: repair.xid.clone(), branch_id: repair.branch_id })
    }

    /// How many writes past the row locks were noted and not forgotten. None, unless the resource can be watched.
    async fn bypassed(&self) -> Result<u64, DtxError> {
        Ok(0)
    }

    /// Removes guards that no late first phase can meet any more, and answers how many.
    async fn sweep(&self, older: Duration) -> Result<u64, DtxError> {
        let _ = older;
        Ok(0)
    }
}

/// What a rollback of a branch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Nothing of the branch remains.
    Done,
    /// The branch cannot be undone by itself and was put aside whole.
    Parked,
}

/// An undo record, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoInfo {
    /// The resource it lies in.
    pub resource_id: String,
    /// Its global transaction.
    pub xid: String,
    /// Its branch.
    pub branch_id: i64,
    /// Since it was written.
    pub age: Duration,
}

/// A parked branch, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedInfo {
    /// The resource it lies in.
    pub resource_id: String,
    /// Its global transaction.
    pub xid: String,
    /// Its branch.
    pub branch_id: i64,
    /// Why it could not be undone.
    pub reason: String,
    /// Since it was parked.
    pub age: Duration,
}

/// The resources of one process by their ids. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Rm(Arc<RwLock<BTreeMap<String, Arc<dyn Resource>>>>);

impl Rm {
    /// The resource of that id, if this process has it.
    pub fn get(&self, id: &str) -> Option<Arc<dyn Resource>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The resource of that id.
    ///
    /// # Errors
    /// [`DtxError::Resource`] if this process does not have it.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<dyn Resource>, DtxError> {
        self.get(id).ok_or_else(|| DtxError::Resource {
            resource: id.to_owned(),
            problem: "not registered in this process".to_owned(),
        })
    }

    /// All resources in the order of their ids.
    pub fn all(&self) -> Vec<Arc<dyn Resource>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Adds a resource.
    ///
    /// # Errors
    /// [`DtxError::Resource`] if its id or its file is taken.
    pub fn add(&self, resource: Arc<dyn Resource>) -> Result<(), DtxError> {
        let mut resources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let id = resource.id().to_owned();
        if resources.contains_key(&id) {
            let problem = "another resource of this process has that id".to_owned();
            return Err(DtxError::Resource { resource: id, problem });
        }
        if let Some(home) = resource.home()
            && let Some((other, _)) = resources.iter().find(|(_, held)| held.home().as_deref() == Some(&*home))
        {
            let problem = format!("its file is that of resource {other}: use that one");
            return Err(DtxError::Resource { resource: id, problem });
        }
        resources.insert(id, resource);
        Ok(())
    }

    /// Lets go of all resources, which hold the coordinator that holds them.
    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
