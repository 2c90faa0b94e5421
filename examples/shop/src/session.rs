//! Who is asking: a guest or a member, by one signed cookie.
//!
//! A guest's session is its guest id and costs the server nothing until it ends; a member's is kept. Login and logout end
//! the session they find, so that its cookie no longer verifies, wherever a copy of it lies.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::{BackendError, KeyRing, Migrations};
use onceward_cart_store::{GuestId, MemberId, Owner};
use onceward_oauth_client::BrowserBinder;
use subtle::ConstantTimeEq;

use crate::now;

mod redis;
mod sql;
#[cfg(test)]
mod tests;

pub use redis::RedisSessions;

/// Tables of the sessions, where they are in a SQL database.
pub const TABLES: Migrations = Migrations::new("shop-sessions", &[(1, include_str!("../sql/sessions.sql"))]);

const CONTEXT: &str = "shop-session";
/// A cookie is good for that long, a member's session too.
pub const LIFE_SECONDS: i64 = 30 * 24 * 3600;
const RENEW_SECONDS: i64 = 24 * 3600;

/// Someone who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The member's session that the cookie names, of which the store knows neither a beginning nor an end.
    lost: Option<[u8; 16]>,
}

impl Session {
    /// A new guest.
    pub fn guest() -> Self {
        Self { id: *GuestId::random().as_bytes(), member: None, verified: false, renew: true, lost: None }
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

    /// Its name in the store.
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
        csrf(keys, &self.id)
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
        self.verified && csrf_is(keys, &self.id, given)
    }

    /// True if `given` is the csrf value of a member's session that the store has lost: whoever sends it signs in again.
    pub fn is_lost(&self, keys: &KeyRing, given: &str) -> bool {
        self.lost.is_some_and(|id| csrf_is(keys, &id, given))
    }
}

fn csrf(keys: &KeyRing, session: &[u8; 16]) -> String {
    let derived = keys.derive(keys.current(), &format!("shop-csrf {}", URL_SAFE_NO_PAD.encode(session)));
    derived.map_or_else(String::new, |key| URL_SAFE_NO_PAD.encode(&key[..]))
}

fn csrf_is(keys: &KeyRing, session: &[u8; 16], given: &str) -> bool {
    let own = csrf(keys, session);
    !own.is_empty() && bool::from(own.as_bytes().ct_eq(given.as_bytes()))
}

/// What a store says of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A member's, which has begun and not ended.
    Live(Member),
    /// It has ended.
    Ended,
    /// Nothing: a guest's, or a member's that the store has lost.
    Nothing,
}

/// From one session to the next.
#[derive(Clone, Copy, Debug)]
pub struct Switch<'a> {
    /// Ends, if the browser has it.
    pub old: &'a Session,
    /// Begins.
    pub new: &'a Session,
    /// Which cart has to reach whom, if it is this call that ends the old session.
    pub merge: Option<Merge<'a>>,
}

/// A guest's cart that has to reach a member.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    /// The signed guest id.
    pub guest: &'a str,
    /// The member's id.
    pub user: &'a str,
}

/// Where sessions are kept. Every method is atomic and may be repeated.
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// What is known of a session.
    async fn find(&self, key: &str) -> Result<Found, BackendError>;

    /// Begins the new session and ends the old one. Answers whether it is this switch that ended it: of several that end
    /// one session, one; and its repeats.
    async fn switch(&self, switch: &Switch<'_>) -> Result<bool, BackendError>;

    /// Signed guest and member of the carts that still have to be merged.
    async fn merges(&self) -> Result<Vec<(String, String)>, BackendError>;

    /// Notes that a guest's cart has reached its member.
    async fn merged(&self, guest: &str) -> Result<(), BackendError>;

    /// Removes what no cookie can name any more.
    async fn purge(&self) -> Result<(), BackendError>;

    /// Fails if sessions cannot be read now.
    async fn health(&self) -> Result<(), BackendError>;
}

/// Sessions by the cookies that name them.
#[derive(Clone, Debug)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    keys: KeyRing,
    cookie: &'static str,
    secure: bool,
}

impl Sessions {
    /// Sessions in `store`; `secure` where the shop's public URL is https.
    pub fn new(store: Arc<dyn SessionStore>, keys: KeyRing, secure: bool) -> Self {
        Self { store, keys, cookie: if secure { "__Host-shop_session" } else { "shop_session" }, secure }
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
        let session = Session { id, member: None, verified: true, renew: age > RENEW_SECONDS, lost: None };
        Ok(match (member, self.store.find(&session.key()).await?) {
            (_, Found::Ended) => Session::guest(),
            (false, _) => session,
            (true, Found::Live(member)) => Session { member: Some(member), ..session },
            (true, Found::Nothing) => Session { lost: Some(id), ..Session::guest() },
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
