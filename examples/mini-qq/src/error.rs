//! Why a server cannot start or a client cannot be registered.

use std::io;
use std::path::PathBuf;

/// What [`crate::Server::new`] and [`crate::Server::register`] refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A client, a user or an origin that cannot be served.
    #[error("{0}")]
    Config(String),
    /// Another server has the data folder.
    #[error("the data folder {} is in use by another mini-qq", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder cannot be read or written.
    #[error("the data folder cannot be used: {}", path.display())]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file in the data folder is not what this server wrote.
    #[error("{} line {line} cannot be read", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
}
