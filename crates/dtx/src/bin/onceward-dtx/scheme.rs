//! The databases that this program was built for, by the schemes of their URLs.

#[cfg(feature = "sqlite")]
use std::path::PathBuf;

use crate::problem::Problem;

/// Where a URL leads.
pub(crate) enum Place {
    #[cfg(feature = "postgres")]
    Postgres(Box<sqlx::postgres::PgConnectOptions>),
    #[cfg(feature = "mysql")]
    MySql(Box<sqlx::mysql::MySqlConnectOptions>),
    /// An existing file.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
}

/// A scheme and the feature that it needs.
const KNOWN: [(&str, &str, bool); 3] = [
    ("postgres://", "postgres", cfg!(feature = "postgres")),
    ("mysql://", "mysql", cfg!(feature = "mysql")),
    ("sqlite:PATH", "sqlite", cfg!(feature = "sqlite")),
];

/// The forms of URLs that are known.
pub(crate) fn forms() -> String {
    let known: Vec<_> = KNOWN.iter().filter(|(.., built)| *built).map(|(form, ..)| *form).collect();
    if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
}

pub(crate) fn help() -> String {
    let without: Vec<_> = KNOWN.iter().filter(|(.., built)| !built).map(|(_, feature, _)| *feature).collect();
    let missing = if without.is_empty() { String::new() } else { format!("; built without {}", without.join(", ")) };
    format!("URLs that it knows: {}{missing}", forms())
}

impl Place {
    /// Reads the URL that `option` gave. What is wrong with one is said without quoting it.
    pub(crate) fn of(option: &str, url: &str) -> Result<Self, Problem> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                Ok(Self::Postgres(url.parse().map(Box::new).map_err(|_: sqlx::Error| misread(option))?))
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => {
                Ok(Self::MySql(url.parse().map(Box::new).map_err(|_: sqlx::Error| misread(option))?))
            }
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let path = PathBuf::from(rest.strip_prefix("//").unwrap_or(rest));
                if path.is_file() {
                    return Ok(Self::Sqlite(path));
                }
                let path = path.display();
                Err(Problem::usage(format!("{option}: there is no file {path}; write sqlite:PATH, without parameters")))
            }
            _ => {
                let _ = rest;
                Err(Problem::usage(format!("{option}: not a URL that this program knows; it knows {}", forms())))
            }
        }
    }
}

/// The drivers' own words would quote parts of it.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn misread(option: &str) -> Problem {
    Problem::usage(format!(
        "{option}: the URL cannot be read; write SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what is special in it"
    ))
}
