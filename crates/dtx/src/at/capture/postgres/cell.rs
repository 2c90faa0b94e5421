//! PostgreSQL's values: the bytes in which the server sends and takes a type, beside the number of that type.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type};
use uuid::Uuid;

use crate::DtxError;
use crate::at::image::Cell;
use crate::at::key::Part;

/// Types whose equal values have equal bytes, after what [`part`] does to them.
pub(super) const KEYS: [u32; 17] = [
    BOOL,
    BYTEA,
    CHAR,
    NAME,
    INT8,
    INT2,
    INT4,
    TEXT,
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    NUMERIC,
    UUID,
    OID,
];
/// Types that a version is counted in.
pub(super) const COUNTED: [u32; 3] = [INT2, INT4, INT8];
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;

/// A value of any type, bound as the server sent it.
struct Raw<'a> {
    kind: u32,
    bytes: Option<&'a [u8]>,
}

impl Type<Postgres> for Raw<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(BYTEA))
    }
}

impl<'q> Encode<'q, Postgres> for Raw<'q> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = self.bytes else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.kind)))
    }
}

/// Binds a value of a column of type `kind`.
pub(super) fn raw(args: &mut PgArguments, kind: u32, cell: &Cell) -> Result<(), DtxError> {
    let bytes = (!cell.is_null()).then_some(cell.bytes.as_slice());
    args.add(Raw { kind, bytes }).map_err(|error| sqlx::Error::Encode(error).into())
}

/// A key value of the type `base` for a lock text, the same for all values that the server takes for equal.
pub(super) fn part(base: u32, cell: &Cell) -> Part {
    let other = |bytes: Vec<u8>| Part::Other(Cell { kind: base, bytes });
    let bytes = cell.bytes.as_slice();
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Part::Text(text.to_owned()),
        Err(_) => other(bytes.to_vec()),
    };
    let int = match base {
        INT2 => bytes.try_into().ok().map(|bytes| i64::from(i16::from_be_bytes(bytes))),
        INT4 => bytes.try_into().ok().map(|bytes| i64::from(i32::from_be_bytes(bytes))),
        INT8 => bytes.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    };
    match (int, base) {
        (Some(int), _) => Part::Int(int),
        (None, TEXT | VARCHAR | NAME) => text(bytes),
        // Padded by the column's length, and compared without.
        (None, BPCHAR) => text(bytes.trim_ascii_end()),
        (None, UUID) => Uuid::from_slice(bytes).map_or_else(|_| other(bytes.to_vec()), |id| Part::Text(id.to_string())),
        (None, NUMERIC) => other(numeric(bytes)),
        (None, _) => other(bytes.to_vec()),
    }
}

/// A numeric without what does not count: the number of digits to show, and zeros at the end. In front stand four numbers of
/// two bytes: how many digits follow, the weight of the first, the sign, and the scale.
fn numeric(bytes: &[u8]) -> Vec<u8> {
    let Some((head, digits)) = bytes.split_first_chunk::<8>() else { return bytes.to_vec() };
    let mut digits = digits;
    while let Some(rest) = digits.strip_suffix(&[0, 0]) {
        digits = rest;
    }
    let mut head = *head;
    let count = u16::try_from(digits.len() / 2).unwrap_or_default();
    head[..2].copy_from_slice(&count.to_be_bytes());
    head[6..].fill(0);
    if digits.is_empty() && matches!(head[4], 0 | 0x40) {
        // Zero, of whatever sign and weight.
        head[2..6].fill(0);
    }
    [&head[..], digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(bytes: &[u8]) -> Cell {
        Cell { kind: 1, bytes: bytes.to_vec() }
    }

    #[test]
    fn equal_values_have_one_lock() {
        // 1.0 and 1.00; 0 and 0.00
        let one = |scale| cell(&[0, 1, 0, 0, 0, 0, 0, scale, 0, 1]);
        assert_eq!(part(NUMERIC, &one(1)), part(NUMERIC, &one(2)));
        // 10000 as one digit of weight 1, and with a zero digit behind
        let long = cell(&[0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        let short = cell(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(part(NUMERIC, &long), part(NUMERIC, &short));
        assert_ne!(part(NUMERIC, &short), part(NUMERIC, &one(0)));
        assert_eq!(part(BPCHAR, &cell(b"a  ")), part(BPCHAR, &cell(b"a")));
        assert_ne!(part(TEXT, &cell(b"a  ")), part(TEXT, &cell(b"a")));
    }

    #[test]
    fn integers_texts_and_uuids_stay_readable() {
        assert_eq!(part(INT2, &cell(&[255, 255])), Part::Int(-1));
        assert_eq!(part(INT4, &cell(&[0, 0, 1, 0])), Part::Int(256));
        assert_eq!(part(INT8, &cell(&[0, 0, 0, 0, 0, 0, 0, 9])), Part::Int(9));
        let id = Uuid::from_u128(7);
        assert_eq!(part(UUID, &cell(id.as_bytes())), Part::Text(id.to_string()));
        assert_eq!(part(INT4, &cell(&[1])), Part::Other(Cell { kind: INT4, bytes: vec![1] }), "no number of that type");
    }
}
