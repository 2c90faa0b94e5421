//! What can go wrong, in the caller's words.

use onceward_backend::BackendError;
#[cfg(feature = "sql")]
use onceward_backend::ErrorClass;

use crate::tc::state::{GlobalStatus, Reason};

/// Why a global transaction, a branch or a statement did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DtxError {
    /// A branch was opened outside [`Dtx::run`](crate::Dtx::run), or work began there that needs a transaction
    /// ([`Propagation::Mandatory`](crate::Propagation::Mandatory)).
    #[error("no global transaction in this task: call it inside `Dtx::run`, awaited in the same task")]
    NoTransaction,
    /// Work that must not be part of a global transaction ([`Propagation::Never`](crate::Propagation::Never)) was to begin
    /// inside one; it was not run.
    #[error("global transaction {xid} is open where none may be")]
    TransactionOpen {
        /// The open transaction.
        xid: String,
    },
    /// A statement that cannot be undone for certain; it was not run.
    #[error("refused in a branch: {part}; {instead}")]
    Refused {
        /// The part of the statement or of the table that is not covered.
        part: String,
        /// What to do instead.
        instead: String,
    },
    /// A row is locked by another global transaction. The local work was rolled back; nothing of it remains.
    #[error("row {table}:{key} is locked by global transaction {holder}")]
    LockConflict {
        /// The transaction that holds the lock.
        holder: String,
        /// True if the holder is rolling back or parked: waiting in place would not help.
        rolling_back: bool,
        /// The locked table.
        table: String,
        /// The locked key.
        key: String,
    },
    /// The transaction waited for a row of another that waits for one of its own, and began later: it has to give way. Let
    /// its closure fail, which frees its rows, and run the whole again.
    #[error("global transaction {xid} gives way to another that it waited for in a circle")]
    Deadlock {
        /// The transaction.
        xid: String,
    },
    /// The branch met a database error, or one of its statements was dropped half way: it can only roll back.
    #[error("the branch can only roll back: {0}")]
    RollbackOnly(&'static str),
    /// The closure of a branch kept its transaction or committed it by itself.
    #[error("the closure kept the transaction of its branch, which was rolled back")]
    TransactionKept,
    /// The global transaction is no longer open, so the branch was rolled back.
    #[error("global transaction {xid} takes no more branches: {}", described(*.status))]
    Ended {
        /// The transaction.
        xid: String,
        /// What became of it, if it is still known.
        status: Option<GlobalStatus>,
    },
    /// The closure succeeded, but the whole was rolled back.
    #[error("global transaction {xid} was rolled back: {reason}")]
    RolledBack {
        /// The transaction.
        xid: String,
        /// Why.
        reason: Reason,
    },
    /// A hook said no before the commit, so the whole was rolled back.
    #[error("a hook refused the commit of global transaction {xid}, which was rolled back")]
    Vetoed {
        /// The transaction.
        xid: String,
        /// What the hook answered.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The decision is rollback, but not every branch could be undone yet; the worker goes on.
    #[error("global transaction {xid} is being rolled back")]
    RollbackInProgress {
        /// The transaction.
        xid: String,
    },
    /// The decision is rollback, and at least one branch could not be undone because its rows were changed from outside:
    /// it is parked until a person chooses.
    #[error("global transaction {xid} was rolled back except for parked branches")]
    Parked {
        /// The transaction.
        xid: String,
    },
    /// A branch that was to be repaired is not parked: somebody has repaired it already, or it never was.
    #[error("branch {branch_id} of global transaction {xid} is not parked")]
    NotParked {
        /// The transaction.
        xid: String,
        /// The branch.
        branch_id: i64,
    },
    /// The rows of a parked branch are no longer what was shown when the repair was decided; nothing was changed.
    #[error("rows of parked branch {branch_id} changed since they were shown: inspect it again, then decide")]
    RowsChanged {
        /// The branch.
        branch_id: i64,
    },
    /// The coordinator did not answer whether it committed. Ask [`Dtx::status`](crate::Dtx::status) later.
    #[error("the outcome of global transaction {xid} is not known yet")]
    OutcomeUnknown {
        /// The transaction.
        xid: String,
    },
    /// Rows of a table, or the table itself, changed under a statement while it was captured. The branch was rolled back or
    /// can only roll back.
    #[error("rows of {table} moved while they were captured; run the whole again")]
    Moved {
        /// The table.
        table: String,
    },
    /// A branch changed more, or a query chose more to lock, than the options allow. The branch was rolled back.
    #[error("more than {limit} {what} are changed or locked")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit from the options.
        limit: usize,
    },
    /// The resource cannot be used as configured.
    #[error("resource {resource}: {problem}")]
    Resource {
        /// The resource id.
        resource: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// Stored bytes are not what this crate wrote.
    #[error("unreadable undo record: {0}")]
    Corrupt(&'static str),
    /// What a participant of a branch answered.
    #[error("a participant of the branch failed")]
    Participant(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database of a resource or of the coordinator failed.
    #[error(transparent)]
    Backend(BackendError),
}

impl DtxError {
    /// True if nothing remains of what was tried and the whole transaction may be run again, under a new xid.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::LockConflict { .. } | Self::Deadlock { .. } | Self::Moved { .. } => true,
            Self::Backend(error) => error.is_retryable() || carried(error).is_some_and(Self::is_retryable),
            _ => false,
        }
    }

    /// True if a lock of another global transaction was in the way.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::LockConflict { .. })
    }

    #[cfg(feature = "sql")]
    pub(crate) fn refused(part: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::Refused { part: part.into(), instead: instead.into() }
    }

    /// The error of this crate that a driver's error carries.
    #[cfg(feature = "sql")]
    pub(crate) fn within(error: &sqlx::Error) -> Option<&Self> {
        match error {
            sqlx::Error::AnyDriverError(inner) => inner.downcast_ref(),
            _ => None,
        }
    }

    /// True if a constraint or the shape of the data said no: repeating cannot help. A full disk is not that.
    #[cfg(feature = "sql")]
    pub(crate) fn is_final_refusal(&self) -> bool {
        use sqlx::error::ErrorKind;
        // By SQLSTATE: values that a type no longer takes, constraints, what triggers raise, limits, and tables or columns that
        // are no longer there; a missing right may be granted again. By SQLite's number: 1 is any statement that does not fit
        // the schema, 19 in the lower byte a constraint or what a trigger raises.
        const FINAL: [&str; 8] = ["22", "23", "27", "42", "44", "54", "P0001", "P0004"];
        let misfit = |code: &str| match code.parse::<u32>() {
            Ok(number) if code.len() < 5 => number == 1 || number & 0xff == 19,
            _ => code != "42501" && FINAL.iter().any(|class| code.starts_with(class)),
        };
        let refused = |error: &BackendError| {
            use sqlx::Error as E;
            let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<E>());
            if let Some(E::Encode(_) | E::Decode(_) | E::ColumnDecode { .. } | E::TypeNotFound { .. }) = source {
                return true;
            }
            let answer = source.and_then(sqlx::Error::as_database_error);
            answer.is_some_and(|answer| {
                !matches!(answer.kind(), ErrorKind::Other) || answer.code().is_some_and(|code| misfit(&code))
            })
        };
        match self {
            Self::Backend(error) => error.class() == ErrorClass::Conflict || refused(error),
            Self::Refused { .. } | Self::Corrupt(_) => true,
            _ => false,
        }
    }
}

