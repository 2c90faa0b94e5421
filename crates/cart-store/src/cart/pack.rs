//! The bytes of a cart, the same in every store. Each value begins with its format; numbers are big-endian.
//!
//! | value | bytes |
//! |---|---|
//! | line | `0x10 \| checked \| 2 × priced`, u32 quantity, u48 added at, then if priced i64 amount and the currency |
//! | meta | `0x10 \| count`, u32 version, u32 floor, then per operation its distance in versions and its 8 bytes |
//! | seal | `0x10 \| stage`, u48 since, 16 bytes merge, the member's id |
//! | merge mark | `0x10`, u32 version, u32 lines, u64 quantity, then per clamped line its key (u8 length), u64 asked, u32 kept |
//! | order mark | `0x10`, u32 version, u64 quantity |
//! | record | meta, seal (or nothing), then key and value of each line, each with its length in one byte |

use super::{Record, Ring};
use crate::types::{
    Clamped, Line, LineKey, MemberId, MergeId, MergeReport, OperationId, PriceHint, Seal, Stage, Taken,
};

const FORMAT: u8 = 0x10;
const DETAIL: u8 = 0x0f;
const CHECKED: u8 = 1;
const PRICED: u8 = 2;

/// What cannot be read, for the error's source.
pub(crate) type Unreadable = &'static str;

impl Record {
    /// The record as bytes, for a store that keeps a cart as one value.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80 + 40 * self.lines.len());
        chunk(&mut bytes, &meta(self));
        chunk(&mut bytes, &self.seal.as_ref().map(seal).unwrap_or_default());
        for held in self.lines.values() {
            chunk(&mut bytes, held.key.as_str().as_bytes());
            chunk(&mut bytes, &line(held));
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, in this or an earlier version of the crate.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = Reader(bytes);
        let mut record = Self::default();
        read_meta(rest.chunk()?, &mut record)?;
        let sealed = rest.chunk()?;
        if !sealed.is_empty() {
            record.seal = Some(read_seal(sealed)?);
        }
        while !rest.0.is_empty() {
            let read = read_line(rest.chunk()?, rest.chunk()?)?;
            record.lines.insert(read.key.clone(), read);
        }
        Ok(record)
    }
}

pub(crate) fn line(line: &Line) -> Vec<u8> {
    let flags = u8::from(line.checked) * CHECKED + u8::from(line.price_hint.is_some()) * PRICED;
    let mut bytes = vec![FORMAT | flags];
    bytes.extend(line.quantity.to_be_bytes());
    bytes.extend(u48(line.added_at));
    if let Some(hint) = line.price_hint {
        bytes.extend(price(hint));
    }
    bytes
}

pub(crate) fn price(hint: PriceHint) -> [u8; 11] {
    let mut bytes = [0; 11];
    bytes[..8].copy_from_slice(&hint.amount.to_be_bytes());
    bytes[8..].copy_from_slice(&hint.currency);
    bytes
}

pub(crate) fn read_line(name: &[u8], value: &[u8]) -> Result<Line, Unreadable> {
    let key = key(name)?;
    let mut rest = Reader(value);
    let flags = rest.format()?;
    let quantity = rest.u32()?;
    let added_at = rest.u48()?;
    let price_hint = match flags & PRICED {
        0 => None,
        _ => Some(PriceHint { amount: i64::from_be_bytes(rest.array()?), currency: rest.array()? }),
    };
    if quantity == 0 || !rest.0.is_empty() {
        return Err("a line");
    }
    Ok(Line { checked: flags & CHECKED != 0, price_hint, ..Line::new(key, quantity, added_at) })
}

pub(crate) fn meta(record: &Record) -> Vec<u8> {
    let entries = &record.ring.entries;
    let mut bytes = vec![FORMAT | u8::try_from(entries.len()).unwrap_or(DETAIL)];
    bytes.extend(record.version.to_be_bytes());
    bytes.extend(record.ring.floor.to_be_bytes());
    let mut newer = record.version;
    for (id, version) in entries {
        bytes.push(u8::try_from(newer - version).unwrap_or(u8::MAX));
        bytes.extend(id.as_bytes());
        newer = *version;
    }
    bytes
}

