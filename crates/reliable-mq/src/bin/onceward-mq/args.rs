//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onceward_backend::{Dialect, internal::cli::span};
use onceward_reliable_mq::{MessageFilter, MessageId, Status};

use crate::connect::BUILT;
use crate::pace::{self, Rate};

const GLOBAL: &str = "Options of every command";

/// Look into an outbox, and say what becomes of messages that could not be sent.
///
/// It reads the tables that the services made, makes none, publishes nothing, and changes nothing but by `replay`, `resend`,
/// `release` and `purge`. Exit code 0: done, also if nothing was found; 1: refused or failed; 2: wrong usage, or no such
/// database.
#[derive(Parser)]
#[command(name = "onceward-mq", version, after_help = BUILT.help())]
pub(crate) struct Cli {
    /// The database of the outbox
    #[arg(long, global = true, env = "MQ_STORE_URL", hide_env_values = true, value_name = "URL", help_heading = GLOBAL)]
    pub(crate) store: Option<String>,
    /// Print one JSON document; times are whole milliseconds, ids are strings
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show how many messages wait where, how long the oldest has waited, and who publishes each lane
    #[command(after_help = "Example: onceward-mq status\n         onceward-mq status --topic --json")]
    Status {
        /// Break it down by topic, or show one topic
        #[arg(long, value_name = "TOPIC", num_args = 0..=1)]
        topic: Option<Option<String>>,
    },
    /// List messages, the oldest first
    #[command(after_help = "Example: onceward-mq list --state failed --topic orders.confirmed --older-than 5m")]
    List(ListArgs),
    /// Show all about one message: where it stands, its headers, and every attempt with its error
    #[command(after_help = "Example: onceward-mq show 01932fb0-7a4e-7cc1-b5d7-f6f7a6a3c111 --payload")]
    Show {
        /// The message
        #[arg(value_parser = id)]
        message_id: MessageId,
        /// Show what it says too, the first 4096 bytes: as text if it is text, else in hexadecimal
        #[arg(long)]
        payload: bool,
    },
    /// List dead letters with why and how often they failed, the oldest first
    #[command(after_help = "Example: onceward-mq dead --error 'no queue takes the topic' --attempts")]
    Dead(DeadArgs),
    /// Put dead letters back into the outbox, each under its own id and with a fresh budget
    ///
    /// A message older than the consumers' inboxes remember may be handled twice, so nothing is replayed if one of them is.
    #[command(after_help = "Example: onceward-mq replay 01932fb0-7a4e-7cc1-b5d7-f6f7a6a3c111\n         \
        onceward-mq replay --topic orders.confirmed --error 'no queue' --dry-run\n         \
        onceward-mq replay --all --limit 5000 --rate 50/s --yes")]
    Replay(ReplayArgs),
    /// Make messages due now that have failed and wait for their next try
    ///
    /// They keep their attempts and the order of their keys; the services' relays find them within a second.
    #[command(after_help = "Example: onceward-mq resend --topic orders.confirmed")]
    Resend(Chosen),
    /// Let the messages behind a failing one of this key go on; the failing one is tried on, out of order
    #[command(after_help = "Example: onceward-mq release order-7")]
    Release {
        /// The ordering key
        key: String,
    },
    /// Let the messages of this topic wait, wherever they are; others go on
    #[command(after_help = "Example: onceward-mq pause orders.confirmed")]
    Pause {
        /// The topic
        topic: String,
    },
    /// Let the messages of a paused topic go on
    #[command(after_help = "Example: onceward-mq resume orders.confirmed")]
    Resume {
        /// The topic
        topic: String,
    },
    /// Delete old rows of the history, or old dead letters
    #[command(after_help = "Example: onceward-mq purge --older-than 30d\n         \
        onceward-mq purge --older-than 90d --dead --yes")]
    Purge(PurgeArgs),
    /// Print the tables of this version as SQL, for databases in which services may make none
    #[command(after_help = "Example: onceward-mq schema --dialect postgres | psql orders")]
    Schema {
        /// The SQL of which database
        #[arg(long, value_enum, value_name = "DIALECT")]
        dialect: SqlOf,
    },
}

