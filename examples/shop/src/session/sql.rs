//! Sessions in a SQL database.

use async_trait::async_trait;
use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Db};
use onceward_cart_store::MemberId;

use super::{Found, LIFE_SECONDS, Member, SessionStore, Switch};
use crate::now;
use crate::tables::Tables;

#[async_trait]
impl<D: Db> SessionStore for Tables<D> {
    async fn find(&self, key: &str) -> Result<Found, BackendError> {
        // No user has the empty id.
        let find = self.sql(
            "select user_id, nickname from member_sessions where id = ? and created_at > ? \
             union all select '', ended_by from session_ends where id = ?",
        );
        let find = find.bind(key).bind(oldest()).bind(key);
        let found: Option<(String, String)> = find.fetch_optional(&mut self.conn().await?).await?;
        Ok(match found {
            None => Found::Nothing,
            Some((id, nickname)) => MemberId::new(id).map_or(Found::Ended, |id| Found::Live(Member { id, nickname })),
        })
    }

    async fn switch(&self, switch: &Switch<'_>) -> Result<bool, BackendError> {
        let new = switch.new.key();
        let mut tx = begin(self.pool()).await?;
        if let Some(member) = &switch.new.member {
            self.sql(
                "{insert_ignore} member_sessions (id, user_id, nickname, created_at) values (?, ?, ?, ?) {or_ignore}",
            )
            .bind(&new)
            .bind(member.id.as_str())
            .bind(&member.nickname)
            .bind(now())
            .execute(&mut tx)
            .await?;
        }
        let mut ours = false;
        if switch.old.verified {
            let old = switch.old.key();
            self.sql("delete from member_sessions where id = ?").bind(&old).execute(&mut tx).await?;
            let end = self.sql("{insert_ignore} session_ends (id, ended_by, ended_at) values (?, ?, ?) {or_ignore}");
            if end.bind(&old).bind(&new).bind(now()).insert_once(&mut tx).await? {
                ours = true;
                if let Some(merge) = switch.merge {
                    let note = self.sql("{insert_ignore} merges (guest, user_id) values (?, ?) {or_ignore}");
                    note.bind(merge.guest).bind(merge.user).execute(&mut tx).await?;
                }
            } else {
                let by = self.sql("select ended_by from session_ends where id = ?").bind(&old);
                ours = by.fetch_optional::<(String,)>(&mut tx).await? == Some((new,));
            }
        }
        commit(tx).await?;
        Ok(ours)
    }

    async fn merges(&self) -> Result<Vec<(String, String)>, BackendError> {
        self.sql("select guest, user_id from merges").fetch_all(&mut self.conn().await?).await
    }

    async fn merged(&self, guest: &str) -> Result<(), BackendError> {
        let forget = self.sql("delete from merges where guest = ?").bind(guest);
        forget.execute(&mut self.conn().await?).await.map(drop)
    }

    async fn purge(&self) -> Result<(), BackendError> {
        for delete in
            ["delete from member_sessions where created_at < ?", "delete from session_ends where ended_at < ?"]
        {
            self.sql(delete).bind(oldest()).execute(&mut self.conn().await?).await?;
        }
        Ok(())
    }

    async fn health(&self) -> Result<(), BackendError> {
        self.find("").await.map(drop)
    }
}

/// When the oldest session that is still good can have begun.
fn oldest() -> i64 {
    now() - LIFE_SECONDS * 1_000_000
}
