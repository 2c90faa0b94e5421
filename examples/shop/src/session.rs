//! Who is asking: a guest or a member, by one signed cookie.
//!
//! A guest's session is its guest id and costs the server nothing until it ends; a member's is a row. Login and logout end
//! the session they find, so that its cookie no longer verifies, wherever a copy of it lies.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::{BackendError, KeyRing, Migrations};
use onceward_cart_store::{GuestId, MemberId, Owner};
use onceward_oauth_client::BrowserBinder;
use subtle::ConstantTimeEq;

use crate::{Database, now};

/// Tables of users and sessions.
pub const TABLES: Migrations = Migrations::new("shop-web", &[(1, include_str!("../sql/web.sql"))]);

const CONTEXT: &str = "shop-session";
/// A cookie is good for that long, a member's session too.
pub const LIFE_SECONDS: i64 = 30 * 24 * 3600;
const RENEW_SECONDS: i64 = 24 * 3600;

/// Someone who has signed in.
#[derive(Clone, Debug)]
pub struct Member {
    /// `provider:subject`.
    pub id: MemberId,
    /// What to call them.
    pub nickname: String,
}

/// One visitor's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// A guest's is its guest id.
    id: [u8; 16],
    /// Who signed in, if anybody.
    pub member: Option<Member>,
    /// False for a guest that was made for this request.
    pub verified: bool,
    /// The cookie should be sent again: it is new, or more than a day old.
    pub renew: bool,
}

impl Session {
    /// A new guest.
    pub fn guest() -> Self {
        Self { id: *GuestId::random().as_bytes(), member: None, verified: false, renew: true }
    }

    /// Somebody whose session cannot be looked up: treated as a guest, but the cookie stays what it is.
    pub fn unreadable() -> Self {
        Self { renew: false, ..Self::guest() }
    }

    /// A session that is about to begin for a member.
    pub fn begin(member: Member) -> Self {
        Self { member: Some(member), ..Self::guest() }
    }

    /// Whose cart this session sees.
    pub fn owner(&self) -> Owner {
        match &self.member {
            Some(member) => Owner::Member(member.id.clone()),
            None => Owner::Guest(self.guest_id()),
        }
    }

    /// The guest id that a guest's session is.
    pub fn guest_id(&self) -> GuestId {
        GuestId::from_bytes(self.id)
    }

    /// The name of its row.
    pub fn key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id)
    }

    /// The cookie's value: kind, time of issue and id, signed.
    pub fn cookie(&self, keys: &KeyRing) -> String {
        let mut payload = vec![u8::from(self.member.is_some())];
        payload.extend_from_slice(&(now() / 1_000_000).to_be_bytes());
        payload.extend_from_slice(&self.id);
        URL_SAFE_NO_PAD.encode(keys.sign(CONTEXT, &payload))
    }

    /// The value of the hidden form field, the same for the life of the session.
    pub fn csrf(&self, keys: &KeyRing) -> String {
        let derived = keys.derive(keys.current(), &format!("shop-csrf {}", self.key()));
        derived.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(&key[..]))
    }

    /// What pending logins of this session's browser are bound to where it has no cookie for that yet: derived, so that two
    /// logins that begin at once are bound to the same. `None` for a session that the browser does not have either.
    pub fn binder(&self, keys: &KeyRing) -> Option<BrowserBinder> {
        let derived = keys.derive(keys.current(), &format!("shop-browser {}", self.key()))?;
        let hex: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
        self.verified.then(|| BrowserBinder::parse(&hex)).flatten()
    }

    /// True if `given` is this session's csrf value; compared in constant time.
    pub fn csrf_matches(&self, keys: &KeyRing, given: &str) -> bool {
        let own = self.csrf(keys);
        self.verified && !own.is_empty() && bool::from(own.as_bytes().ct_eq(given.as_bytes()))
    }
}

/// Where users and sessions live.
#[derive(Clone, Debug)]
pub struct Sessions {
    pool: sqlx::Pool<Database>,
    keys: KeyRing,
    cookie: &'static str,
    secure: bool,
}

impl Sessions {
    /// Sessions in `pool`; `secure` where the shop's public URL is https.
    pub fn new(pool: sqlx::Pool<Database>, keys: KeyRing, secure: bool) -> Self {
        Self { pool, keys, cookie: if secure { "__Host-shop_session" } else { "shop_session" }, secure }
    }

    /// The session that the request's cookie names, or a new guest.
    ///
    /// # Errors
    /// If the store cannot be asked: then nobody is turned into a guest.
    pub async fn find(&self, headers: &HeaderMap) -> Result<Session, BackendError> {
        // All of that name: a cookie that somebody else left behind must not hide ours.
        let Some((member, age, id)) = cookies(headers, self.cookie).find_map(|value| self.open(value)) else {
            return Ok(Session::guest());
        };
        let session = Session { id, member: None, verified: true, renew: age > RENEW_SECONDS };
        let key = session.key();
        if !member {
            let ended: Option<i64> = sqlx::query_scalar("select ended_at from ended_sessions where id = ?")
                .bind(&key)
                .fetch_optional(&self.pool)
                .await?;
            return Ok(if ended.is_some() { Session::guest() } else { session });
        }
        let row: Option<(String, String, i64)> = sqlx::query_as(
            "select u.id, u.nickname, s.created_at from sessions s join users u on u.id = s.user_id where s.id = ?",
        )
        .bind(&key)
        .fetch_optional(&self.pool)
        .await?;
        let live = row.filter(|(_, _, created)| now() - created < LIFE_SECONDS * 1_000_000);
        Ok(match live.and_then(|(id, nickname, _)| Some(Member { id: MemberId::new(id).ok()?, nickname })) {
            Some(member) => Session { member: Some(member), ..session },
            None => Session::guest(),
        })
    }

