//! Which messages a command is about.

use onceward_backend::internal::cli::Problem;
use onceward_reliable_mq::{MessageFilter, MessageInfo, Status, Store};

use crate::args::Chosen;

/// Messages, the oldest first.
pub(crate) struct Found {
    pub(crate) messages: Vec<MessageInfo>,
    /// There are more than were wanted.
    pub(crate) is_cut: bool,
}

impl Found {
    /// What to remark if that is not all.
    pub(crate) fn note(&self) -> Option<String> {
        let shown = self.messages.len();
        self.is_cut.then(|| format!("there are more; these are the oldest {shown}: raise --limit for the rest"))
    }
}

pub(crate) async fn find(store: &dyn Store, filter: MessageFilter, limit: u32) -> Result<Found, Problem> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more than is shown, to know whether that is all.
    let mut messages = store.messages(&filter.with_limit(limit.saturating_add(1))).await?;
    let is_cut = messages.len() > limit;
    messages.truncate(limit);
    Ok(Found { messages, is_cut })
}

/// Those that are named, all of which have to stand so; or those of them that stand so and are like that.
pub(crate) async fn choose(store: &dyn Store, chosen: &Chosen, status: Status) -> Result<Found, Problem> {
    if chosen.message_ids.is_empty() {
        if !chosen.all && !chosen.which.is_narrow() {
            return Err(Problem::usage(
                "say which: MESSAGE_ID…, or --topic, --key, --tenant, --error, --older-than, or --all for all of them",
            ));
        }
        return find(store, chosen.which.filter().in_states([status]), chosen.which.limit).await;
    }
    let mut messages: Vec<MessageInfo> = Vec::new();
    for id in &chosen.message_ids {
        if messages.iter().any(|found| found.message_id == *id) {
            continue;
        }
        let filter = MessageFilter::of(id).in_states([status]).with_limit(1);
        let Some(found) = store.messages(&filter).await?.pop() else {
            let what = status.as_str();
            return Err(Problem::refused(format!(
                "{id} is no {what} message: see `onceward-mq show {id}`; nothing was changed"
            )));
        };
        messages.push(found);
    }
    Ok(Found { messages, is_cut: false })
}
