//! The server: its state, its routes.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

use crate::answer::Failure;
use crate::config::{Clock, millis};
use crate::fault::{self, Endpoint, Faults};
use crate::folder::{Clients, Folder, Registration};
use crate::grants::{Decision, Event, Grants};
use crate::key::{Key, hex};
use crate::stats::Counters;
use crate::{Client, Config, Error, Stats, User};
use crate::{api, authorize, avatar, folder, page, token};

/// An authorization and resource server. Clones are the same server.
///
/// ```
/// # fn main() -> Result<(), mini_qq::Error> {
/// use mini_qq::{Client, Config, Server};
/// let shop = Client::new("shop", "a random secret", ["http://127.0.0.1:8080/auth/qq/callback"]);
/// let server = Server::new(Config::default().with_client(shop))?;
/// let _router = server.router();
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) key: Key,
    pub(crate) users: Vec<User>,
    pub(crate) origin: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) code_ttl: Duration,
    pub(crate) token_ttl: Duration,
    pub(crate) refresh_ttl: Duration,
    pub(crate) page_ttl: Duration,
    pub(crate) faults: Faults,
    counters: Mutex<Counters>,
    state: Mutex<State>,
}

struct State {
    folder: Folder,
    clients: Clients,
    grants: Grants,
    changes: u32,
}

impl Server {
    /// A server with these settings and with what its data folder remembers.
    ///
    /// # Errors
    /// [`Error::Config`] for a client, user or origin that cannot be served; [`Error::InUse`], [`Error::Data`] and
    /// [`Error::Corrupt`] for the data folder; [`Error::Random`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let contents = folder::open(config.data_dir.as_deref(), config.clock.now())?;
        let state = State { folder: contents.folder, clients: contents.clients, grants: contents.grants, changes: 0 };
        let inner = Inner {
            key: contents.key,
            users: config.users,
            origin: config.origin,
            clock: config.clock,
            code_ttl: config.code_ttl,
            token_ttl: config.token_ttl,
            refresh_ttl: config.refresh_ttl,
            page_ttl: config.page_ttl,
            faults: Faults::default(),
            counters: Mutex::default(),
            state: Mutex::new(state),
        };
        let server = Self { inner: Arc::new(inner) };
        config.clients.into_iter().try_for_each(|client| server.register(client))?;
        Ok(server)
    }

    /// Adds a client, or replaces the one with its id. The data folder remembers it.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be served, [`Error::Data`] if it cannot be written; nothing is changed then.
    pub fn register(&self, client: Client) -> Result<(), Error> {
        client.check()?;
        let secret = self.inner.secret_mac(&client.id, &client.secret);
        let Client { id, redirect_uris, pkce, unionid, .. } = client;
        let mut state = self.inner.state();
        let mut clients = state.clients.clone();
        clients.insert(id, Registration { secret, redirect_uris, pkce, unionid });
        state.folder.write_identity(&self.inner.key, &clients)?;
        state.clients = clients;
        Ok(())
    }

    /// All its routes.
    pub fn router(&self) -> Router {
        let faulty = |endpoint| from_fn_with_state((self.clone(), endpoint), fault::apply);
        Router::new()
            .route("/", get(page::home))
            .route("/healthz", get(async || "ok"))
            .route("/mini-qq.css", get(page::stylesheet))
            .route("/avatar/{file}", get(avatar::avatar))
            .route("/oauth2.0/authorize", get(authorize::page).post(authorize::decide))
            .route("/oauth2.0/token", get(token::token).post(token::token).route_layer(faulty(Endpoint::Token)))
            .route("/oauth2.0/me", get(api::me).route_layer(faulty(Endpoint::Me)))
            .route("/user/get_user_info", get(api::user_info).route_layer(faulty(Endpoint::UserInfo)))
            .fallback(page::not_found)
            .layer(DefaultBodyLimit::max(16 * 1024))
            .with_state(self.clone())
    }

    /// Serves until `shutdown` is ready; requests that run then have five seconds to end.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move {
            shutdown.await;
            drop(stop);
        };
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown);
        let late = async {
            let _ = stopping.await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        };
        tokio::select! {
            served = served => served,
            () = late => Ok(()),
        }
    }

    /// Who `user` is to the client `client_id`; `None` if either is unknown.
    #[must_use]
    pub fn openid(&self, client_id: &str, user: &str) -> Option<String> {
        let known = self.inner.state().clients.contains_key(client_id) && self.inner.user(user).is_some();
        known.then(|| self.inner.key.openid(client_id, user))
    }

    /// What the server has seen since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.counters().stats.clone()
    }

    /// The switches that make it misbehave.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Ends every access token now; refresh tokens live on.
    pub fn expire_all_tokens(&self) {
        let _ = self.inner.decide(|_, now| Decision { events: vec![Event::Expired { at: now }], answer: Ok(()) });
    }

    /// Revokes every access and refresh token, as a person can at QQ.
    pub fn revoke_all_tokens(&self) {
        let _ = self.inner.decide(|grants, _| Decision { events: grants.revoke_all(), answer: Ok(()) });
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl Inner {
    /// Lets `rule` decide, records what it decided, and only then makes it so.
    pub(crate) fn decide<T>(&self, rule: impl FnOnce(&Grants, u64) -> Decision<T>) -> Result<T, Failure> {
        let mut state = self.state();
        let now = self.clock.now();
        let Decision { events, answer } = rule(&state.grants, now);
        if let Err(error) = state.folder.record(&events) {
            tracing::error!(%error, "the data folder cannot be written");
            return Err(Failure::Busy);
        }
        events.into_iter().for_each(|event| state.grants.apply(event));
        state.changes += 1;
        if state.changes.is_multiple_of(FORGET_EVERY) {
            state.grants.forget(now);
        }
        answer
    }

    /// Looks at the codes and tokens without changing them.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Grants, u64) -> T) -> T {
        let now = self.clock.now();
        at(&self.state().grants, now)
    }

    pub(crate) fn clients<T>(&self, look: impl FnOnce(&Clients) -> T) -> T {
        look(&self.state().clients)
    }

    /// Checks a client's secret, in constant time.
    pub(crate) fn authenticate(&self, id: &str, secret: &str) -> Result<(), Failure> {
        let shown = self.secret_mac(id, secret);
        let state = self.state();
        let registration = state.clients.get(id).ok_or(Failure::UnknownClient)?;
        let right: bool = shown.as_bytes().ct_eq(registration.secret.as_bytes()).into();
        if right { Ok(()) } else { Err(Failure::WrongSecret) }
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// When something that lives for `ttl` ends.
    pub(crate) fn end(&self, ttl: Duration) -> u64 {
        self.clock.now().saturating_add(millis(ttl))
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret_mac(&self, id: &str, secret: &str) -> String {
        hex(&self.key.mac("client secret", &[id, secret]))
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("users", &self.users).field("origin", &self.origin).finish_non_exhaustive()
    }
}

const FORGET_EVERY: u32 = 256;
