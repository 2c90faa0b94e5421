//! Bytes of `rollback_info`: a version, the steps, and a checksum over both. Large ones are compressed.

use sha2::{Digest, Sha256};

use super::bytes::{Input, bytes, count, head};
use super::{Images, Row, record};
use crate::DtxError;

const VERSION: u8 = 1;
/// Behind it, the length of another record without its checksum, and that one as an LZ4 block.
const PACKED: u8 = 3;
const CHECKSUM: usize = 8;
/// From there on, packing is worth its time.
const LARGE: usize = 8 * 1024;
/// No LZ4 block holds more for each of its bytes.
const DENSEST: usize = 255;

/// The bytes of all steps.
pub(crate) fn encode(images: &Images) -> Vec<u8> {
    let mut out = vec![VERSION];
    count(&mut out, images.steps.len());
    for step in &images.steps {
        head(&mut out, step);
        count(&mut out, step.changes.len());
        for change in &step.changes {
            image(&mut out, change.before.as_ref());
            image(&mut out, change.after.as_ref());
        }
    }
    if out.len() > LARGE {
        let packed = packed(&out);
        if packed.len() < out.len() {
            out = packed;
        }
    }
    let sum = Sha256::digest(&out);
    out.extend_from_slice(&sum[..CHECKSUM]);
    out
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut out = vec![PACKED];
    count(&mut out, body.len());
    out.extend_from_slice(&lz4_flex::block::compress(body));
    out
}

/// Reads what [`encode`] or a server wrote. Bytes of any other origin are an error, never a panic and never more memory than
/// their own number explains.
pub(crate) fn decode(stored: &[u8]) -> Result<Images, DtxError> {
    let body = stored.len().checked_sub(CHECKSUM).ok_or(DtxError::Corrupt("too short"))?;
    let (body, sum) = stored.split_at(body);
    if Sha256::digest(body)[..CHECKSUM] != *sum {
        return Err(DtxError::Corrupt("wrong checksum"));
    }
    match body.split_first() {
        Some((&PACKED, packed)) => steps(&unpacked(packed)?),
        _ => steps(body),
    }
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, DtxError> {
    let mut input = Input(packed);
    let length = input.count()?;
    if length > input.0.len().saturating_mul(DENSEST) {
        return Err(DtxError::Corrupt("more than could be packed there"));
    }
    let mut body = vec![0; length];
    match lz4_flex::block::decompress_into(input.0, &mut body) {
        Ok(written) if written == length => Ok(body),
        _ => Err(DtxError::Corrupt("what was packed is damaged")),
    }
}

fn steps(body: &[u8]) -> Result<Images, DtxError> {
    let mut input = Input(body);
    let steps = match input.byte()? {
        VERSION => (0..input.count()?).map(|_| input.step()).collect::<Result<_, _>>()?,
        record::VERSION => vec![record::step(&mut input)?],
        _ => return Err(DtxError::Corrupt("written by a newer version")),
    };
    if !input.is_empty() {
        return Err(DtxError::Corrupt("bytes after the end"));
    }
    Ok(Images { steps })
}

fn image(out: &mut Vec<u8>, row: Option<&Row>) {
    let Some(row) = row else { return out.push(0) };
    out.push(1);
    for cell in row {
        out.extend_from_slice(&cell.kind.to_be_bytes());
        if !cell.is_null() {
            bytes(out, &cell.bytes);
        }
    }
}
