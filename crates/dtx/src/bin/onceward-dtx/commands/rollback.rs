//! `rollback`: decides an open transaction.

use onceward_backend::internal::cli::{Answer, Problem, plain};
use onceward_dtx::{Dtx, DtxError, GlobalStatus, Reason};
use serde_json::json;

use super::show::unknown;
use crate::view;

pub(crate) async fn run(dtx: &Dtx, xid: &str) -> Result<Answer, Problem> {
    let status = match dtx.coordinator().rollback(xid, Reason::Operator).await {
        Err(DtxError::Ended { status: None, .. }) => return Err(unknown(xid)),
        status => status?,
    };
    let (shown, state) = (plain(xid), view::state(status));
    let more = match status {
        GlobalStatus::RollingBack => "; the services of its branches undo them",
        GlobalStatus::RolledBack => "",
        GlobalStatus::Parked => "; its parked branches wait for a person: see `onceward-dtx show`",
        _ => {
            return Err(Problem::refused(format!(
                "transaction {shown} was decided otherwise: {state}; nothing was changed"
            )));
        }
    };
    Ok(Answer::new(format!("transaction {shown}: {state}{more}"), json!({ "xid": xid, "state": state })))
}
