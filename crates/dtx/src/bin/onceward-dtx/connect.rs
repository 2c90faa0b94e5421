//! Joins the coordinator's database, and the resources that a command looks into.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use onceward_backend::{Db, ErrorClass};
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{At, AtDb, Dtx, DtxError, DtxOptions, SqlStore, Tc, TcOptions};
use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection, Pool};

use crate::args::Databases;
use crate::problem::{Problem, chain};
use crate::scheme::Place;

/// How long a database may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whatever the services have: this program neither says that it lives nor takes work on.
const LEASE: Duration = Duration::from_secs(5);

/// Which of the resources a command looks into.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    None,
    One(&'a str),
    All,
}

/// The databases that a command works on.
pub(crate) struct Joined {
    pub(crate) dtx: Dtx,
    ends: Vec<BoxFuture<'static, ()>>,
}

impl Joined {
    /// Takes leave of the databases: a server notes it if somebody just goes, and SQLite leaves files beside its own.
    pub(crate) async fn close(self) {
        join_all(self.ends).await;
    }
}

/// The coordinator, with the resources that are wanted.
pub(crate) async fn join(databases: &Databases, wanted: Wanted<'_>) -> Result<Joined, Problem> {
    let Some(url) = databases.store.as_deref().filter(|url| !url.is_empty()) else {
        return Err(Problem::usage("name the coordinator's database: --store URL, or DTX_STORE_URL"));
    };
    let resources = chosen(databases, wanted)?;
    let options = TcOptions::default().with_peers(LEASE);
    let (store, end) = store(url).await?;
    let dtx = Dtx::new(Arc::new(Tc::new(store, options)), DtxOptions::default());
    let mut joined = Joined { dtx, ends: vec![end] };
    for (name, url) in resources {
        match resource(name, url, &joined.dtx).await {
            Ok(end) => joined.ends.push(end),
            Err(problem) => {
                joined.close().await;
                return Err(problem);
            }
        }
    }
    Ok(joined)
}

/// Names and URLs of what is wanted.
fn chosen<'a>(databases: &'a Databases, wanted: Wanted<'_>) -> Result<Vec<(&'a str, &'a str)>, Problem> {
    let form =
        || Problem::usage("--resource: write NAME=URL, with the id that its services give the resource as its name");
    let listed = databases.resource_list.as_deref().unwrap_or_default().split_ascii_whitespace();
    let given: Vec<_> = match databases.resources.as_slice() {
        [] => listed.collect(),
        given => given.iter().map(String::as_str).collect(),
    };
    let all: Vec<_> = given
        .into_iter()
        .map(|pair| {
            pair.split_once('=').filter(|(name, url)| !name.is_empty() && !name.contains(':') && !url.is_empty())
        })
        .collect::<Option<_>>()
        .ok_or_else(form)?;
    match wanted {
        Wanted::None => Ok(Vec::new()),
        Wanted::All if all.is_empty() => {
            Err(Problem::usage("name the databases to look into: --resource NAME=URL, or DTX_RESOURCES"))
        }
        Wanted::All => Ok(all),
        Wanted::One(one) => match all.into_iter().find(|(name, _)| *name == one) {
            Some(found) => Ok(vec![found]),
            None => Err(Problem::usage(format!("say where {one} is: --resource {one}=URL, or DTX_RESOURCES"))),
        },
    }
}

type Store = (Arc<dyn TcStore>, BoxFuture<'static, ()>);

async fn store(url: &str) -> Result<Store, Problem> {
    match Place::of("--store", url)? {
        #[cfg(feature = "postgres")]
        Place::Postgres(options) => existing::<sqlx::Postgres>(&options).await,
        #[cfg(feature = "mysql")]
        Place::MySql(options) => existing::<sqlx::MySql>(&options).await,
        #[cfg(feature = "sqlite")]
        Place::Sqlite(path) => existing::<sqlx::Sqlite>(&file(path)).await,
    }
}

async fn existing<D: Db>(options: &Options<D>) -> Result<Store, Problem> {
    let pool = connected::<D>("--store", options).await?;
    let end = end(&pool);
    let problem = match SqlStore::existing(pool).await {
        Ok(store) => return Ok((Arc::new(store), end)),
        Err(error) if error.class() == ErrorClass::Refused => format!(
            "--store: not a coordinator's database, or of another version: {}; check that it is the one of the services' \
             SqlStore, and that this program is of their version; nothing was made in it",
            chain(&error)
        ),
        Err(error) => format!("--store: {}", chain(&error)),
    };
    end.await;
    Err(Problem::usage(problem))
}

async fn resource(name: &str, url: &str, dtx: &Dtx) -> Result<BoxFuture<'static, ()>, Problem> {
    let option = format!("--resource {name}");
    match Place::of(&option, url)? {
        #[cfg(feature = "postgres")]
        Place::Postgres(options) => look_into::<sqlx::Postgres>(name, &options, dtx).await,
        #[cfg(feature = "mysql")]
        Place::MySql(_) => {
            Err(Problem::usage(format!("{option}: there are no undo records on MariaDB, only coordinators")))
        }
        #[cfg(feature = "sqlite")]
        Place::Sqlite(path) => look_into::<sqlx::Sqlite>(name, &file(path), dtx).await,
    }
}

async fn look_into<D: AtDb>(name: &str, options: &Options<D>, dtx: &Dtx) -> Result<BoxFuture<'static, ()>, Problem> {
    let option = format!("--resource {name}");
    let pool = connected::<D>(&option, options).await?;
    let end = end(&pool);
    let problem = match At::for_repair(name, pool, dtx).await {
        Ok(()) => return Ok(end),
        Err(DtxError::Backend(error)) if error.class() == ErrorClass::Refused => format!(
            "{option}: no database with undo records, or of another version: {}; check that it is the one of the services' At, \
             and that this program is of their version; nothing was made in it",
            chain(&error)
        ),
        Err(error) => format!("{option}: {}", chain(&error)),
    };
    end.await;
    Err(Problem::usage(problem))
}

fn end<D: Db>(pool: &Pool<D>) -> BoxFuture<'static, ()> {
    let pool = pool.clone();
    Box::pin(async move { pool.close().await })
}

type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

/// A pool on a database that answers. Asked by one connection first: a pool tries for as long as it may, and then says only
/// that its time is over.
async fn connected<D: Db>(option: &str, options: &Options<D>) -> Result<Pool<D>, Problem> {
    let problem = |what: String| Problem::usage(format!("{option}: the database cannot be reached: {what}"));
    let first = tokio::time::timeout(PATIENCE, options.connect()).await;
    let first = first.map_err(|_| problem(format!("no answer within {} s", PATIENCE.as_secs())))?;
    // Its end is no news of the database.
    let _ = first.map_err(|error| problem(chain(&error)))?.close().await;
    let pool = PoolOptions::<D>::new().max_connections(2).acquire_timeout(PATIENCE);
    Ok(pool.connect_lazy_with(options.clone()))
}

/// An existing file as it is: neither made nor switched to another journal, and what is decided in it survives a power
/// failure.
#[cfg(feature = "sqlite")]
fn file(path: std::path::PathBuf) -> sqlx::sqlite::SqliteConnectOptions {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(false);
    options.synchronous(sqlx::sqlite::SqliteSynchronous::Full).foreign_keys(true)
}
