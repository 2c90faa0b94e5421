//! What operators hold back, and let go.

use onceward_backend::{
    BackendError, Conn, Db,
    internal::{begin, commit},
};

use super::SqlStore;
use crate::{Error, message::check_topic, store::PausedTopic};

impl<D: Db> SqlStore<D> {
    pub(super) async fn unblock(&self, key: &str) -> Result<u64, Error> {
        let mut tx = begin(&self.pool).await?;
        self.lock_lanes(&mut tx).await?;
        let release = self.sql.sql("update mq_delayed set blocks = 0 where msg_key = ? and blocks = 1");
        let released = release.bind(key).execute(&mut tx).await?;
        if released > 0 {
            let take_away = self.sql.sql(
                "update mq_shard set owner = '', epoch = epoch + 1, until_at = 0 \
                 where shard in (select shard from mq_delayed where msg_key = ?)",
            );
            take_away.bind(key).execute(&mut tx).await?;
        }
        commit(tx).await?;
        self.ring();
        Ok(released)
    }

    /// Keeps relays from writing down failures meanwhile. In the order of lanes, as a settle of several locks them.
    async fn lock_lanes(&self, conn: &mut impl Conn<D>) -> Result<(), BackendError> {
        let lanes = self.sql.sql("select shard from mq_shard order by shard {for_update}");
        lanes.fetch_all::<(i64,)>(conn).await.map(drop)
    }

    pub(super) async fn hold_back(&self, topic: &str) -> Result<bool, Error> {
        check_topic(topic)?;
        let pause = self.sql.sql("{insert_ignore} mq_paused (topic, at) values (?, {now}) {or_ignore}");
        let paused = pause.bind(topic).execute(&mut self.pool.acquire().await.map_err(BackendError::from)?).await?;
        Ok(paused == 1)
    }

    pub(super) async fn let_go(&self, topic: &str) -> Result<bool, Error> {
        let mut tx = begin(&self.pool).await?;
        self.lock_lanes(&mut tx).await?;
        let resumed = self.sql.sql("delete from mq_paused where topic = ?").bind(topic).execute(&mut tx).await?;
        if resumed > 0 {
            let take_away = self.sql.sql("update mq_shard set owner = '', epoch = epoch + 1, until_at = 0");
            take_away.execute(&mut tx).await?;
        }
        commit(tx).await?;
        self.ring();
        Ok(resumed > 0)
    }

    pub(super) async fn find_paused(&self) -> Result<Vec<PausedTopic>, Error> {
        let mut conn = self.pool.acquire().await.map_err(BackendError::from)?;
        let read = self.sql.sql("select topic, at from mq_paused order by topic");
        let rows: Vec<(String, i64)> = read.fetch_all(&mut conn).await?;
        Ok(rows.into_iter().map(|(topic, at)| PausedTopic { topic, at }).collect())
    }
}
