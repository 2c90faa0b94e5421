//! `repair`: ends a parked branch as a person decided.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table, plain};
use onceward_dtx::{Dtx, Effect, Repair, Repaired};
use serde_json::json;

use super::inspect::parked;
use crate::args::{BranchArgs, RepairArgs};
use crate::view;

/// What was shown to whoever decides, and who that is.
pub(crate) fn decision(args: &RepairArgs) -> Result<(&str, &str), Problem> {
    let Some(fingerprint) = args.fingerprint.as_deref() else {
        let BranchArgs { resource, xid, branch } = &args.branch;
        return Err(Problem::usage(format!(
            "run `onceward-dtx inspect {} {} {branch}` first, and give what it shows as --fingerprint: a repair holds for what \
             was seen",
            plain(resource),
            plain(xid),
        )));
    };
    match args.who.as_deref() {
        None | Some("") => Err(Problem::usage("say who decides, for the record: --who NAME")),
        Some(who) => Ok((fingerprint, who)),
    }
}

pub(crate) async fn run(dtx: &Dtx, args: &RepairArgs) -> Result<Answer, Problem> {
    let (fingerprint, who) = decision(args)?;
    let mut repair = parked(dtx, &args.branch).await?.repair(args.choice.action(), who).with_note(&args.note);
    fingerprint.clone_into(&mut repair.fingerprint);
    repair.dry_run = args.dry_run;
    let done = dtx.repair(&repair).await?;
    let rows: Vec<_> = done
        .rows
        .iter()
        .map(|row| json!({ "table": row.table, "key": row.key, "effect": effect(row.effect) }))
        .collect();
    let json = json!({
        "resource_id": repair.resource_id,
        "xid": repair.xid,
        "branch_id": repair.branch_id.to_string(),
        "action": repair.action.as_str(),
        "who": repair.who,
        "note": repair.note,
        "dry_run": repair.dry_run,
        "rows": rows,
        "state": done.status.map(view::state),
    });
    Ok(Answer::new(text(&repair, &done), json))
}

fn text(repair: &Repair, done: &Repaired) -> String {
    let mut table = Table::new(["TABLE", "KEY", if repair.dry_run { "WOULD BE" } else { "WAS" }]);
    for row in &done.rows {
        table.row([row.table.clone(), row.key.clone(), effect(row.effect).to_owned()]);
    }
    let mut text = table.or(if repair.dry_run { "no row would be changed" } else { "no row was changed" });
    let (xid, branch, action) = (plain(&repair.xid), repair.branch_id, repair.action.as_str());
    let _ = match (repair.dry_run, done.status) {
        (true, _) => writeln!(text, "tried only: branch {branch} of {xid} is still parked"),
        (false, Some(status)) => {
            writeln!(text, "branch {branch} is ended ({action}); transaction {xid}: {}", view::state(status))
        }
        (false, None) => writeln!(
            text,
            "branch {branch} is ended ({action}); the coordinator has not freed its rows yet, its services will within a minute"
        ),
    };
    text
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Deleted => "deleted",
        Effect::Updated => "updated",
        Effect::Inserted => "inserted",
    }
}
