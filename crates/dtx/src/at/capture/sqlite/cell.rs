//! SQLite's values: five storage classes, read and bound so that each comes back as it was.
//!
//! Each column is read as two, its class and its value. Texts travel as their bytes, because a text need not be valid
//! UTF-8 and may contain a zero byte.

use sqlx::Arguments as _;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::DtxError;
use crate::at::catalog::Collation;
use crate::at::image::Cell;
use crate::at::key::Part;

const INTEGER: u32 = 1;
const REAL: u32 = 2;
const TEXT: u32 = 3;
const BLOB: u32 = 4;

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Class and value of an expression.
pub(super) fn pair(value: &str) -> String {
    format!("typeof({value}), case typeof({value}) when 'text' then cast({value} as blob) else {value} end")
}

/// Class and value of each column.
pub(super) fn pairs<'a>(columns: impl Iterator<Item = &'a String>) -> String {
    columns.map(|column| pair(&quoted(column))).collect::<Vec<_>>().join(", ")
}

/// Reads the pair at `at`.
pub(super) fn read(row: &SqliteRow, at: usize) -> Result<Cell, DtxError> {
    let class: String = row.try_get_unchecked(at)?;
    let at = at + 1;
    Ok(match class.as_str() {
        "null" => Cell::NULL,
        "integer" => Cell { kind: INTEGER, bytes: row.try_get_unchecked::<i64, _>(at)?.to_be_bytes().to_vec() },
        "real" => Cell { kind: REAL, bytes: row.try_get_unchecked::<f64, _>(at)?.to_bits().to_be_bytes().to_vec() },
        "text" => Cell { kind: TEXT, bytes: row.try_get_unchecked(at)? },
        "blob" => Cell { kind: BLOB, bytes: row.try_get_unchecked(at)? },
        _ => return Err(DtxError::Corrupt("unknown storage class")),
    })
}

/// The placeholder of a value.
pub(super) fn holder(cell: &Cell) -> &'static str {
    if cell.kind == TEXT { "cast(? as text)" } else { "?" }
}

/// The storage class of a value.
pub(super) fn class(cell: &Cell) -> &'static str {
    match cell.kind {
        INTEGER => "integer",
        REAL => "real",
        TEXT => "text",
        BLOB => "blob",
        _ => "null",
    }
}

/// Binds a value.
pub(super) fn bind(args: &mut SqliteArguments, cell: &Cell) -> Result<(), DtxError> {
    let number =
        || <[u8; 8]>::try_from(cell.bytes.as_slice()).map_err(|_| DtxError::Corrupt("a number of another length"));
    let bound = match cell.kind {
        0 => args.add(None::<i64>),
        INTEGER => args.add(i64::from_be_bytes(number()?)),
        REAL => args.add(f64::from_bits(u64::from_be_bytes(number()?))),
        TEXT | BLOB => args.add(cell.bytes.clone()),
        _ => return Err(DtxError::Corrupt("unknown storage class")),
    };
    bound.map_err(|error| sqlx::Error::Encode(error).into())
}

/// A key value for a lock text. A real without a fraction is the integer, as comparison has it.
pub(super) fn part(cell: &Cell) -> Part {
    match (cell.kind, <[u8; 8]>::try_from(cell.bytes.as_slice())) {
        (INTEGER, Ok(bytes)) => Part::Int(i64::from_be_bytes(bytes)),
        (REAL, Ok(bytes)) => {
            let value = f64::from_bits(u64::from_be_bytes(bytes));
            const END: f64 = 9_223_372_036_854_775_808.0;
            #[expect(clippy::cast_possible_truncation, reason = "exact: whole and within the bounds")]
            let whole = (value.fract() == 0.0 && (-END..END).contains(&value)).then_some(Part::Int(value as i64));
            whole.unwrap_or_else(|| Part::Other(cell.clone()))
        }
        (TEXT, _) => match std::str::from_utf8(&cell.bytes) {
            Ok(text) => Part::Text(text.to_owned()),
            Err(_) => Part::Other(cell.clone()),
        },
        _ => Part::Other(cell.clone()),
    }
}

/// A value of a unique key, folded so that values which the index takes for equal are equal.
pub(super) fn fold(cell: &Cell, collation: Collation) -> Part {
    let mut folded = cell.clone();
    if cell.kind == TEXT {
        match collation {
            Collation::Binary => {}
            Collation::NoCase => folded.bytes.make_ascii_lowercase(),
            Collation::RightTrim => {
                let end = folded.bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |at| at + 1);
                folded.bytes.truncate(end);
            }
        }
    }
    part(&folded)
}
