//! What the environment says about services and about the size of tests.

#![allow(clippy::disallowed_methods, reason = "testkit is where tests read the environment")]

use std::env::VarError;
use std::net::IpAddr;
use std::sync::OnceLock;

/// The URL of the test service that the environment variable `name` holds.
///
/// # Panics
/// If the variable is absent (the message names the commands that set it), or if it names a host other than this
/// machine: tests create and drop databases, so they stay on loopback.
///
/// ```no_run
/// let url = testkit::url("POSTGRES_URL");
/// ```
#[must_use]
#[track_caller]
pub fn url(name: &str) -> String {
    let value = match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => value,
        _ => panic!(
            "{name} is not set: start the services with `cargo xtask up` and run `eval \"$(cargo xtask env)\"`, \
             or let `cargo xtask test` do both"
        ),
    };
    if let Err(host) = loopback_only(&value) {
        panic!("{name} names the host `{host}`: tests run against services on loopback only");
    }
    value
}

/// The factor by which randomised, kill and load tests are enlarged: `ONCEWARD_SCALE`, or 1.
///
/// # Panics
/// If the variable is set but is not a whole number above zero.
#[must_use]
#[track_caller]
pub fn scale() -> usize {
    match std::env::var("ONCEWARD_SCALE") {
        Err(VarError::NotPresent) => 1,
        Ok(text) => match text.trim().parse() {
            Ok(scale) if scale > 0 => scale,
            _ => panic!("ONCEWARD_SCALE is `{text}`, which is not a whole number above zero"),
        },
        Err(error) => panic!("ONCEWARD_SCALE: {error}"),
    }
}

/// The seed of this run: `ONCEWARD_SEED`, or one drawn once per test program.
///
/// It is printed at each call, so that the output of a failing test holds what repeats it.
///
/// # Panics
/// If the variable is set but is not a number.
#[must_use]
#[track_caller]
pub fn seed() -> u64 {
    static DRAWN: OnceLock<u64> = OnceLock::new();
    let seed = match std::env::var("ONCEWARD_SEED") {
        Err(VarError::NotPresent) => *DRAWN.get_or_init(|| crate::rng::entropy() >> 16),
        Ok(text) => match text.trim().parse() {
            Ok(seed) => seed,
            Err(_) => panic!("ONCEWARD_SEED is `{text}`, which is not a number"),
        },
        Err(error) => panic!("ONCEWARD_SEED: {error}"),
    };
    eprintln!("seed: ONCEWARD_SEED={seed} repeats this run");
    seed
}

/// `Err` with the first host that is not this machine.
fn loopback_only(url: &str) -> Result<(), String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, query) = match rest.find(['/', '?', '#']) {
        Some(end) => (&rest[..end], rest[end..].split_once('?').map_or("", |(_, query)| query)),
        None => (rest, ""),
    };
    // Some drivers let the query name another host than the authority does.
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if matches!(key, "host" | "hostaddr" | "socket") {
            return Err(value.to_owned());
        }
    }
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').try_for_each(|place| {
        let host = host_of(place);
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if loopback { Ok(()) } else { Err(host.to_owned()) }
    })
}

/// `host` of `host:port`, `[v6]:port`, `host`.
fn host_of(place: &str) -> &str {
    if let Some(rest) = place.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    place.split(':').next().unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_urls_pass() {
        for url in [
            "postgres://u:p@127.0.0.1:5432/db",
            "mysql://root@localhost/db?ssl-mode=disabled",
            "redis://[::1]:6379/0",
            "redis://:pa@ss@127.0.0.2:1",
            "127.0.0.1:9092,localhost:9093",
        ] {
            assert_eq!(loopback_only(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn other_hosts_are_refused_and_named() {
        for (url, host) in [
            ("postgres://u:p@db.example.com/x", "db.example.com"),
            ("postgres://127.0.0.1@10.0.0.1/x", "10.0.0.1"),
            ("postgres://127.0.0.1/x?host=10.0.0.1", "10.0.0.1"),
            ("postgres:///x", ""),
            ("redis://localhost.example.com", "localhost.example.com"),
            ("127.0.0.1:1,10.0.0.1:2", "10.0.0.1"),
            ("redis://10.0.0.1#@127.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(loopback_only(url), Err(host.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_missing_url_names_the_commands() {
        let panic = std::panic::catch_unwind(|| url("TESTKIT_NO_SUCH_URL")).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("cargo xtask up"), "{message}");
        assert!(message.contains("eval \"$(cargo xtask env)\""), "{message}");
        assert!(message.contains("TESTKIT_NO_SUCH_URL"), "{message}");
    }

    #[test]
    fn the_seed_is_one_per_program() {
        assert_eq!(seed(), seed());
    }
}
