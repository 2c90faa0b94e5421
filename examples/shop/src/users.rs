//! Who is who: what the providers said of those who signed in.

use std::fmt::Debug;

use async_trait::async_trait;
use onceward_backend::{BackendError, Db, Migrations};

use crate::now;
use crate::tables::Tables;

/// Tables of the users.
pub const TABLES: Migrations = Migrations::new("shop-users", &[(1, include_str!("../sql/users.sql"))]);

/// One user, as the provider describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Which provider.
    pub provider: String,
    /// Its name for the user.
    pub subject: String,
    /// What to call them.
    pub nickname: String,
    /// The address of a picture; may be empty.
    pub avatar: String,
}

/// Where users are kept.
#[async_trait]
pub trait Users: Debug + Send + Sync + 'static {
    /// Writes down what the provider says of a user now.
    async fn remember(&self, id: &str, user: &User) -> Result<(), BackendError>;

    /// A user by id.
    async fn find(&self, id: &str) -> Result<Option<User>, BackendError>;

    /// The ids of all users.
    async fn ids(&self) -> Result<Vec<String>, BackendError>;

    /// Fails if the users cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

#[async_trait]
impl<D: Db> Users for Tables<D> {
    async fn remember(&self, id: &str, user: &User) -> Result<(), BackendError> {
        self.sql(
            "insert into users (id, provider, subject, nickname, avatar, created_at) values (?, ?, ?, ?, ?, ?) \
             {upsert id: nickname, avatar}",
        )
        .bind(id)
        .bind(&user.provider)
        .bind(&user.subject)
        .bind(&user.nickname)
        .bind(&user.avatar)
        .bind(now())
        .execute(&mut self.conn().await?)
        .await?;
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<Option<User>, BackendError> {
        let find = self.sql("select provider, subject, nickname, avatar from users where id = ?").bind(id);
        let found: Option<(String, String, String, String)> = find.fetch_optional(&mut self.conn().await?).await?;
        Ok(found.map(|(provider, subject, nickname, avatar)| User { provider, subject, nickname, avatar }))
    }

    async fn ids(&self) -> Result<Vec<String>, BackendError> {
        let ids: Vec<(String,)> = self.sql("select id from users").fetch_all(&mut self.conn().await?).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn health(&self) -> Result<(), BackendError> {
        let look = self.sql("select id from users limit 1");
        look.fetch_optional::<(String,)>(&mut self.conn().await?).await.map(drop)
    }
}
