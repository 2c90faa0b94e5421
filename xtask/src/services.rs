//! The services as data: what `up`, `down`, `env` and `test` know about each.

use crate::process::Launch;
use crate::record::Record;
use crate::{Result, paths};
use std::iter;
use std::path::{Path, PathBuf};

mod mariadb;
mod nats;
mod postgres;
mod rabbitmq;
mod redis;

/// One service. Its credentials are for development on loopback, and the same in `compose.yaml`.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// The environment variable with its URL.
    pub(crate) variable: &'static str,
    /// The feature by which a crate says that its tests need it.
    pub(crate) feature: &'static str,
    /// Its ports, counted from the port base; the first is the one in the URL.
    pub(crate) offsets: &'static [u16],
    pub(crate) admin: Option<Admin>,
    /// The Debian package that brings it.
    pub(crate) package: &'static str,
    /// What asks it to end at once without losing anything.
    pub(crate) signal: &'static str,
    pub(crate) url: fn(u16) -> String,
    /// Its server program, if installed.
    pub(crate) locate: fn() -> Option<PathBuf>,
    /// Prepares its data and says what to run: helpers first, the server last.
    pub(crate) prepare: fn(&Place<'_>) -> Result<Vec<Launch>>,
    /// Makes the running server hold back those who write, or, if so told, lets them go on.
    pub(crate) alarm: Option<fn(&Place<'_>, bool) -> Result<Launch>>,
    /// Does the server on this port answer in its own protocol, ready to serve?
    pub(crate) ready: fn(u16) -> bool,
}

/// A second door of a service, for what its own protocol cannot say.
#[derive(Debug)]
pub(crate) struct Admin {
    /// The environment variable with its URL.
    pub(crate) variable: &'static str,
    /// Which of the service's ports.
    pub(crate) port: usize,
    pub(crate) url: fn(u16) -> String,
}

/// Where and how a service is to run.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) server: &'a Path,
    /// Absolute; logs, record and, where nothing speaks against it, the data.
    pub(crate) folder: &'a Path,
    pub(crate) ports: &'a [u16],
    /// Must acknowledged writes survive a power cut?
    pub(crate) durable: bool,
}

impl Place<'_> {
    pub(crate) fn port(&self) -> String {
        self.ports[0].to_string()
    }

    pub(crate) fn log(&self) -> PathBuf {
        log(self.folder)
    }
}

pub(crate) const ALL: [&Service; 5] =
    [&redis::SERVICE, &postgres::SERVICE, &mariadb::SERVICE, &rabbitmq::SERVICE, &nats::SERVICE];

const DEFAULT_BASE: u16 = 26300;
/// No service has a port so far from the base.
pub(crate) const PORTS: u16 = 10;

impl Service {
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        Ok(paths::services()?.join(self.name))
    }

    pub(crate) fn ports(&self, base: u16) -> Vec<u16> {
        self.offsets.iter().map(|offset| base + offset).collect()
    }

    /// The URL that the environment gives, which wins over everything here.
    pub(crate) fn given(&self) -> Option<String> {
        std::env::var(self.variable).ok().filter(|url| !url.trim().is_empty())
    }

    /// The variables that tell where it is, as it runs on `port`.
    pub(crate) fn variables(&self, port: u16) -> Vec<(&'static str, String)> {
        let admin = self.admin.iter().map(|admin| {
            let port = port - self.offsets[0] + self.offsets[admin.port];
            (admin.variable, (admin.url)(port))
        });
        iter::once((self.variable, (self.url)(port))).chain(admin).collect()
    }

    /// The record of one that `up` started: nothing else is to be disturbed.
    pub(crate) fn ours(&self) -> Result<Record> {
        let Self { name, variable, .. } = self;
        if self.foreign()? {
            return Err(format!("{variable} names a {name} that `cargo xtask up` did not start: it is not ours"));
        }
        Record::load(&self.folder()?).ok_or_else(|| format!("{name} is not running here"))
    }

    /// Is it somebody else's server that the environment gives? What `env` printed for a recorded one is ours.
    pub(crate) fn foreign(&self) -> Result<bool> {
        let Some(given) = self.given() else { return Ok(false) };
        let recorded = Record::load(&self.folder()?);
        Ok(recorded.is_none_or(|record| (self.url)(record.port) != given))
    }
}

/// The services with these names; all, if none is named.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Service>> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    for name in names {
        if !ALL.iter().any(|service| service.name == name) {
            let known: Vec<_> = ALL.iter().map(|service| service.name).collect();
            return Err(format!("no service `{name}`; known are: {}", known.join(" ")));
        }
    }
    Ok(ALL.into_iter().filter(|service| names.iter().any(|name| name == service.name)).collect())
}

/// The first port of the services.
pub(crate) fn port_base() -> Result<u16> {
    let Ok(text) = std::env::var("ONCEWARD_PORT_BASE") else { return Ok(DEFAULT_BASE) };
    text.trim()
        .parse()
        .ok()
        .filter(|base| (1024..=65000).contains(base))
        .ok_or_else(|| format!("ONCEWARD_PORT_BASE is `{text}`; it must be a number from 1024 to 65000"))
}

/// Where a service's server writes what it has to say.
pub(crate) fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_services_share_a_port_or_a_name() {
        let mut ports: Vec<_> = ALL.iter().flat_map(|s| s.offsets).collect();
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), ALL.iter().map(|s| s.offsets.len()).sum::<usize>());
        assert!(ports.iter().all(|offset| **offset < PORTS));
        let mut words: Vec<_> = ALL.iter().flat_map(|s| [s.name, s.variable, s.feature]).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 3 * ALL.len());
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let told = named(&["redis".to_owned(), "mongo".to_owned()]).unwrap_err();
        for service in ALL {
            assert!(told.contains(service.name), "{told}");
        }
        assert!(told.contains("`mongo`"), "{told}");
    }

    #[test]
    fn compose_has_the_same_services_ports_and_credentials() {
        let text = include_str!("../../compose.yaml");
        for service in ALL {
            let port = DEFAULT_BASE + service.offsets[0];
            assert!(text.contains(&format!("\n  {}:\n", service.name)), "{}", service.name);
            for (variable, url) in service.variables(port) {
                let place = url.rsplit_once("127.0.0.1").unwrap().1.split('/').next().unwrap().to_owned();
                assert!(text.contains(&format!("\"127.0.0.1{place}:")), "{variable}");
            }
            let url = (service.url)(port);
            if let Some((login, _)) = url.rsplit_once('@') {
                let (_, login) = login.rsplit_once('/').unwrap();
                let (_, password) = login.split_once(':').unwrap();
                assert!(text.contains(password), "{}", service.name);
            }
        }
    }
}
