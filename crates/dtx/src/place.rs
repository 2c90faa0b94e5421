//! Small facts about databases that several parts need.

use std::time::Duration;

use onceward_backend::internal::Sql;
use onceward_backend::{BackendError, Conn, Db, Dialect};

/// The file behind a connection, where the database is a file; none for servers and for databases in memory.
pub(crate) async fn file<D: Db>(conn: &mut impl Conn<D>) -> Result<Option<String>, BackendError> {
    if D::DIALECT != Dialect::Sqlite {
        return Ok(None);
    }
    let sql = Sql::<D>::new();
    let row: Option<(Option<String>,)> =
        sql.sql("select file from pragma_database_list where name = 'main'").fetch_optional(conn).await?;
    // SQLite has resolved links and relative parts already.
    Ok(row.and_then(|(file,)| file).filter(|file| !file.is_empty()))
}

/// A difference of two database times; clocks that went back count as zero.
pub(crate) fn age(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
