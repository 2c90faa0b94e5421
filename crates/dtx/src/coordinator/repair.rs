//! Parked branches as a person sees them, and what a person may decide about one.

use super::rm::ParkedInfo;
use crate::tc::state::GlobalStatus;

/// A parked branch with its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedBranch {
    /// Which it is, and why it was parked.
    pub info: ParkedInfo,
    /// Its rows; empty if its undo record cannot be read.
    pub rows: Vec<ParkedRow>,
    /// Why its undo record cannot be read.
    pub problem: Option<String>,
    /// Of the record and of the rows as they are: a repair is refused once it is another.
    pub fingerprint: String,
}

/// The values of a row by their columns, as the database prints them; none is NULL.
pub type RowText = Vec<(String, Option<String>)>;

/// A row that a parked branch changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedRow {
    /// Its table.
    pub table: String,
    /// Its primary key.
    pub key: String,
    /// As the branch found it; none if it was not there.
    pub before: Option<RowText>,
    /// As the branch left it; none if the branch deleted it.
    pub after: Option<RowText>,
    /// As it is now; none if it is not there, or cannot be read.
    pub current: Option<RowText>,
    /// Columns that the branch changed and that are not as it left them.
    pub differs: Vec<String>,
    /// Why it cannot be read as it is now, and so not be restored.
    pub problem: Option<String>,
}

/// What to do with a parked branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepairAction {
    /// Leave its rows as they are now.
    Keep,
    /// Set what the branch changed back to what it was before, whatever it is now. Columns that the branch left alone stay.
    Restore,
    /// Only forget the branch: somebody has repaired its rows by hand.
    Done,
}

impl RepairAction {
    /// A short stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Restore => "restore",
            Self::Done => "done",
        }
    }
}

/// A decision about a parked branch, made on what [`Dtx::inspect`](crate::Dtx::inspect) showed. See
/// [`ParkedBranch::repair`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The resource of the branch.
    pub resource_id: String,
    /// Its global transaction.
    pub xid: String,
    /// The branch.
    pub branch_id: i64,
    /// [`ParkedBranch::fingerprint`] of what was shown.
    pub fingerprint: String,
    /// What to do.
    pub action: RepairAction,
    /// Who decided, for the record.
    pub who: String,
    /// Why, for the record.
    pub note: String,
    /// Try it, say what it would do, and change nothing.
    pub dry_run: bool,
}

impl ParkedBranch {
    /// The decision of `who` on the branch as it is shown here.
    pub fn repair(&self, action: RepairAction, who: impl Into<String>) -> Repair {
        Repair {
            resource_id: self.info.resource_id.clone(),
            xid: self.info.xid.clone(),
            branch_id: self.info.branch_id,
            fingerprint: self.fingerprint.clone(),
            action,
            who: who.into(),
            note: String::new(),
            dry_run: false,
        }
    }
}

impl Repair {
    /// Says why, for the record.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Only says what it would do.
    #[must_use]
    pub const fn as_dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// What a repair did, or as a dry run would do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// The rows it changed.
    pub rows: Vec<RepairedRow>,
    /// Where the global transaction stands now; none after a dry run, or if the coordinator did not answer: its worker will
    /// find out.
    pub status: Option<GlobalStatus>,
}

/// A row that a repair changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairedRow {
    /// Its table.
    pub table: String,
    /// Its primary key.
    pub key: String,
    /// What became of it.
    pub effect: Effect,
}

/// What a repair did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It went.
    Deleted,
    /// It was set to what it was.
    Updated,
    /// It came back.
    Inserted,
}
