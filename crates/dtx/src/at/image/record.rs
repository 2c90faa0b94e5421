//! Undo records that a server puts together by itself, out of whole rows in its own binary form.
//!
//! Behind a head of ours, rows follow to the end: length and bytes before, length and bytes after, with the length -1 for
//! none. A row is what PostgreSQL's `record_send` makes: the number of columns, then type, length and bytes of each.

#[cfg(feature = "postgres")]
use super::bytes;
use super::bytes::Input;
use super::{Cell, Change, Row, Step};
use crate::DtxError;

/// The version byte of such records.
pub(super) const VERSION: u8 = 2;

/// What an undo record of one step begins with.
#[cfg(feature = "postgres")]
pub(crate) fn head(step: &Step) -> Vec<u8> {
    let mut out = vec![VERSION];
    bytes::head(&mut out, step);
    out
}

/// The only step of a record, behind its version.
pub(super) fn step(input: &mut Input<'_>) -> Result<Step, DtxError> {
    let mut step = input.head()?;
    while !input.is_empty() {
        let change = Change { before: sized_row(input)?, after: sized_row(input)? };
        if [&change.before, &change.after].into_iter().flatten().any(|row| row.len() != step.columns.len()) {
            return Err(DtxError::Corrupt("a row of another width"));
        }
        step.changes.push(change);
    }
    Ok(step)
}

fn sized_row(input: &mut Input<'_>) -> Result<Option<Row>, DtxError> {
    input.sized()?.map(row).transpose()
}

/// Reads a row.
pub(crate) fn row(bytes: &[u8]) -> Result<Row, DtxError> {
    let mut input = Input(bytes);
    let columns = usize::try_from(input.number()?).map_err(|_| DtxError::Corrupt("a negative number of columns"))?;
    let mut row = Row::new();
    for _ in 0..columns {
        let kind = input.number()?.cast_unsigned();
        row.push(input.sized()?.map_or(Cell::NULL, |bytes| Cell { kind, bytes: bytes.to_vec() }));
    }
    if input.is_empty() { Ok(row) } else { Err(DtxError::Corrupt("bytes behind a row")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_the_server_sends_it() {
        let sent =
            [&[0, 0, 0, 2][..], &[0, 0, 0, 23, 0, 0, 0, 4, 0, 0, 0, 7], &[0, 0, 0, 25, 255, 255, 255, 255]].concat();
        let read = row(&sent).unwrap();
        assert_eq!(read, [Cell { kind: 23, bytes: vec![0, 0, 0, 7] }, Cell::NULL]);
        for end in 0..sent.len() {
            assert!(row(&sent[..end]).is_err(), "{end}");
        }
        assert!(row(&[&sent[..], &[0]].concat()).is_err());
        assert!(row(&[255, 255, 255, 255]).is_err());
        assert!(row(&[127, 255, 255, 255]).is_err(), "more columns than bytes");
    }
}
