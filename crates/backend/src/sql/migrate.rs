//! Tables of a crate, created and changed in numbered steps.

use sha2::{Digest, Sha256};
use sqlx::{Connection, Pool};

use super::statement::{Sql, execute_raw, render};
use super::{Conn, Db, Dialect, begin, commit};
use crate::{BackendError, ErrorClass};

const TABLE: &str = "create table if not exists onceward_migrations (\
    crate {key} not null, number bigint not null, checksum {key} not null, primary key (crate, number))";

/// The numbered migrations of one crate.
///
/// A migration is a template of statements that each may run again (`create table if not exists …`), separated by `;` at
/// the end of a line. Its number and checksum are recorded in the table `onceward_migrations` after its last statement. On
/// PostgreSQL and SQLite a run is one transaction; on MySQL, where DDL commits by itself, a run that dies is taken up
/// where it stopped. Runs of several processes wait for each other.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    name: &'static str,
    steps: &'static [(i64, &'static str)],
}

impl Migrations {
    /// The migrations of the crate `name`, in ascending numbers.
    pub const fn new(name: &'static str, steps: &'static [(i64, &'static str)]) -> Self {
        Self { name, steps }
    }

    /// Brings the database up to date; does nothing where it is.
    ///
    /// # Errors
    /// Class `Refused` if a recorded migration had another text than this version of the crate knows, or if a statement
    /// is refused.
    pub async fn run<D: Db>(&self, pool: &Pool<D>) -> Result<(), BackendError> {
        // Most runs find everything done: that costs one read, and no lock that a busy neighbour would have to give.
        if self.is_done(pool).await {
            return Ok(());
        }
        match D::DIALECT {
            Dialect::MySql => {
                let mut conn = pool.acquire().await?;
                let sql = Sql::<D>::new();
                let locked = sql.sql("select cast(get_lock('onceward_migrations', 60) as signed)");
                if locked.fetch_one::<(i64,)>(&mut conn).await? != (1,) {
                    let waited = "another process holds the lock onceward_migrations for more than 60 s";
                    return Err(BackendError::new("mysql", ErrorClass::Transient, waited));
                }
                let done = self.apply(&mut conn).await;
                // Closed rather than unlocked: it frees the lock whatever state a failed statement left behind.
                conn.detach().close().await?;
                done
            }
            Dialect::Postgres => {
                let mut tx = begin(pool).await?;
                // One lock for all crates; the number is arbitrary.
                execute_raw("select pg_advisory_xact_lock(7223990016350)", &mut tx).await?;
                self.apply(&mut tx).await?;
                commit(tx).await
            }
            Dialect::Sqlite => {
                let mut tx = begin(pool).await?;
                self.apply(&mut tx).await?;
                commit(tx).await
            }
        }
    }

    /// Fails unless the database is what [`run`](Self::run) would leave. Only reads: for a program that looks at tables which
    /// others keep.
    ///
    /// # Errors
    /// Class `Refused` if the tables are of another version of the crate, or are not there.
    pub async fn verify<D: Db>(&self, pool: &Pool<D>) -> Result<(), BackendError> {
        let recorded = self.recorded(&mut pool.acquire().await?).await?;
        match self.difference(&recorded) {
            None => Ok(()),
            Some(what) => Err(BackendError::new(D::DIALECT.name(), ErrorClass::Refused, what)),
        }
    }

    /// All of it as a script, for a database in which programs may make no tables. It leaves what [`run`](Self::run) leaves.
    pub fn script(&self, dialect: Dialect) -> String {
        let mut script = render(dialect, TABLE) + ";\n\n";
        for (number, step) in self.steps {
            for statement in statements(step) {
                script.push_str(&render(dialect, &statement));
                script.push_str(";\n\n");
            }
            // Neither the name nor the sum has a quote in it.
            let (name, sum) = (self.name, checksum(step));
            script.push_str(&format!(
                "insert into onceward_migrations (crate, number, checksum) values ('{name}', {number}, '{sum}');\n\n"
            ));
        }
        script
    }

    /// What is recorded otherwise than it would be here.
    fn difference(&self, recorded: &[(i64, String)]) -> Option<String> {
        let name = self.name;
        if recorded.is_empty() {
            return Some(format!("there are no tables of {name}"));
        }
        for (number, script) in self.steps {
            match recorded.iter().find(|(held, _)| held == number) {
                None => {
                    return Some(format!("the tables of {name} are older than this version: {number} is not recorded"));
                }
                Some((_, sum)) if *sum != checksum(script) => {
                    return Some(format!("migration {number} of {name} had another text than this version has"));
                }
                Some(_) => {}
            }
        }
        let known = |number: &i64| self.steps.iter().any(|(own, _)| own == number);
        let newer = recorded.iter().find(|(number, _)| !known(number));
        newer.map(|(number, _)| format!("the tables of {name} are newer than this version, which knows no {number}"))
    }

    /// False also where the table of records is not there yet.
    async fn is_done<D: Db>(&self, pool: &Pool<D>) -> bool {
        let Ok(mut conn) = pool.acquire().await else { return false };
        let Ok(recorded) = self.recorded(&mut conn).await else { return false };
        self.steps
            .iter()
            .all(|(number, script)| recorded.iter().any(|(held, sum)| held == number && *sum == checksum(script)))
    }

    async fn recorded<D: Db>(&self, conn: &mut impl Conn<D>) -> Result<Vec<(i64, String)>, BackendError> {
        let sql = Sql::<D>::new();
        sql.sql("select number, checksum from onceward_migrations where crate = ?")
            .bind(self.name)
            .fetch_all(conn)
            .await
    }

    async fn apply<D: Db>(&self, conn: &mut impl Conn<D>) -> Result<(), BackendError> {
        let sql = Sql::<D>::new();
        execute_raw(TABLE, conn).await?;
        let recorded = self.recorded(conn).await?;
        for (number, script) in self.steps {
            let checksum = checksum(script);
            match recorded.iter().find(|(held, _)| held == number) {
                Some((_, held)) if *held == checksum => continue,
                Some(_) => {
                    let name = self.name;
                    let changed =
                        format!("migration {number} of {name} was applied with another text than this version has");
                    return Err(BackendError::new(D::DIALECT.name(), ErrorClass::Refused, changed));
                }
                None => {}
            }
            for statement in statements(script) {
                execute_raw(&statement, conn).await?;
                crate::mark::mark("backend.migration_statement");
            }
            sql.sql("insert into onceward_migrations (crate, number, checksum) values (?, ?, ?)")
                .bind(self.name)
                .bind(*number)
                .bind(&checksum)
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

/// The statements of a script without its comment lines.
fn statements(script: &str) -> impl Iterator<Item = String> {
    let lines: Vec<_> = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let text = lines.join("\n") + "\n";
    let parts: Vec<_> = text.split(";\n").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    parts.into_iter()
}

fn checksum(script: &str) -> String {
    Sha256::digest(script.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_recorded_otherwise_is_a_difference() {
        let (first, second) = ("create table a (x bigint);\n", "create table b (x bigint);\n");
        let recorded = [(1, checksum(first)), (2, checksum(second))];
        let both: &'static [(i64, &str)] = &[(1, "create table a (x bigint);\n"), (2, "create table b (x bigint);\n")];
        let differs = |steps, recorded: &[(i64, String)]| {
            Migrations::new("demo", steps)
                .difference(recorded)
                .unwrap_or_default()
                .replace("the tables of demo are ", "")
        };
        assert_eq!(differs(both, &recorded), "");
        assert_eq!(differs(both, &[]), "there are no tables of demo");
        assert_eq!(differs(both, &recorded[..1]), "older than this version: 2 is not recorded");
        assert_eq!(differs(&both[..1], &recorded), "newer than this version, which knows no 2");
        let changed = [(1, checksum(second)), (2, checksum(second))];
        assert_eq!(differs(both, &changed), "migration 1 of demo had another text than this version has");
    }

    #[test]
    fn a_script_is_split_at_line_ends_only() {
        let script = "-- what it is\ncreate table a (\n  x bigint\n);\n\ncreate index i on a (x);\n-- the end\n";
        let parts: Vec<_> = statements(script).collect();
        assert_eq!(parts, ["create table a (\n  x bigint\n)", "create index i on a (x)"]);
    }
}
