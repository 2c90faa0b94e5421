//! Where the tests' shops keep what they keep: on the servers of the test run, each under a namespace of its own.

use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use shop::servers::Servers;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, query_scalar, raw_sql};
use tempfile::TempDir;
use testkit::Launch;

use crate::support::{folder, program};

/// `--fresh` clears the folder and no server.
pub const FRESH_IS_EMPTY: bool = false;

pub const NAMES: [&str; 4] = ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL"];
/// No test run is that old.
const OLD: Duration = Duration::from_secs(3600);

/// A folder and a namespace that go with the test.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    urls: [String; 4],
    pub servers: Servers,
}

impl Place {
    pub fn new() -> Self {
        Self::at(NAMES.map(testkit::url))
    }

    /// On servers that are reached by these URLs; what is left there is removed directly.
    pub fn at(urls: [String; 4]) -> Self {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| blocking(sweep()));
        Self { folder: folder(), urls, servers: servers(&testkit::namespace()) }
    }

    /// The data folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program with all that names this place but `--data`.
    pub fn launch(&self) -> Launch {
        let urls = NAMES.iter().zip(&self.urls);
        let launch = urls.fold(program(), |launch, (name, url)| launch.env(name, url));
        launch.env("SHOP_NAMESPACE", self.namespace())
    }

    pub fn namespace(&self) -> &str {
        self.servers.namespace().as_str()
    }

    /// How many notifications were sent.
    pub async fn notifications(&self) -> i64 {
        let mut mysql = mysql().await;
        let count = format!("select count(*) from {}_notify.notifications", self.namespace());
        query_scalar(AssertSqlSafe(count)).fetch_one(&mut mysql).await.unwrap()
    }

    /// Looks at this place with one row of a database changed, which is whole again afterwards. For a shop that has
    /// stopped.
    pub async fn with_damage(&self, database: &str, statement: &'static str, look: impl AsyncFnOnce(&Self)) {
        let name = format!("{}_{database}", self.namespace());
        if database == "notify" {
            let mut mysql = mysql().await;
            run_mysql(&mut mysql, format!("create table {name}.kept as select * from {name}.notifications")).await;
            self.damage(database, statement).await;
            look(self).await;
            run_mysql(&mut mysql, format!("delete from {name}.notifications")).await;
            run_mysql(&mut mysql, format!("insert into {name}.notifications select * from {name}.kept")).await;
            run_mysql(&mut mysql, format!("drop table {name}.kept")).await;
        } else {
            let mut postgres = postgres("postgres").await;
            run_postgres(&mut postgres, format!("create database {name}_kept template {name}")).await;
            self.damage(database, statement).await;
            look(self).await;
            run_postgres(&mut postgres, format!("drop database {name} with (force)")).await;
            run_postgres(&mut postgres, format!("alter database {name}_kept rename to {name}")).await;
        }
    }

    /// Changes one row of a database for good.
    pub async fn damage(&self, database: &str, statement: &'static str) {
        let name = format!("{}_{database}", self.namespace());
        let rows = if database == "notify" {
            let mut mysql = mysql().await;
            run_mysql(&mut mysql, format!("use {name}")).await;
            raw_sql(statement).execute(&mut mysql).await.unwrap().rows_affected()
        } else {
            let mut postgres = postgres(&name).await;
            let done = raw_sql(statement).execute(&mut postgres).await.unwrap();
            postgres.close().await.unwrap();
            done.rows_affected()
        };
        assert_eq!(rows, 1, "{statement}");
    }

    /// Looks at this place with one database that is not there. It is there again afterwards, but for the one on MariaDB,
    /// which renames none. For a shop that has stopped.
    pub async fn without(&self, database: &str, look: impl AsyncFn(&Self)) {
        let name = format!("{}_{database}", self.namespace());
        if database == "notify" {
            run_mysql(&mut mysql().await, format!("drop database {name}")).await;
            look(self).await;
        } else {
            let mut postgres = postgres("postgres").await;
            run_postgres(&mut postgres, format!("alter database {name} rename to {name}_kept")).await;
            look(self).await;
            run_postgres(&mut postgres, format!("alter database {name}_kept rename to {name}")).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let servers = self.servers.clone();
        blocking(async move {
            if let Err(error) = servers.remove().await {
                eprintln!("{}: {error}", servers.namespace());
            }
        });
    }
}

pub fn servers(namespace: &str) -> Servers {
    let [redis, postgres, mysql, amqp] = NAMES.map(testkit::url);
    Servers::new(&redis, &postgres, &mysql, &amqp, namespace.parse().unwrap()).unwrap()
}

/// Removes what test runs left more than an hour ago and nobody uses.
async fn sweep() {
    let mut postgres = postgres("postgres").await;
    let unused = "select distinct left(d.datname, 18) from pg_database d where d.datname like 't%' and not exists \
                  (select 1 from pg_stat_activity a where left(a.datname, 18) = left(d.datname, 18))";
    let names: Vec<String> = query_scalar(unused).fetch_all(&mut postgres).await.unwrap();
    for name in &names {
        let age = testkit::born(name).and_then(|born| SystemTime::now().duration_since(born).ok());
        if age.is_some_and(|age| age > OLD) {
            // Another test program may be quicker.
            let _ = servers(name).remove().await;
        }
    }
}

/// Where nothing can be awaited.
fn blocking(work: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    });
    if thread.join().is_err() {
        eprintln!("what the tests left could not be removed");
    }
}

async fn postgres(database: &str) -> PgConnection {
    let url = testkit::url("POSTGRES_URL");
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    PgConnection::connect_with(&options.database(database)).await.unwrap()
}

async fn mysql() -> MySqlConnection {
    MySqlConnection::connect(&testkit::url("MYSQL_URL")).await.unwrap()
}

async fn run_postgres(conn: &mut PgConnection, statement: String) {
    raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}

async fn run_mysql(conn: &mut MySqlConnection, statement: String) {
    raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}
