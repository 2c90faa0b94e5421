//! The literal mode in a table.

use std::time::Duration;

use super::{Db, Error, SqlStore, micros};
use crate::Consume;

impl<D: Db> SqlStore<D> {
    pub(super) async fn put_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        let mut conn = self.conn().await?;
        self.sql
            .sql("insert into idem_bare (name, held, keep_until) values (?, ?, {now} + ?) {upsert name: held, keep_until}")
            .bind(key)
            .bind(value)
            .bind(micros(ttl))
            .execute(&mut conn)
            .await?;
        Ok(())
    }

    pub(super) async fn take_bare(&self, key: &str, value: &str) -> Result<Consume, Error> {
        let mut conn = self.conn().await?;
        let deleted = self
            .sql
            .sql("delete from idem_bare where name = ? and held = ? and keep_until > {now}")
            .bind(key)
            .bind(value)
            .execute(&mut conn)
            .await?;
        if deleted == 1 {
            return Ok(Consume::Consumed);
        }
        // Only words the refusal; the deletion above has decided.
        let (held,) = self
            .sql
            .sql("select count(*) from idem_bare where name = ? and keep_until > {now}")
            .bind(key)
            .fetch_one::<(i64,)>(&mut conn)
            .await?;
        Ok(if held == 0 { Consume::Absent } else { Consume::Different })
    }
}
