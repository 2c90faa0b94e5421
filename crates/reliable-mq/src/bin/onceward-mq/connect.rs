//! Joins the database of the outbox.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use onceward_backend::internal::cli::{self, Built, Options, Place, Problem, chain};
use onceward_backend::{Db, ErrorClass};
use onceward_reliable_mq::{Error, SqlStore, Store};

/// What this program was built for.
pub(crate) const BUILT: Built =
    Built { postgres: cfg!(feature = "postgres"), mysql: cfg!(feature = "mysql"), sqlite: cfg!(feature = "sqlite") };
const OPTION: &str = "--store";

/// The outbox that a command works on.
pub(crate) struct Joined {
    pub(crate) store: Arc<dyn Store>,
    end: BoxFuture<'static, ()>,
}

impl Joined {
    /// Takes leave of the database: a server notes it if somebody just goes, and SQLite leaves files beside its own.
    pub(crate) async fn close(self) {
        self.end.await;
    }
}

pub(crate) async fn join(url: Option<&str>) -> Result<Joined, Problem> {
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        return Err(Problem::usage("name the database of the outbox: --store URL, or MQ_STORE_URL"));
    };
    match BUILT.place(OPTION, url)? {
        #[cfg(feature = "postgres")]
        Place::Postgres(url) => existing::<sqlx::Postgres>(&cli::options::<sqlx::Postgres>(OPTION, &url)?).await,
        #[cfg(feature = "mysql")]
        Place::MySql(url) => existing::<sqlx::MySql>(&cli::options::<sqlx::MySql>(OPTION, &url)?).await,
        #[cfg(feature = "sqlite")]
        Place::Sqlite(path) => existing::<sqlx::Sqlite>(&cli::file(path)).await,
        #[allow(unreachable_patterns, reason = "with all databases nothing is left")]
        _ => Err(BUILT.unknown(OPTION)),
    }
}

async fn existing<D: Db>(options: &Options<D>) -> Result<Joined, Problem> {
    let pool = cli::connect::<D>(OPTION, options).await?;
    let end = Box::pin({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    let problem = match SqlStore::existing(pool).await {
        Ok(store) => return Ok(Joined { store: Arc::new(store), end }),
        Err(Error::Backend(error)) if error.class() == ErrorClass::Refused => format!(
            "{OPTION}: no database with an outbox, or of another version: {}; check that it is the one of the services' \
             Outbox, and that this program is of their version; nothing was made in it",
            chain(&error)
        ),
        Err(error) => format!("{OPTION}: {}", chain(&error)),
    };
    end.await;
    Err(Problem::usage(problem))
}
