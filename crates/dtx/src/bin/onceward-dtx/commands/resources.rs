//! `undo` and `parked`: what lies in the resources.

use onceward_backend::internal::cli::{Answer, Problem, Table, span};
use onceward_dtx::Dtx;
use serde_json::json;

use crate::view;

pub(crate) async fn undo(dtx: &Dtx) -> Result<Answer, Problem> {
    let found = dtx.undo_rows().await?;
    let mut table = Table::new(["RESOURCE", "XID", "BRANCH", "AGE"]);
    for row in &found {
        table.row([row.resource_id.clone(), row.xid.clone(), row.branch_id.to_string(), span::short(row.age)]);
    }
    let json = json!({ "undo": found.iter().map(view::undo).collect::<Vec<_>>() });
    Ok(Answer::new(table.or("no undo records"), json))
}

pub(crate) async fn parked(dtx: &Dtx) -> Result<Answer, Problem> {
    let found = dtx.parked().await?;
    let mut table = Table::new(["RESOURCE", "XID", "BRANCH", "AGE", "REASON"]);
    for row in &found {
        let branch = row.branch_id.to_string();
        table.row([row.resource_id.clone(), row.xid.clone(), branch, span::short(row.age), row.reason.clone()]);
    }
    let json = json!({ "parked": found.iter().map(view::parked).collect::<Vec<_>>() });
    Ok(Answer::new(table.or("nothing is parked"), json))
}
