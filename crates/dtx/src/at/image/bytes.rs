//! The parts that undo records are written and read in.

use super::{Cell, Change, Kind, Row, Step};
use crate::DtxError;

const TOO_LARGE: DtxError = DtxError::Corrupt("a length is too large");

/// What a step begins with.
pub(super) fn head(out: &mut Vec<u8>, step: &Step) {
    out.push(match step.kind {
        Kind::Insert => 1,
        Kind::Update => 2,
        Kind::Delete => 3,
    });
    bytes(out, step.table.as_bytes());
    out.extend_from_slice(&step.relation.to_be_bytes());
    count(out, step.columns.len());
    step.columns.iter().for_each(|column| bytes(out, column.as_bytes()));
    for places in [&step.key, &step.set] {
        count(out, places.len());
        places.iter().for_each(|&at| count(out, at));
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn count(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub(super) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    count(out, value.len());
    out.extend_from_slice(value);
}

/// What is left to be read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Four bytes, the highest first.
    pub(super) fn number(&mut self) -> Result<i32, DtxError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DtxError::Corrupt("cut off"))?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*number))
    }

    /// Bytes behind their length in four bytes; none for the length -1.
    pub(super) fn sized(&mut self) -> Result<Option<&'a [u8]>, DtxError> {
        let length = match self.number()? {
            -1 => return Ok(None),
            length => usize::try_from(length).map_err(|_| DtxError::Corrupt("a negative length"))?,
        };
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DtxError::Corrupt("cut off"))?;
        self.0 = rest;
        Ok(Some(bytes))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DtxError> {
        let (&first, rest) = self.0.split_first().ok_or(DtxError::Corrupt("cut off"))?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn count(&mut self) -> Result<usize, DtxError> {
        let mut value = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = usize::from(byte & 0x7f);
            value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part).ok_or(TOO_LARGE)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(TOO_LARGE)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, DtxError> {
        let length = self.count()?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(DtxError::Corrupt("cut off"))?;
        self.0 = rest;
        Ok(value.to_vec())
    }

    fn text(&mut self) -> Result<String, DtxError> {
        String::from_utf8(self.bytes()?).map_err(|_| DtxError::Corrupt("a name is not text"))
    }

    fn image(&mut self, columns: usize) -> Result<Option<Row>, DtxError> {
        match self.byte()? {
            0 => Ok(None),
            1 => (0..columns).map(|_| self.cell()).collect::<Result<_, _>>().map(Some),
            _ => Err(DtxError::Corrupt("an image is neither there nor absent")),
        }
    }

    fn cell(&mut self) -> Result<Cell, DtxError> {
        let (kind, rest) = self.0.split_first_chunk::<4>().ok_or(DtxError::Corrupt("cut off"))?;
        self.0 = rest;
        match u32::from_be_bytes(*kind) {
            0 => Ok(Cell::NULL),
            kind => Ok(Cell { kind, bytes: self.bytes()? }),
        }
    }

    /// A step without its changes.
    pub(super) fn head(&mut self) -> Result<Step, DtxError> {
        let kind = match self.byte()? {
            1 => Kind::Insert,
            2 => Kind::Update,
            3 => Kind::Delete,
            _ => return Err(DtxError::Corrupt("unknown kind of step")),
        };
        let table = self.text()?;
        let relation = self.number()?.cast_unsigned();
        let columns: Vec<_> = (0..self.count()?).map(|_| self.text()).collect::<Result<_, _>>()?;
        let [key, set] = [self.places(columns.len())?, self.places(columns.len())?];
        if key.is_empty() {
            return Err(DtxError::Corrupt("a table without a key"));
        }
        Ok(Step { kind, table, relation, columns, key, set, changes: Vec::new() })
    }

    /// Positions among so many columns.
    fn places(&mut self, columns: usize) -> Result<Vec<usize>, DtxError> {
        let places: Vec<_> = (0..self.count()?).map(|_| self.count()).collect::<Result<_, _>>()?;
        match places.iter().any(|&at| at >= columns) {
            true => Err(DtxError::Corrupt("a place outside of the columns")),
            false => Ok(places),
        }
    }

    pub(super) fn step(&mut self) -> Result<Step, DtxError> {
        let mut step = self.head()?;
        let columns = step.columns.len();
        let change = |input: &mut Self| Ok(Change { before: input.image(columns)?, after: input.image(columns)? });
        step.changes = (0..self.count()?).map(|_| change(self)).collect::<Result<_, DtxError>>()?;
        Ok(step)
    }
}
