//! `inspect`: a parked branch with its rows.

use std::fmt::Write;

use onceward_backend::internal::cli::{Answer, Problem, Table, plain, span};
use onceward_dtx::{BranchStatus, Dtx, DtxError, ParkedBranch, ParkedRow, RowText, TransactionFilter};
use serde_json::json;

use crate::args::BranchArgs;
use crate::view;

pub(crate) async fn run(dtx: &Dtx, args: &BranchArgs) -> Result<Answer, Problem> {
    let found = parked(dtx, args).await?;
    let json = json!({
        "parked": view::parked(&found.info),
        "problem": found.problem,
        "fingerprint": found.fingerprint,
        "rows": found.rows.iter().map(view::row).collect::<Vec<_>>(),
    });
    Ok(Answer::new(text(&found), json))
}

/// The branch as it is parked, in the resource that it is of.
pub(crate) async fn parked(dtx: &Dtx, args: &BranchArgs) -> Result<ParkedBranch, Problem> {
    let BranchArgs { resource, xid, branch } = args;
    let known = dtx.transactions(&TransactionFilter::of(xid)).await?;
    let own = known.iter().flat_map(|known| &known.branches).find(|known| known.branch_id == *branch);
    if let Some(own) = own.filter(|own| own.resource_id != *resource) {
        let own = &own.resource_id;
        return Err(Problem::refused(format!(
            "branch {branch} of {xid} is of {own}, not of {resource}: name that one"
        )));
    }
    if let Some(found) = dtx.resources().get(resource)
        && let Some(found) = found.inspect(xid, *branch).await?
    {
        return Ok(found);
    }
    if own.is_some_and(|own| own.status == BranchStatus::Parked) {
        return Err(Problem::refused(format!(
            "branch {branch} of {xid} is parked at the coordinator alone: it was given up after its attempts, or somebody has \
             just repaired it; its services ask {resource} again within a minute"
        )));
    }
    Err(DtxError::NotParked { xid: xid.clone(), branch_id: *branch }.into())
}

fn text(found: &ParkedBranch) -> String {
    let info = &found.info;
    let (xid, resource, reason) = (plain(&info.xid), plain(&info.resource_id), plain(&info.reason));
    let age = span::short(info.age);
    let mut text = format!("branch {} of {xid} in {resource}, parked {age} ago: {reason}\n", info.branch_id);
    if let Some(problem) = &found.problem {
        let _ = writeln!(text, "its undo record cannot be read: {}", plain(problem));
    }
    for row in &found.rows {
        let _ = write!(text, "\n{}:{}  {}\n{}", plain(&row.table), plain(&row.key), changed(row), columns(row));
        if let Some(problem) = &row.problem {
            let _ = writeln!(text, "it cannot be read as it is now: {}", plain(problem));
        }
    }
    let _ = writeln!(text, "\nfingerprint {}", found.fingerprint);
    text
}

fn changed(row: &ParkedRow) -> &'static str {
    match (&row.before, &row.after) {
        (None, _) => "made by the branch",
        (_, None) => "deleted by the branch",
        _ => "changed by the branch",
    }
}

fn columns(row: &ParkedRow) -> Table {
    let images = [&row.before, &row.after, &row.current].map(Option::as_ref);
    let mut table = Table::new(["COLUMN", "BEFORE", "AFTER", "NOW", "DIFFERS"]);
    for (column, _) in images.into_iter().flatten().next().into_iter().flatten() {
        let [before, after, now] = images.map(|image| value(image, column));
        let differs = if row.differs.contains(column) { "yes" } else { "" };
        table.row([column.clone(), before, after, now, differs.to_owned()]);
    }
    table
}

/// As the database prints it. A text that looks like what stands for something else is quoted.
fn value(row: Option<&RowText>, column: &str) -> String {
    match row.map(|row| row.iter().find(|(name, _)| name == column)) {
        None => "no row".to_owned(),
        Some(None) => "no column".to_owned(),
        Some(Some((_, None))) => "NULL".to_owned(),
        Some(Some((_, Some(text)))) if ["", "NULL", "no row", "no column"].contains(&text.as_str()) => {
            format!("'{text}'")
        }
        Some(Some((_, Some(text)))) => text.clone(),
    }
}
