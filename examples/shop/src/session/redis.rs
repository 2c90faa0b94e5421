//! Sessions in Redis. All keys share one hash tag, so that one script ends a session and begins the next.
//!
//! | key | holds | lives |
//! |---|---|---|
//! | `session:{s}:live:ID` | id and nickname of the member, as JSON | as long as a session |
//! | `session:{s}:end:ID` | the session that ended this one | as long as a session |
//! | `session:{s}:merges` | guest carts that still have to reach a member, by guest | until they have |

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use onceward_backend::redis::cmd;
use onceward_backend::{BackendError, Redis, RedisScript};
use onceward_cart_store::MemberId;

use super::{Found, LIFE_SECONDS, Member, SessionStore, Switch};

/// Knows its caller by the new session, so it may be sent again.
static SWITCH: LazyLock<RedisScript> = LazyLock::new(|| RedisScript::repeatable(include_str!("redis/switch.lua")));

/// Sessions in Redis.
#[derive(Clone, Debug)]
pub struct RedisSessions(Redis);

impl RedisSessions {
    /// Sessions under the prefix of `redis`.
    pub const fn new(redis: Redis) -> Self {
        Self(redis)
    }

    fn live(&self, session: &str) -> String {
        self.0.key(&format!("session:{{s}}:live:{session}"))
    }

    fn end(&self, session: &str) -> String {
        self.0.key(&format!("session:{{s}}:end:{session}"))
    }

    fn merges_key(&self) -> String {
        self.0.key("session:{s}:merges")
    }
}

#[async_trait]
impl SessionStore for RedisSessions {
    async fn find(&self, key: &str) -> Result<Found, BackendError> {
        let mut get = cmd("MGET");
        get.arg(self.live(key)).arg(self.end(key));
        let (live, end): (Option<Vec<u8>>, Option<Vec<u8>>) = self.0.command(&get).await?;
        match (live, end) {
            (_, Some(_)) => Ok(Found::Ended),
            (None, None) => Ok(Found::Nothing),
            (Some(member), None) => {
                let (id, nickname): (String, String) = serde_json::from_slice(&member).map_err(unreadable)?;
                Ok(Found::Live(Member { id: MemberId::new(id).map_err(unreadable)?, nickname }))
            }
        }
    }

    async fn switch(&self, switch: &Switch<'_>) -> Result<bool, BackendError> {
        let (new, old) = (switch.new.key(), switch.old.key());
        let member =
            switch.new.member.as_ref().map(|member| serde_json::to_vec(&(member.id.as_str(), &member.nickname)));
        let member = member.transpose().map_err(unreadable)?.unwrap_or_default();
        let (guest, user) = switch.merge.map_or(("", ""), |merge| (merge.guest, merge.user));
        let ends = if switch.old.verified { "1" } else { "" };
        let keys = [self.live(&new), self.live(&old), self.end(&old), self.merges_key()];
        let life = LIFE_SECONDS.to_string();
        let args = [new.as_str(), ends, &life, guest, user].map(str::as_bytes);
        self.0.run(&SWITCH, &keys, &[&args[..], &[&member]].concat()).await
    }

    async fn merges(&self) -> Result<Vec<(String, String)>, BackendError> {
        let mut all = cmd("HGETALL");
        all.arg(self.merges_key());
        let merges: HashMap<String, String> = self.0.command(&all).await?;
        Ok(merges.into_iter().collect())
    }

    async fn merged(&self, guest: &str) -> Result<(), BackendError> {
        let mut forget = cmd("HDEL");
        forget.arg(self.merges_key()).arg(guest);
        self.0.command(&forget).await
    }

    async fn purge(&self) -> Result<(), BackendError> {
        // Redis removes what has had its time.
        Ok(())
    }

    async fn health(&self) -> Result<(), BackendError> {
        self.find("").await.map(drop)
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> BackendError {
    BackendError::corrupt("redis", error)
}
