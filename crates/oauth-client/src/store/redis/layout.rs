//! The bytes of a record: format, version, number of a call, and what follows.
//!
//! The call is the one that wrote the record; in tokens, whose version is the number of the call that wrote them, it is
//! the one that last deleted any. The scripts know this layout too.

use std::time::Duration;

use onceward_backend::BackendError;

use super::super::{Entry, Stored};

/// First byte of every record; a later layout gets another.
const FORMAT: u8 = 1;
const HEAD: usize = 17;

#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) version: i64,
    pub(super) call: [u8; 8],
}

impl Head {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [&[FORMAT][..], &self.version.to_be_bytes(), &self.call].concat()
    }
}

/// How a record of this version begins.
pub(super) fn expected(version: i64) -> [u8; 9] {
    let mut bytes = [FORMAT; 9];
    bytes[1..].copy_from_slice(&version.to_be_bytes());
    bytes
}

/// The version, and what follows the head.
fn split(record: &[u8]) -> Result<(i64, &[u8]), BackendError> {
    let Some((&[FORMAT, ref head @ ..], rest)) = record.split_first_chunk::<HEAD>() else {
        return Err(unreadable());
    };
    let (version, _) = head.split_first_chunk::<8>().ok_or_else(unreadable)?;
    Ok((i64::from_be_bytes(*version), rest))
}

fn unreadable() -> BackendError {
    BackendError::corrupt("redis", "a record that this version does not know")
}

/// A login: the head, its whole life in milliseconds, the body.
pub(super) fn write_flow(head: Head, life: u64, body: &[u8]) -> Vec<u8> {
    [&head.to_bytes(), &life.to_be_bytes()[..], body].concat()
}

/// `left` is the rest of its life in milliseconds.
pub(super) fn read_flow(record: &[u8], left: u64) -> Result<Entry, BackendError> {
    let (version, rest) = split(record)?;
    let (life, body) = rest.split_first_chunk::<8>().ok_or_else(unreadable)?;
    let age = u64::from_be_bytes(*life).saturating_sub(left);
    Ok(Entry { version, body: body.to_vec(), age: Duration::from_millis(age), left: Duration::from_millis(left) })
}

/// The version of deleted tokens, and of none.
pub(super) const NO_TOKENS: i64 = 0;

/// Tokens of an account: the head and the body, or a head without a version where they were deleted.
pub(super) fn read_tokens(record: &[u8]) -> Result<Option<Stored>, BackendError> {
    let (version, body) = split(record)?;
    Ok((version != NO_TOKENS).then(|| Stored { version, body: body.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: [u8; 8] = [7; 8];

    #[test]
    fn a_login_reads_as_written_and_is_as_old_as_its_life_is_gone() {
        let record = write_flow(Head { version: 3, call: CALL }, 60_000, b"body");
        assert!(record.starts_with(&expected(3)) && !record.starts_with(&expected(4)));
        let entry = read_flow(&record, 45_000).unwrap();
        assert_eq!((entry.version, entry.body.as_slice()), (3, &b"body"[..]));
        assert_eq!((entry.age, entry.left), (Duration::from_secs(15), Duration::from_secs(45)));
        // The clock of Redis went back.
        assert_eq!(read_flow(&record, 70_000).unwrap().age, Duration::ZERO);
    }

    #[test]
    fn deleted_tokens_are_none() {
        let deleted = Head { version: NO_TOKENS, call: CALL }.to_bytes();
        assert!(read_tokens(&deleted).unwrap().is_none());
        let stored = Head { version: 5, call: CALL }.to_bytes();
        assert_eq!(read_tokens(&stored).unwrap().unwrap().version, 5);
    }

    #[test]
    fn other_bytes_are_corrupt() {
        let record = write_flow(Head { version: 1, call: CALL }, 60_000, b"");
        let mut later = record.clone();
        later[0] = 2;
        for bytes in [&later, &record[..24], &record[..10], &[]] {
            assert!(read_flow(bytes, 1).is_err());
        }
        assert!(read_tokens(&later).is_err() && read_tokens(&record[..16]).is_err());
    }
}
