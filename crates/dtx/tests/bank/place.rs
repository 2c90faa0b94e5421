//! Where the money is: two databases at a server and two files, and the store that the coordinators of all services share.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::{Lent, Wire};

/// The resources: those at the server, then the files.
pub const SERVERS: [&str; 2] = ["north", "south"];
pub const FILES: [&str; 2] = ["east", "west"];
pub const OFFICES: u64 = 4;
pub const ACCOUNTS: u64 = 6;
/// What each account has at first.
pub const START: i64 = 1000;

/// Where the coordinators keep what they know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Server,
    File,
}

/// How a process gets to all of it.
pub struct Route {
    pub folder: PathBuf,
    pub store: String,
    pub servers: [String; 2],
}

impl Route {
    /// As the arguments of a child say.
    pub fn of(args: &[String]) -> Self {
        let [folder, store, north, south] = args else { panic!("{args:?}") };
        Self { folder: folder.into(), store: store.clone(), servers: [north.clone(), south.clone()] }
    }

    pub fn args(&self) -> [&str; 4] {
        [self.folder.to_str().unwrap(), &self.store, &self.servers[0], &self.servers[1]]
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.db"))
    }
}

/// The databases, and a wire to each that is at the server.
pub struct Place {
    folder: TempDir,
    store: Store,
    databases: Vec<Lent>,
    pub wires: Vec<Wire>,
}

impl Place {
    pub async fn new(store: Store) -> Self {
        let mut place = Self { folder: tempfile::tempdir().unwrap(), store, databases: Vec::new(), wires: Vec::new() };
        let coordinators = (store == Store::Server).then_some("coordinators");
        for _ in SERVERS.into_iter().chain(coordinators) {
            let database = testkit::postgres::database().await;
            place.wires.push(Wire::new(database.url(), b"COMMIT").await);
            place.databases.push(database);
        }
        place
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The way of the services, over wires that may be spoilt.
    pub fn route(&self) -> Route {
        self.by(|at| self.wires[at].url())
    }

    /// The way of the auditor.
    pub fn direct(&self) -> Route {
        self.by(|at| self.databases[at].url())
    }

    fn by<'a>(&'a self, url: impl Fn(usize) -> &'a str) -> Route {
        let store = match self.store {
            Store::Server => url(2).to_owned(),
            Store::File => self.folder().join("coordinators.db").to_str().unwrap().to_owned(),
        };
        Route { folder: self.folder().to_owned(), store, servers: [0, 1].map(|at| url(at).to_owned()) }
    }
}
