//! The bytes of a record in Redis.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 1 |
//! | 1 | state: `I` issued, `C` claimed, `D` done |
//! | 2 | flags: bit 0, the claim took over |
//! | 3..7 | attempt |
//! | 7..15 | tail: what of the key's time to live comes after the lease or life |
//! | 15..23 | lease as last started |
//! | 23..31 | life that was left when the claim was made or renewed |
//! | 31..39 | how long the claim had run then |
//! | 39..55 | owner |
//! | 55..87 | fingerprint |
//! | 87.. | holder, purpose, user, each after one byte of length; then the result |
//!
//! Numbers are big-endian, durations in milliseconds. No time of day is in it: the key's own time to live says how long
//! ago the record was written, so no clock but the server's is ever read.

use std::time::Duration;

use crate::{ClaimRef, Fingerprint, NewToken, Owner, RunningClaim, TokenId, TokenKey};

const VERSION: u8 = 1;

/// Milliseconds, rounded up so that nothing positive becomes zero.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The record of a new token.
pub(crate) fn issued(new: &NewToken) -> Vec<u8> {
    let mut bytes = vec![VERSION, b'I', 0, 0, 0, 0, 0];
    for duration in [new.tombstone, Duration::ZERO, new.ttl, Duration::ZERO] {
        bytes.extend_from_slice(&millis(duration).to_be_bytes());
    }
    bytes.extend_from_slice(Owner::NOBODY.as_bytes());
    bytes.extend_from_slice(new.fingerprint.as_bytes());
    bytes.extend_from_slice(&named("", &new.key.purpose, &new.key.user));
    bytes
}

/// Holder, purpose and user, each after its length.
pub(crate) fn named(holder: &str, purpose: &str, user: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(holder.len() + purpose.len() + user.len() + 3);
    for name in [holder, purpose, user] {
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&name.as_bytes()[..name.len().min(usize::from(u8::MAX))]);
    }
    bytes
}

/// A claim, from the record of token `id` whose key has `ttl` milliseconds to live; `None` if it is not a claim, or not
/// one that this version can read.
pub(crate) fn running(id: TokenId, record: &[u8], ttl: u64) -> Option<RunningClaim> {
    let mut bytes = Reader(record);
    if bytes.take::<2>()? != [VERSION, b'C'] {
        return None;
    }
    bytes.take::<1>()?;
    let attempt = u32::from_be_bytes(bytes.take()?);
    let [tail, lease, _life, ran] = [bytes.number()?, bytes.number()?, bytes.number()?, bytes.number()?];
    let owner = Owner::from_bytes(bytes.take()?);
    let _ = Fingerprint::from_bytes(bytes.take()?);
    let (holder, purpose, user) = (bytes.name()?, bytes.name()?, bytes.name()?);
    let since = lease.saturating_add(tail).saturating_sub(ttl);
    Some(RunningClaim::new(
        ClaimRef { key: TokenKey { purpose, user, id }, owner },
        holder,
        attempt,
        Duration::from_millis(ran.saturating_add(since)),
        Duration::from_millis(ttl.saturating_sub(tail)),
    ))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn name(&mut self) -> Option<String> {
        let [length] = self.take()?;
        let (name, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        String::from_utf8(name.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewToken {
        let key = TokenKey { purpose: "order".to_owned(), user: "alice".to_owned(), id: TokenId::from_bytes([9; 16]) };
        let second = Duration::from_secs(1);
        NewToken { key, fingerprint: Fingerprint::of("x"), ttl: 2 * second, tombstone: 3 * second, latest: false }
    }

    #[test]
    fn the_layout_is_fixed() {
        let bytes = issued(&new());
        assert_eq!(bytes[..7], [1, b'I', 0, 0, 0, 0, 0]);
        assert_eq!(bytes[7..15], 3000_u64.to_be_bytes());
        assert_eq!(bytes[15..23], [0; 8]);
        assert_eq!(bytes[23..31], 2000_u64.to_be_bytes());
        assert_eq!(bytes[39..55], [0; 16]);
        assert_eq!(bytes[55..87], *Fingerprint::of("x").as_bytes());
        assert_eq!(&bytes[87..], b"\0\x05order\x05alice");
    }

    #[test]
    fn a_claim_is_read_with_what_its_time_to_live_says() {
        let mut bytes = issued(&new());
        assert_eq!(running(new().key.id, &bytes, 1), None, "not claimed");
        bytes[1] = b'C';
        bytes[6] = 4;
        bytes[15..23].copy_from_slice(&1000_u64.to_be_bytes());
        bytes[31..39].copy_from_slice(&50_u64.to_be_bytes());
        bytes.extend_from_slice(b"never read");
        let found = running(new().key.id, &bytes, 3400).unwrap();
        assert_eq!((found.claim.key, found.attempt), (new().key, 4));
        assert_eq!((found.running_for, found.lease_left), (Duration::from_millis(650), Duration::from_millis(400)));
        assert!(running(new().key.id, &bytes, 2999).unwrap().lease_left.is_zero(), "abandoned");
        for cut in 0..bytes.len() - 10 {
            assert_eq!(running(new().key.id, &bytes[..cut], 1), None, "cut at {cut}");
        }
        bytes[0] = 2;
        assert_eq!(running(new().key.id, &bytes, 1), None, "a version to come");
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::ZERO), 0);
    }
}