/// What narrows a choice.
#[derive(Args)]
pub(crate) struct Which {
    /// Only those of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those of this ordering key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those whose last error contains this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Only those that were enqueued at least that long ago, or sent: 500ms, 30s, 5m, 2h, 1d
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    older_than: Option<Duration>,
    /// Only that many, the oldest
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub(crate) limit: u32,
}

impl Which {
    /// Whether it leaves anything out.
    pub(crate) fn is_narrow(&self) -> bool {
        let Self { topic, key, tenant, error, older_than, limit: _ } = self;
        [topic, key, tenant, error].into_iter().any(Option::is_some) || older_than.is_some()
    }

    pub(crate) fn filter(&self) -> MessageFilter {
        let mut filter = MessageFilter::default().with_older_than(self.older_than.unwrap_or_default());
        filter.topic.clone_from(&self.topic);
        filter.key.clone_from(&self.key);
        filter.tenant.clone_from(&self.tenant);
        filter.error.clone_from(&self.error);
        filter
    }
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only those that stand so; repeatable [default: all that was not sent]
    #[arg(long = "state", value_enum, value_name = "STATE")]
    pub(crate) states: Vec<State>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args)]
pub(crate) struct DeadArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show every attempt of each too
    #[arg(long)]
    pub(crate) attempts: bool,
}

/// Messages by their ids, or by what they are like.
#[derive(Args)]
pub(crate) struct Chosen {
    /// These messages
    #[arg(value_parser = id, conflicts_with_all = ["topic", "key", "error", "older_than", "all"])]
    pub(crate) message_ids: Vec<MessageId>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// All of them, up to the limit
    #[arg(long)]
    pub(crate) all: bool,
    /// No faster than that: 50/s
    #[arg(long, value_parser = pace::parse, value_name = "N/s")]
    pub(crate) rate: Option<Rate>,
    /// Say what it would do, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do so with more than 100 messages
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// How long the inboxes of the consumers remember what they handled: what their services set
    #[arg(long, default_value = "7d", value_parser = span::parse, value_name = "TIME")]
    pub(crate) inbox_retention: Duration,
    /// Replay also what is older than that: it may have an effect twice
    #[arg(long)]
    pub(crate) may_duplicate: bool,
}

#[derive(Args)]
pub(crate) struct PurgeArgs {
    /// Only what was written at least that long ago: 12h, 30d
    #[arg(long, value_parser = span::parse, value_name = "TIME")]
    pub(crate) older_than: Duration,
    /// Dead letters, and not the history
    #[arg(long)]
    pub(crate) dead: bool,
    /// Do so with dead letters, which were never sent
    #[arg(long)]
    pub(crate) yes: bool,
}

/// The states by the names that this program prints.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Pending,
    Delayed,
    Failed,
    Held,
    Dead,
    Sent,
}

impl From<State> for Status {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Delayed => Self::Delayed,
            State::Failed => Self::Failed,
            State::Held => Self::Held,
            State::Dead => Self::Dead,
            State::Sent => Self::Sent,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SqlOf {
    Postgres,
    Mysql,
    Sqlite,
}

impl From<SqlOf> for Dialect {
    fn from(of: SqlOf) -> Self {
        match of {
            SqlOf::Postgres => Self::Postgres,
            SqlOf::Mysql => Self::MySql,
            SqlOf::Sqlite => Self::Sqlite,
        }
    }
}

fn id(text: &str) -> Result<MessageId, String> {
    MessageId::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_can_be_asked_for_by_the_name_that_is_printed() {
        for status in Status::ALL {
            assert_eq!(Status::from(State::from_str(status.as_str(), false).unwrap()), status);
        }
    }

    #[test]
    fn the_definition_holds_together() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
