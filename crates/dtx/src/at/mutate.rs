//! Valid inputs made invalid at random.

use testkit::Rng;

/// How many mutated inputs a test tries: 25,000 in the gate, ten million at twenty times the size.
pub(crate) fn tries() -> usize {
    25_000 * testkit::scale().pow(2)
}

/// One to four changes of `input`: bits flipped, bytes put in, left out, doubled, cut off, or taken from `other`.
pub(crate) fn mutated(rng: &mut Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=rng.below(3) {
        let at = place(rng, bytes.len());
        let end = at + place(rng, (bytes.len() - at).min(40));
        match rng.below(7) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            1 => bytes.insert(at, byte(rng)),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                (0..=rng.below(3)).for_each(|_| drop(bytes.splice(at..at, part.iter().copied())));
            }
            4 => bytes.truncate(at),
            5 => {
                let from = place(rng, other.len());
                let to = from + place(rng, (other.len() - from).min(40));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
        }
    }
    bytes
}

fn place(rng: &mut Rng, length: usize) -> usize {
    usize::try_from(rng.below(length as u64 + 1)).unwrap()
}

fn byte(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(256)).unwrap()
}
