//! Values as the server prints them.

use sqlx::postgres::PgArguments;
use sqlx::{Executor, PgConnection, Row as _};

use super::raw;
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::image::Cell;

/// The texts of values. The text of the statement tells their types, as it must.
pub(super) async fn texts(conn: &mut PgConnection, cells: &[&Cell]) -> Result<Vec<String>, DtxError> {
    let mut args = PgArguments::default();
    let mut parts = Vec::with_capacity(cells.len());
    for (at, cell) in cells.iter().enumerate() {
        parts.push(format!("format('%s', ${}) /* {} */", at + 1, cell.kind));
        raw(&mut args, cell.kind, cell)?;
    }
    let printed = conn.fetch_one(Call::own(safe(format!("select {}", parts.join(", "))), args)).await?;
    Ok((0..cells.len()).map(|at| printed.try_get(at)).collect::<sqlx::Result<_>>()?)
}
