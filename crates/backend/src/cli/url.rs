//! Where a URL leads.

use std::fmt;
use std::path::PathBuf;

use super::problem::Problem;

/// The databases that a program was built for. By the features of the program: those of this crate may be more.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// PostgreSQL.
    pub postgres: bool,
    /// MariaDB and MySQL.
    pub mysql: bool,
    /// SQLite.
    pub sqlite: bool,
}

/// A database of a known kind.
pub enum Place {
    /// A URL, which may hold a secret.
    Postgres(String),
    /// A URL, which may hold a secret.
    MySql(String),
    /// An existing file.
    Sqlite(PathBuf),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Postgres",
            Self::MySql(_) => "MySql",
            Self::Sqlite(_) => "Sqlite",
        })
    }
}

impl Built {
    /// A form of URL, the feature that it needs, and whether that is on.
    fn known(self) -> [(&'static str, &'static str, bool); 3] {
        [
            ("postgres://", "postgres", self.postgres),
            ("mysql://", "mysql", self.mysql),
            ("sqlite:PATH", "sqlite", self.sqlite),
        ]
    }

    fn forms(self) -> String {
        let known: Vec<_> = self.known().iter().filter(|(.., built)| *built).map(|(form, ..)| *form).collect();
        if known.is_empty() { "none at all".to_owned() } else { known.join(", ") }
    }

    /// A line for the end of the help.
    pub fn help(self) -> String {
        let known = self.known();
        let without: Vec<_> = known.iter().filter(|(.., built)| !built).map(|(_, feature, _)| *feature).collect();
        let missing =
            if without.is_empty() { String::new() } else { format!("; built without {}", without.join(", ")) };
        format!("URLs that it knows: {}{missing}", self.forms())
    }

    /// The place of the URL that `option` gave. What is wrong with one is said without quoting it.
    pub fn place(self, option: &str, url: &str) -> Result<Place, Problem> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        match scheme {
            "postgres" | "postgresql" if self.postgres => Ok(Place::Postgres(url.to_owned())),
            "mysql" | "mariadb" if self.mysql => Ok(Place::MySql(url.to_owned())),
            "sqlite" if self.sqlite => {
                let path = PathBuf::from(rest.strip_prefix("//").unwrap_or(rest));
                if path.is_file() {
                    return Ok(Place::Sqlite(path));
                }
                let path = path.display();
                Err(Problem::usage(format!("{option}: there is no file {path}; write sqlite:PATH, without parameters")))
            }
            _ => Err(self.unknown(option)),
        }
    }

    /// The problem of a URL of another kind.
    pub fn unknown(self, option: &str) -> Problem {
        Problem::usage(format!("{option}: not a URL that this program knows; it knows {}", self.forms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_what_the_program_was_built_for() {
        let built = Built { postgres: true, mysql: false, sqlite: true };
        assert_eq!(built.help(), "URLs that it knows: postgres://, sqlite:PATH; built without mysql");
        let debug =
            |url: &str| built.place("--store", url).map(|place| format!("{place:?}")).map_err(|e| e.to_string());
        assert_eq!(debug("postgresql://ann:secret@db/x"), Ok("Postgres".to_owned()));
        let told = debug("mysql://ann:secret@db/x").unwrap_err();
        assert!(told.ends_with("it knows postgres://, sqlite:PATH") && !told.contains("secret"), "{told}");
        assert!(debug("sqlite:nowhere.db").unwrap_err().contains("there is no file nowhere.db"));
    }
}