pub(crate) fn read_meta(bytes: &[u8], record: &mut Record) -> Result<(), Unreadable> {
    let mut rest = Reader(bytes);
    let count = usize::from(rest.format()?);
    record.version = rest.u32()?;
    record.ring = Ring { entries: Vec::with_capacity(count), floor: rest.u32()? };
    let mut version = record.version;
    for _ in 0..count {
        let [distance] = rest.array()?;
        version = version.checked_sub(u32::from(distance)).ok_or("operations older than the cart")?;
        record.ring.entries.push((OperationId::from_bytes(rest.array()?), version));
    }
    if rest.0.is_empty() && count <= Ring::SIZE { Ok(()) } else { Err("the state of a cart") }
}

pub(crate) fn seal(seal: &Seal) -> Vec<u8> {
    let mut bytes = vec![FORMAT | stage_code(seal.stage)];
    bytes.extend(u48(seal.since));
    bytes.extend(seal.merge.as_bytes());
    bytes.extend(seal.into.as_str().as_bytes());
    bytes
}

pub(crate) fn read_seal(bytes: &[u8]) -> Result<Seal, Unreadable> {
    let mut rest = Reader(bytes);
    let stage = stage_of(rest.format()?)?;
    let since = rest.u48()?;
    let merge = MergeId::from_bytes(rest.array()?);
    Ok(Seal::new(merge, member(rest.0)?, stage, since))
}

pub(crate) fn member(bytes: &[u8]) -> Result<MemberId, Unreadable> {
    std::str::from_utf8(bytes).ok().and_then(|id| MemberId::new(id).ok()).ok_or("a member id")
}

pub(crate) const fn stage_code(stage: Stage) -> u8 {
    match stage {
        Stage::Sealed => 1,
        Stage::Tombstoned => 2,
        Stage::Settled => 3,
    }
}

pub(crate) const fn stage_of(code: u8) -> Result<Stage, Unreadable> {
    match code {
        1 => Ok(Stage::Sealed),
        2 => Ok(Stage::Tombstoned),
        3 => Ok(Stage::Settled),
        _ => Err("the stage of a merge"),
    }
}

impl MergeReport {
    /// The report as bytes, to be kept under the mark of the merge.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.lines.to_be_bytes());
        bytes.extend(self.quantity.to_be_bytes());
        for clamped in &self.clamped {
            chunk(&mut bytes, clamped.key.as_str().as_bytes());
            bytes.extend(clamped.asked.to_be_bytes());
            bytes.extend(clamped.kept.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, in this or an earlier version of the crate.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = Reader(bytes);
        rest.format()?;
        let (version, lines, quantity) = (rest.u32()?, rest.u32()?, u64::from_be_bytes(rest.array()?));
        let mut clamped = Vec::new();
        while !rest.0.is_empty() {
            clamped.push(Clamped {
                key: key(rest.chunk()?)?,
                asked: u64::from_be_bytes(rest.array()?),
                kept: rest.u32()?,
            });
        }
        Ok(Self { lines, quantity, clamped, version, replayed: false })
    }
}

impl Taken {
    /// The answer as bytes, to be kept under the mark of the order.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.quantity.to_be_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, in this or an earlier version of the crate.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = Reader(bytes);
        rest.format()?;
        let (version, quantity) = (rest.u32()?, u64::from_be_bytes(rest.array()?));
        if rest.0.is_empty() { Ok(Self { version, quantity, replayed: false }) } else { Err("an order mark") }
    }
}

fn key(bytes: &[u8]) -> Result<LineKey, Unreadable> {
    std::str::from_utf8(bytes).ok().and_then(|key| LineKey::new(key).ok()).ok_or("a line key")
}

/// Keys and values are at most 151 bytes (a seal); the length fits one byte.
fn chunk(bytes: &mut Vec<u8>, chunk: &[u8]) {
    bytes.push(u8::try_from(chunk.len()).unwrap_or(u8::MAX));
    bytes.extend(chunk);
}

fn u48(value: u64) -> [u8; 6] {
    let [_, _, bytes @ ..] = value.min((1 << 48) - 1).to_be_bytes();
    bytes
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| "cut short")
    }

    fn chunk(&mut self) -> Result<&'a [u8], Unreadable> {
        let [len] = self.array()?;
        self.take(usize::from(len))
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u48(&mut self) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(self.take(6)?);
        Ok(u64::from_be_bytes(bytes))
    }

    /// Checks the format and answers the detail that stands beside it.
    fn format(&mut self) -> Result<u8, Unreadable> {
        match self.array()? {
            [first] if first & !DETAIL == FORMAT => Ok(first & DETAIL),
            _ => Err("written by a later version"),
        }
    }
}

#[cfg(test)]
mod tests;
