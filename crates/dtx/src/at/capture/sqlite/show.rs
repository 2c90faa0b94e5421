//! Values as SQL writes them.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor, Row as _, SqliteConnection};

use super::cell::{bind, holder};
use crate::DtxError;
use crate::at::call::{Call, safe};
use crate::at::image::Cell;

/// The values as literals.
pub(super) async fn texts(conn: &mut SqliteConnection, cells: &[&Cell]) -> Result<Vec<String>, DtxError> {
    let mut args = SqliteArguments::default();
    cells.iter().try_for_each(|cell| bind(&mut args, cell))?;
    let parts: Vec<_> = cells.iter().map(|cell| format!("cast(quote({}) as blob)", holder(cell))).collect();
    let printed = conn.fetch_one(Call::own(safe(format!("select {}", parts.join(", "))), args)).await?;
    let text = |at| Ok(String::from_utf8_lossy(printed.try_get(at)?).into_owned());
    Ok((0..cells.len()).map(text).collect::<sqlx::Result<_>>()?)
}