/// The error of this crate that a method of another crate met under a branch.
#[cfg(feature = "sql")]
fn carried(error: &BackendError) -> Option<&DtxError> {
    DtxError::within(std::error::Error::source(error)?.downcast_ref()?)
}

#[cfg(not(feature = "sql"))]
const fn carried(_: &BackendError) -> Option<&DtxError> {
    None
}

fn described(status: Option<GlobalStatus>) -> &'static str {
    status.map_or("it is not known", GlobalStatus::as_str)
}

impl From<BackendError> for DtxError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

#[cfg(feature = "sql")]
impl From<sqlx::Error> for DtxError {
    /// Gives back the error of this crate that a statement in a branch answered as a driver's error.
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::AnyDriverError(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(inner) => Self::Backend(sqlx::Error::AnyDriverError(inner).into()),
            },
            other => Self::Backend(other.into()),
        }
    }
}

#[cfg(feature = "sql")]
impl From<DtxError> for sqlx::Error {
    fn from(error: DtxError) -> Self {
        Self::AnyDriverError(Box::new(error))
    }
}

#[cfg(all(test, feature = "sql"))]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_run_again_may_be_also_if_a_method_of_another_crate_met_it() {
        let met = |error: DtxError| DtxError::from(BackendError::from(sqlx::Error::from(error)));
        assert!(met(DtxError::Moved { table: "t".to_owned() }).is_retryable());
        assert!(met(DtxError::Backend(sqlx::Error::PoolTimedOut.into())).is_retryable());
        assert!(!met(DtxError::NoTransaction).is_retryable());
    }
}
