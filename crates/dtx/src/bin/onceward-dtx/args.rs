//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onceward_backend::internal::cli::span;
use onceward_dtx::{GlobalStatus, RepairAction};

use crate::connect::BUILT;

const GLOBAL: &str = "Options of every command";

/// Look into global transactions, and end what waits for a person.
///
/// It reads the database of the coordinator and those with undo records, makes no table, does no work of theirs, and changes
/// nothing but by `repair` and `rollback`. Exit code 0: done, also if nothing was found; 1: refused or failed; 2: wrong usage,
/// or no such database.
#[derive(Parser)]
#[command(name = "onceward-dtx", version, after_help = BUILT.help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) databases: Databases,
    /// Print one JSON document; times are whole milliseconds, ids are strings
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where to look. Holds secrets, so it is never printed.
#[derive(Args)]
pub(crate) struct Databases {
    /// The coordinator's database
    #[arg(long, global = true, env = "DTX_STORE_URL", hide_env_values = true, value_name = "URL", help_heading = GLOBAL)]
    pub(crate) store: Option<String>,
    /// A database with undo records, by the id that its services give it; repeatable [env: DTX_RESOURCES, separated by spaces]
    #[arg(long = "resource", global = true, value_name = "NAME=URL", help_heading = GLOBAL)]
    pub(crate) resources: Vec<String>,
    /// Those of the environment: a path may hold spaces, this list may not
    #[arg(long, hide = true, global = true, env = "DTX_RESOURCES", hide_env_values = true)]
    pub(crate) resource_list: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List global transactions, the oldest first
    #[command(after_help = "Example: onceward-dtx list --stuck\n         \
        onceward-dtx list --state committing --state rolling-back --older-than 5m --tries 10")]
    List(ListArgs),
    /// Show all about one transaction: its branches, the rows it holds and wants, and who waits for it
    #[command(after_help = "Example: onceward-dtx show 8c1f0e1d7a5b4c3e.019330ac8d5a7c31b5f0a2c4d6e8f901")]
    Show {
        /// The transaction
        xid: String,
    },
    /// List row locks
    #[command(after_help = "Example: onceward-dtx locks --resource-id wallet --table account")]
    Locks(LockArgs),
    /// List who waits for rows, the first first, with who holds them
    #[command(after_help = "Example: onceward-dtx waiters --json")]
    Waiters,
    /// List undo records in the resources: of open transactions, and of what waits for its second phase
    #[command(after_help = "Example: onceward-dtx undo --resource wallet=postgres://dtx@db/wallet")]
    Undo,
    /// List branches in the resources that could not be undone and wait for a person
    #[command(after_help = "Example: onceward-dtx parked --resource wallet=sqlite:data/wallet.db")]
    Parked,
    /// Show a parked branch with its rows: before it, after it, now, and the fingerprint of all that
    #[command(after_help = "Example: onceward-dtx inspect wallet 8c1f0e1d7a5b4c3e.019330ac8d5a7c31b5f0a2c4d6e8f901 \
        7423550123456789")]
    Inspect(BranchArgs),
    /// End a parked branch as `inspect` showed it
    ///
    /// If any of it has changed since, nothing is done. The rows, the end of the branch and a record of who decided are one
    /// transaction of the resource; then the coordinator frees the rows.
    #[command(after_help = "Example: onceward-dtx repair wallet 8c1f0e1d7a5b4c3e.019330ac8d5a7c31b5f0a2c4d6e8f901 \
        7423550123456789 \\\n           --restore --fingerprint 5d0c3f… --note 'the import overwrote it' --dry-run")]
    Repair(RepairArgs),
    /// Decide the rollback of an open transaction
    ///
    /// The first decision stands: of one that is being committed, or is, this says so and fails. What has to be undone is
    /// undone by the services of the resources, which know their tables; this program asks none, whether it is given or not.
    #[command(after_help = "Example: onceward-dtx rollback 8c1f0e1d7a5b4c3e.019330ac8d5a7c31b5f0a2c4d6e8f901")]
    Rollback {
        /// The transaction
        xid: String,
    },
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only those in this state; repeatable [default: what is not over, and what is parked]
    #[arg(long = "state", value_enum, value_name = "STATE")]
    pub(crate) states: Vec<State>,
    /// Only those that began at least that long ago: 500ms, 30s, 5m, 2h, 1d [default: 0s, with --stuck 30s]
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    pub(crate) older_than: Option<Duration>,
    /// Only those whose second phase was tried at least that often
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) tries: u32,
    /// Only that many, the oldest
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub(crate) limit: u32,
    /// What somebody should look at: what is decided and not over, and what is parked
    #[arg(long, conflicts_with = "states")]
    pub(crate) stuck: bool,
}

#[derive(Args)]
pub(crate) struct LockArgs {
    /// Only rows of this resource
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_id: Option<String>,
    /// Only rows of this table
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// Only those of this transaction
    #[arg(long, value_name = "XID")]
    pub(crate) xid: Option<String>,
}

/// A branch, as `parked` lists it.
#[derive(Args)]
pub(crate) struct BranchArgs {
    /// The resource that it is parked in
    pub(crate) resource: String,
    /// Its transaction
    pub(crate) xid: String,
    /// The branch
    #[arg(allow_negative_numbers = true)]
    pub(crate) branch: i64,
}

#[derive(Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) branch: BranchArgs,
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// What `inspect` showed last
    #[arg(long, value_name = "F")]
    pub(crate) fingerprint: Option<String>,
    /// Who decides, for the record
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Why, for the record
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) note: String,
    /// Say what it would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Choice {
    /// Leave the rows as they are now
    #[arg(long)]
    keep: bool,
    /// Set what the branch changed back to what it was, whatever it is now
    #[arg(long)]
    restore: bool,
    /// Only forget the branch: its rows were repaired by hand
    #[arg(long)]
    done: bool,
}

impl Choice {
    pub(crate) fn action(&self) -> RepairAction {
        match (self.keep, self.restore) {
            (true, _) => RepairAction::Keep,
            (_, true) => RepairAction::Restore,
            _ => RepairAction::Done,
        }
    }
}

/// The states by the names that this program prints.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Active,
    Committing,
    Committed,
    RollingBack,
    RolledBack,
    Parked,
}

impl From<State> for GlobalStatus {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Committing => Self::Committing,
            State::Committed => Self::Committed,
            State::RollingBack => Self::RollingBack,
            State::RolledBack => Self::RolledBack,
            State::Parked => Self::Parked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_can_be_asked_for_by_the_name_that_is_printed() {
        for status in GlobalStatus::ALL {
            let state = State::from_str(&crate::view::state(status), false).unwrap();
            assert_eq!(GlobalStatus::from(state), status);
        }
    }

    #[test]
    fn the_definition_holds_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
