//! The commands, one a file.

mod inspect;
mod list;
mod repair;
mod resources;
mod rollback;
mod rows;
mod show;

use onceward_backend::internal::cli::{Answer, Problem};
use onceward_dtx::Dtx;

use crate::args::{Cli, Command};
use crate::connect::{Wanted, join};

pub(crate) async fn run(cli: &Cli) -> Result<Answer, Problem> {
    let wanted = match &cli.command {
        Command::Undo | Command::Parked => Wanted::All,
        Command::Inspect(args) => Wanted::One(&args.resource),
        Command::Repair(args) => {
            // What is not said is noticed before anybody is asked.
            repair::decision(args)?;
            Wanted::One(&args.branch.resource)
        }
        _ => Wanted::None,
    };
    let joined = join(&cli.databases, wanted).await?;
    let answer = answer(&joined.dtx, &cli.command).await;
    joined.close().await;
    answer
}

async fn answer(dtx: &Dtx, command: &Command) -> Result<Answer, Problem> {
    match command {
        Command::List(args) => list::run(dtx, args).await,
        Command::Show { xid } => show::run(dtx, xid).await,
        Command::Locks(args) => rows::locks(dtx, args).await,
        Command::Waiters => rows::waiters(dtx).await,
        Command::Undo => resources::undo(dtx).await,
        Command::Parked => resources::parked(dtx).await,
        Command::Inspect(args) => inspect::run(dtx, args).await,
        Command::Repair(args) => repair::run(dtx, args).await,
        Command::Rollback { xid } => rollback::run(dtx, xid).await,
    }
}
