//! Who lives, and who publishes which lane.

use std::time::Duration;

use onceward_backend::{
    BackendError, Db,
    internal::{begin, commit},
};

use super::SqlStore;
use crate::{
    Error, ident,
    store::{Lease, RelayInfo, row::count},
};

impl<D: Db> SqlStore<D> {
    pub(super) async fn take_lane(&self, lane: u32, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let lane_id = i64::from(lane);
        // Looked up first: a lane that somebody else has must cost those who ask for it no write lock.
        let free = self
            .sql
            .sql("select epoch from mq_shard where shard = ? and (until_at <= {now} or owner = ?)")
            .bind(lane_id)
            .bind(owner)
            .fetch_optional::<(i64,)>(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        if free.is_none() {
            return Ok(None);
        }
        let mut tx = begin(&self.pool).await?;
        let taken = self
            .sql
            .sql(
                "update mq_shard set owner = ?, epoch = epoch + 1, until_at = {now} + ? \
                 where shard = ? and (until_at <= {now} or owner = ?)",
            )
            .bind(owner)
            .bind(ident::micros(ttl))
            .bind(lane_id)
            .bind(owner)
            .execute(&mut tx)
            .await?;
        if taken == 0 {
            return Ok(None);
        }
        let (epoch,) =
            self.sql.sql("select epoch from mq_shard where shard = ?").bind(lane_id).fetch_one(&mut tx).await?;
        commit(tx).await?;
        Ok(Some(Lease { lane, owner: owner.to_owned(), epoch }))
    }

    pub(super) async fn keep_lane(&self, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        let renewed = self
            .sql
            .sql("update mq_shard set until_at = {now} + ? where shard = ? and owner = ? and epoch = ?")
            .bind(ident::micros(ttl))
            .bind(i64::from(lease.lane))
            .bind(&lease.owner)
            .bind(lease.epoch)
            .execute(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        Ok(renewed == 1)
    }

    pub(super) async fn give_lane(&self, lease: &Lease) -> Result<(), Error> {
        self.sql
            .sql("update mq_shard set owner = '', until_at = 0 where shard = ? and owner = ? and epoch = ?")
            .bind(i64::from(lease.lane))
            .bind(&lease.owner)
            .bind(lease.epoch)
            .execute(&mut self.pool.acquire().await.map_err(BackendError::from)?)
            .await?;
        Ok(())
    }

    pub(super) async fn say_alive(&self, owner: &str, ttl: Duration) -> Result<(), Error> {
        let again = self.sql.sql("update mq_relay set until_at = {now} + ? where owner = ?");
        let again = again.bind(ident::micros(ttl)).bind(owner);
        if again.execute(&mut self.pool.acquire().await.map_err(BackendError::from)?).await? > 0 {
            return Ok(());
        }
        // For the first time. Who comes clears away those that went without a word.
        let mut tx = begin(&self.pool).await?;
        self.sql.sql("delete from mq_relay where until_at <= {now}").execute(&mut tx).await?;
        let first = self.sql.sql("{insert_ignore} mq_relay (owner, until_at) values (?, {now} + ?) {or_ignore}");
        first.bind(owner).bind(ident::micros(ttl)).execute(&mut tx).await?;
        Ok(commit(tx).await?)
    }

    pub(super) async fn say_goodbye(&self, owner: &str) -> Result<(), Error> {
        let gone = self.sql.sql("delete from mq_relay where owner = ?").bind(owner);
        gone.execute(&mut self.pool.acquire().await.map_err(BackendError::from)?).await?;
        Ok(())
    }

    pub(super) async fn find_relays(&self) -> Result<Vec<RelayInfo>, Error> {
        let find = self.sql.sql(
            "select owner, -1, until_at - {now} from mq_relay where until_at > {now} \
             union all select owner, shard, until_at - {now} from mq_shard where until_at > {now}",
        );
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let rows: Vec<(String, i64, i64)> = find.fetch_all(&mut conn).await?;
        let signs = rows.into_iter().map(|(owner, lane, left)| {
            // A clock may have moved on within the statement.
            (owner, u32::try_from(lane).ok(), Duration::from_micros(count(left)))
        });
        Ok(RelayInfo::gather(signs))
    }
}
