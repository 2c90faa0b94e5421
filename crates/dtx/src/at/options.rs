//! Settings of a resource.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use onceward_backend::Db;

use crate::participant::BranchParticipant;

/// Settings of an [`At`](crate::At).
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
    /// What is known of tables beyond their catalogue.
    pub tables: Vec<TableOptions>,
}

impl<D: Db> Default for AtOptions<D> {
    /// 10 s, 10,000 rows, 16 MiB, nobody, nothing.
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(10),
            max_rows: 10_000,
            max_bytes: 16 * 1024 * 1024,
            participants: Vec::new(),
            tables: Vec::new(),
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
            .field("tables", &self.tables)
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

    /// Adds what is known of a table.
    #[must_use]
    pub fn with_table(mut self, table: TableOptions) -> Self {
        self.tables.push(table);
        self
    }
}

/// What you know of a table and its catalogue does not say: which triggers are harmless, and which columns undo is to treat
/// otherwise.
///
/// ```
/// use onceward_dtx::TableOptions;
///
/// let account = TableOptions::new("account").with_trusted_trigger("touch").with_monotonic("version");
/// ```
#[derive(Clone, Debug)]
pub struct TableOptions {
    pub(crate) name: String,
    pub(crate) trusted: Vec<String>,
    pub(crate) volatile: Vec<String>,
    pub(crate) monotonic: Vec<String>,
}

impl TableOptions {
    /// Of the table of that name, as the catalogue spells it; outside of PostgreSQL's `public` with its schema.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), trusted: Vec::new(), volatile: Vec::new(), monotonic: Vec::new() }
    }

    /// Lets a trigger be: it changes nothing but columns of the row that fires it. A table with any other trigger is refused.
    ///
    /// Undo fires it once more. Columns that it changes by itself are not compared; if what the statement set does not come back
    /// under it, the branch is parked. On PostgreSQL only `BEFORE … FOR EACH ROW` triggers can be trusted.
    #[must_use]
    pub fn with_trusted_trigger(mut self, name: impl Into<String>) -> Self {
        self.trusted.push(name.into());
        self
    }

    /// A column that others may change while a transaction is open: undo does not compare it.
    ///
    /// Columns that an UPDATE changed without setting them are not compared in any case.
    #[must_use]
    pub fn with_volatile(mut self, column: impl Into<String>) -> Self {
        self.volatile.push(column.into());
        self
    }

    /// A column of integers that never goes back, as a version for optimistic locks: undo of an UPDATE counts it up by one.
    #[must_use]
    pub fn with_monotonic(mut self, column: impl Into<String>) -> Self {
        self.monotonic.push(column.into());
        self
    }

    /// What is said of the table that is locked by that name.
    pub(crate) fn of<'a>(all: &'a [Self], locked_as: &str) -> impl Iterator<Item = &'a Self> {
        all.iter().filter(move |options| options.name == locked_as)
    }
}