    fn open(&self, value: &str) -> Option<(bool, i64, [u8; 16])> {
        let payload = self.keys.verify(CONTEXT, &URL_SAFE_NO_PAD.decode(value).ok()?)?;
        let (kind, rest) = payload.split_first()?;
        let (issued, id) = rest.split_first_chunk::<8>()?;
        let age = now() / 1_000_000 - i64::from_be_bytes(*issued);
        // A clock that was set back makes ages negative; a cookie from the future is still ours.
        (age < LIFE_SECONDS).then_some((*kind == 1, age, id.try_into().ok()?))
    }

    /// Begins `new` and ends `old` in the caller's transaction. Answers whether it was this call that ended a guest's.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn switch(
        &self,
        tx: &mut sqlx::Transaction<'_, Database>,
        old: &Session,
        new: &Session,
    ) -> Result<bool, BackendError> {
        if let Some(member) = &new.member {
            sqlx::query("insert into sessions (id, user_id, created_at) values (?, ?, ?)")
                .bind(new.key())
                .bind(member.id.as_str())
                .bind(now())
                .execute(&mut **tx)
                .await?;
        }
        if old.member.is_some() {
            sqlx::query("delete from sessions where id = ?").bind(old.key()).execute(&mut **tx).await?;
            return Ok(false);
        }
        if !old.verified {
            return Ok(false);
        }
        let ended = sqlx::query("insert into ended_sessions (id, ended_at) values (?, ?) on conflict do nothing")
            .bind(old.key())
            .bind(now())
            .execute(&mut **tx)
            .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Removes what no cookie can name any more.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn purge(&self) -> Result<(), BackendError> {
        let before = now() - LIFE_SECONDS * 1_000_000;
        for statement in ["delete from sessions where created_at < ?", "delete from ended_sessions where ended_at < ?"]
        {
            sqlx::query(statement).bind(before).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// The `Set-Cookie` value of a session.
    pub fn set_cookie(&self, value: &str) -> String {
        set_cookie(self.cookie, value, LIFE_SECONDS, self.secure)
    }

    /// True if a `Set-Cookie` value is of the session.
    pub fn is_session_cookie(&self, set_cookie: &str) -> bool {
        set_cookie.split('=').next() == Some(self.cookie)
    }

    /// The ring that signs the cookies.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// True where the public URL is https.
    pub fn secure(&self) -> bool {
        self.secure
    }
}

/// The cookies of that name, in the order in which they were sent. Bytes of other cookies that are not text do no harm.
pub fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    let pairs = headers
        .get_all(axum::http::header::COOKIE)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(move |pair| {
        let (held, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
        (held == name).then_some(value)
    })
}

/// A `Set-Cookie` value; a life of 0 removes the cookie.
pub fn set_cookie(name: &str, value: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cookie_ends_with_its_session() {
        let pool = onceward_backend::sqlite::memory().await.unwrap();
        TABLES.run(&pool).await.unwrap();
        let sessions = Sessions::new(pool, KeyRing::new(1, [1; 32]), false);
        let guest = Session::guest();
        let mut headers = HeaderMap::new();
        let value = format!("other=1; shop_session={}", guest.cookie(sessions.keys()));
        headers.insert("cookie", value.parse().unwrap());

        let found = sessions.find(&headers).await.unwrap();
        assert!(found.verified && found.id == guest.id);
        assert!(found.csrf_matches(sessions.keys(), &guest.csrf(sessions.keys())));
        assert!(!Session::guest().csrf_matches(sessions.keys(), &Session::guest().csrf(sessions.keys())));

        let mut tx = sessions.pool.begin().await.unwrap();
        assert!(sessions.switch(&mut tx, &found, &Session::guest()).await.unwrap());
        assert!(!sessions.switch(&mut tx, &found, &Session::guest()).await.unwrap(), "a session ends once");
        tx.commit().await.unwrap();
        let after = sessions.find(&headers).await.unwrap();
        assert!(!after.verified && after.id != guest.id, "an ended session's cookie makes a new guest");
    }

    #[tokio::test]
    async fn other_cookies_do_not_hide_ours() {
        let pool = onceward_backend::sqlite::memory().await.unwrap();
        TABLES.run(&pool).await.unwrap();
        let sessions = Sessions::new(pool, KeyRing::new(1, [1; 32]), false);
        let ours = format!("shop_session={}", Session::guest().cookie(sessions.keys()));
        for around in [format!("n=\u{fc}; {ours}"), format!("shop_session=bad; {ours}"), format!("{ours}; \u{ff}")] {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", axum::http::HeaderValue::from_bytes(around.as_bytes()).unwrap());
            assert!(sessions.find(&headers).await.unwrap().verified, "{around}");
        }
        let mut headers = HeaderMap::new();
        let latin1 = [b"n=\xfc; ".as_slice(), ours.as_bytes()].concat();
        headers.insert("cookie", axum::http::HeaderValue::from_bytes(&latin1).unwrap());
        assert!(sessions.find(&headers).await.unwrap().verified);
    }

    #[tokio::test]
    async fn a_guest_cannot_name_itself_a_member() {
        let pool = onceward_backend::sqlite::memory().await.unwrap();
        TABLES.run(&pool).await.unwrap();
        let sessions = Sessions::new(pool, KeyRing::new(1, [1; 32]), false);
        let guest = Session::guest();
        let mut forged = URL_SAFE_NO_PAD.decode(guest.cookie(sessions.keys())).unwrap();
        forged[1] = 1;
        for value in [URL_SAFE_NO_PAD.encode(&forged), "x".into(), String::new(), "a".repeat(5_000)] {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", format!("shop_session={value}").parse().unwrap());
            assert!(!sessions.find(&headers).await.unwrap().verified);
        }
    }
}
