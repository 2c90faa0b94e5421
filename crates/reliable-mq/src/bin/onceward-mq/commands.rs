//! The commands, one a file.

mod again;
mod dead;
mod list;
mod pause;
mod purge;
mod release;
mod schema;
mod show;
mod status;

use onceward_backend::internal::cli::{Answer, Problem};
use onceward_reliable_mq::Store;

use crate::args::{Cli, Command};
use crate::connect::join;

pub(crate) async fn run(cli: &Cli) -> Result<Answer, Problem> {
    match &cli.command {
        Command::Schema { dialect } => return Ok(schema::run(*dialect)),
        // What is not said is noticed before anybody is asked.
        Command::Purge(args) => purge::check(args)?,
        _ => {}
    }
    let joined = join(cli.store.as_deref()).await?;
    let answer = answer(&*joined.store, &cli.command).await;
    joined.close().await;
    answer
}

async fn answer(store: &dyn Store, command: &Command) -> Result<Answer, Problem> {
    match command {
        Command::Status { topic } => status::run(store, topic.as_ref().map(Option::as_deref)).await,
        Command::List(args) => list::run(store, args).await,
        Command::Show { message_id, payload } => show::run(store, message_id, *payload).await,
        Command::Dead(args) => dead::run(store, args).await,
        Command::Replay(args) => again::replay(store, args).await,
        Command::Resend(chosen) => again::resend(store, chosen).await,
        Command::Release { key } => release::run(store, key).await,
        Command::Pause { topic } => pause::pause(store, topic).await,
        Command::Resume { topic } => pause::resume(store, topic).await,
        Command::Purge(args) => purge::run(store, args).await,
        Command::Schema { dialect } => Ok(schema::run(*dialect)),
    }
}
