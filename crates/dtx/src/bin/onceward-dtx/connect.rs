//! Joins the coordinator's database, and the resources that a command looks into.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use onceward_backend::internal::cli::{self, Built, Options, Place, Problem, chain, connect};
use onceward_backend::{Db, ErrorClass};
use onceward_dtx::tc::store::TcStore;
use onceward_dtx::{At, AtDb, Dtx, DtxError, DtxOptions, SqlStore, Tc, TcOptions};
use sqlx::Pool;

use crate::args::Databases;

/// What this program was built for.
pub(crate) const BUILT: Built =
    Built { postgres: cfg!(feature = "postgres"), mysql: cfg!(feature = "mysql"), sqlite: cfg!(feature = "sqlite") };
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
    match BUILT.place("--store", url)? {
        #[cfg(feature = "postgres")]
        Place::Postgres(url) => existing::<sqlx::Postgres>(&cli::options::<sqlx::Postgres>("--store", &url)?).await,
        #[cfg(feature = "mysql")]
        Place::MySql(url) => existing::<sqlx::MySql>(&cli::options::<sqlx::MySql>("--store", &url)?).await,
        #[cfg(feature = "sqlite")]
        Place::Sqlite(path) => existing::<sqlx::Sqlite>(&cli::file(path)).await,
        #[allow(unreachable_patterns, reason = "with all databases nothing is left")]
        _ => Err(BUILT.unknown("--store")),
    }
}

async fn existing<D: Db>(options: &Options<D>) -> Result<Store, Problem> {
    let pool = connect::<D>("--store", options).await?;
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
    match BUILT.place(&option, url)? {
        #[cfg(feature = "postgres")]
        Place::Postgres(url) => {
            look_into::<sqlx::Postgres>(name, &cli::options::<sqlx::Postgres>(&option, &url)?, dtx).await
        }
        #[cfg(feature = "mysql")]
        Place::MySql(_) => {
            Err(Problem::usage(format!("{option}: there are no undo records on MariaDB, only coordinators")))
        }
        #[cfg(feature = "sqlite")]
        Place::Sqlite(path) => look_into::<sqlx::Sqlite>(name, &cli::file(path), dtx).await,
        #[allow(unreachable_patterns, reason = "with all databases nothing is left")]
        _ => Err(BUILT.unknown(&option)),
    }
}

async fn look_into<D: AtDb>(name: &str, options: &Options<D>, dtx: &Dtx) -> Result<BoxFuture<'static, ()>, Problem> {
    let option = format!("--resource {name}");
    let pool = connect::<D>(&option, options).await?;
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
