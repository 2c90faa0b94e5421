//! A small deterministic generator, so that a run can be repeated from its seed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A splitmix64 generator: the same seed gives the same numbers on every machine.
///
/// ```
/// let mut rng = testkit::Rng::new(7);
/// let dice = rng.below(6) + 1;
/// assert!((1..=6).contains(&dice));
/// assert_eq!(testkit::Rng::new(7).next_u64(), testkit::Rng::new(7).next_u64());
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `n`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no number below zero");
        // The bias of the remainder is below 2^-32 for every bound that a test uses.
        self.next_u64() % n
    }

    /// True with probability `p` (0 never, 1 always).
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn chance(&mut self, p: f64) -> bool {
        let unit = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < p
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// A generator of its own for a part of the test, so that parts do not disturb each other's numbers.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).expect("a length fits 64 bits");
        usize::try_from(self.below(bound)).expect("below a length")
    }
}

/// Bits that differ from call to call and from process to process.
pub(crate) fn entropy() -> u64 {
    // Every `RandomState` has keys of its own, seeded by the operating system.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_numbers_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn bounds_and_probabilities() {
        let mut rng = Rng::new(1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[usize::try_from(rng.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (100..300).contains(n)), "{seen:?}");
        assert!(!(0..100).any(|_| rng.chance(0.0)));
        assert!((0..100).all(|_| rng.chance(1.0)));
        let heads = (0..1000).filter(|_| rng.chance(0.5)).count();
        assert!((400..600).contains(&heads), "{heads}");
    }

    #[test]
    fn shuffling_keeps_the_items() {
        let mut items: Vec<u32> = (0..50).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
        assert!([1, 2].contains(Rng::new(4).pick(&[1, 2])));
    }

    #[test]
    fn forks_are_independent() {
        let mut parent = Rng::new(9);
        let (mut a, mut b) = (parent.fork(), parent.fork());
        assert_ne!(a.next_u64(), b.next_u64());
    }
}
