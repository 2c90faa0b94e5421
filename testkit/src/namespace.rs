//! Names that belong to one test.

use std::time::{Duration, SystemTime};

/// A name that no other test has: lower-case letters, digits and one `_`, a letter first, 18 characters.
///
/// It is fit for a database, a schema, a queue or a key prefix. [`born`] reads its time of birth back, so that what a
/// dead test run left behind can be told from what a live one uses.
///
/// ```
/// let name = testkit::namespace();
/// assert!(name.len() <= 21 && name.starts_with('t'));
/// assert!(testkit::born(&name).is_some());
/// ```
#[must_use]
pub fn namespace() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("t{}_{}", base36(now, SECONDS_DIGITS), base36(crate::rng::entropy(), RANDOM_DIGITS))
}

/// When [`namespace`] made `name`; `None` if the name is not one of its.
#[must_use]
pub fn born(name: &str) -> Option<SystemTime> {
    let (seconds, random) = name.strip_prefix('t')?.split_once('_')?;
    let digits = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    if !digits(seconds, SECONDS_DIGITS) || !digits(random, RANDOM_DIGITS) {
        return None;
    }
    let seconds = u64::from_str_radix(seconds, 36).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Whether `name` was made by [`namespace`] so long ago that no test run can be using it.
#[cfg_attr(
    not(any(feature = "mysql", feature = "nats", feature = "postgres", feature = "rabbitmq", feature = "redis")),
    allow(dead_code)
)]
pub(crate) fn is_leftover(name: &str, now: SystemTime) -> bool {
    born(name).and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age > LEFTOVER_AGE)
}

/// The last `width` base-36 digits of `n`.
fn base36(mut n: u64, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(n % 36).unwrap_or(0)];
        n /= 36;
    }
    digits.into_iter().map(char::from).collect()
}

/// Enough until the year 2038; the age of a name is then its age modulo 69 years.
const SECONDS_DIGITS: usize = 6;
const RANDOM_DIGITS: usize = 10;
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_and_differ() {
        let names: std::collections::HashSet<String> = (0..1000).map(|_| namespace()).collect();
        assert_eq!(names.len(), 1000);
        for name in names {
            assert_eq!(name.len(), 18, "{name}");
            assert!(name.starts_with('t'));
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        }
    }

    #[test]
    fn the_time_of_birth_can_be_read_back() {
        let age = born(&namespace()).unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }

    #[test]
    fn only_old_names_of_ours_are_leftovers() {
        let name = namespace();
        let now = SystemTime::now();
        assert!(!is_leftover(&name, now));
        assert!(!is_leftover(&name, now + Duration::from_secs(59 * 60)));
        assert!(is_leftover(&name, now + Duration::from_secs(2 * 60 * 60)));
        for foreign in ["template1", "postgres", "t_", "test_0123456789", "t000000_short", "tABCDEF_0123456789"] {
            assert_eq!(born(foreign), None, "{foreign}");
            assert!(!is_leftover(foreign, now));
        }
    }
}
