//! `purge`: old rows of the history, or old dead letters.

use onceward_backend::internal::cli::{Answer, Problem, span};
use onceward_reliable_mq::Store;
use serde_json::json;

use crate::args::PurgeArgs;
use crate::pace::Pace;

/// So many at once: others wait for no longer.
const BATCH: usize = 1_000;

pub(crate) fn check(args: &PurgeArgs) -> Result<(), Problem> {
    if args.dead && !args.yes {
        let told = "--dead deletes messages that were never sent, for good: add --yes; `onceward-mq dead` lists them";
        return Err(Problem::usage(told));
    }
    Ok(())
}

pub(crate) async fn run(store: &dyn Store, args: &PurgeArgs) -> Result<Answer, Problem> {
    let (what, name) = if args.dead { ("dead letters", "dead") } else { ("rows of the history", "history") };
    let mut pace = Pace::new(if args.dead { "dead letters purged" } else { "rows of the history purged" }, None, None);
    let mut purged = 0;
    loop {
        let batch = if args.dead {
            store.purge_dead(args.older_than, BATCH).await?
        } else {
            store.purge_history(args.older_than, BATCH).await?
        };
        purged += batch;
        if batch < BATCH as u64 {
            break;
        }
        pace.next(purged).await;
    }
    let age = span::short(args.older_than);
    let json = json!({ "what": name, "older_than_ms": span::millis(args.older_than), "purged": purged });
    Ok(Answer::new(format!("{purged} {what} older than {age} purged"), json))
}
