//! What the server must be set to for what the broker declares.

use std::collections::HashMap;

use crate::{Error, broker::Durability};

/// What is asked for.
pub(super) const NAMES: [&str; 4] = [APPEND, SYNC, PAUSE, POLICY];

/// Whether anything has to be asked.
pub(super) fn matter(durability: Durability) -> bool {
    durability > Durability::Volatile
}

/// Whether a Redis server can be set so at all.
pub(super) fn possible(durability: Durability) -> Result<(), Error> {
    // Its replicas get what it has told its clients already.
    if durability > Durability::Fsynced {
        return Err(Error::Unsupported("a message on several machines"));
    }
    Ok(())
}

/// Says what speaks against this durability in the server's settings.
pub(super) fn check(durability: Durability, settings: &HashMap<String, String>) -> Result<(), String> {
    let is = |name: &str| settings.get(name).map_or("not told", String::as_str);
    let fitting = [
        (APPEND, is(APPEND) == "yes", durability > Durability::Volatile),
        (POLICY, !is(POLICY).starts_with("allkeys") && is(POLICY) != "not told", durability > Durability::Volatile),
        (SYNC, is(SYNC) == "always", durability > Durability::Stored),
        (PAUSE, is(PAUSE) == "no", durability > Durability::Stored),
    ];
    match fitting.iter().find(|(_, fits, matters)| *matters && !fits) {
        Some((name, ..)) => {
            Err(format!("the server's {name} is {:?}, which is not enough for {durability:?}", is(name)))
        }
        None => Ok(()),
    }
}

const APPEND: &str = "appendonly";
const SYNC: &str = "appendfsync";
/// No sync while the file is written anew, `always` or not.
const PAUSE: &str = "no-appendfsync-on-rewrite";
/// One that may evict any key evicts queues.
const POLICY: &str = "maxmemory-policy";

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(durability: Durability, values: [&str; 4]) -> Result<(), String> {
        check(durability, &NAMES.into_iter().zip(values).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    #[test]
    fn each_setting_counts_for_what_depends_on_it() {
        use Durability::{Fsynced, Stored, Volatile};
        for (values, stored, fsynced) in [
            (["yes", "always", "no", "noeviction"], true, true),
            (["yes", "always", "no", "volatile-ttl"], true, true),
            (["yes", "everysec", "no", "noeviction"], true, false),
            (["yes", "always", "yes", "noeviction"], true, false),
            (["yes", "always", "no", "allkeys-lru"], false, false),
            (["no", "always", "no", "noeviction"], false, false),
        ] {
            assert_eq!(checked(Stored, values).is_ok(), stored, "{values:?}");
            assert_eq!(checked(Fsynced, values).is_ok(), fsynced, "{values:?}");
            assert!(checked(Volatile, values).is_ok());
        }
        let told = checked(Fsynced, ["yes", "everysec", "no", "noeviction"]).unwrap_err();
        assert_eq!(told, "the server's appendfsync is \"everysec\", which is not enough for Fsynced");
    }

    #[test]
    fn what_is_not_told_is_not_enough() {
        assert!(check(Durability::Stored, &HashMap::new()).is_err());
        assert!(possible(Durability::Replicated).is_err() && possible(Durability::Fsynced).is_ok());
    }
}
