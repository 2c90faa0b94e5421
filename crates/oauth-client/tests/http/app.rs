//! An application that logs users in at the fixture.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use onceward_backend::KeyRing;
use onceward_oauth_client::{
    BrowserBinder, Clock, Endpoints, Error, Finished, Login, OAuthClient, Options, Provider, Stores, store::MemoryStore,
};
use tokio_util::task::TaskTracker;

use crate::fixture::{CLIENT_ID, Fixture, SECRET};

pub struct App {
    pub oauth: OAuthClient,
    pub tasks: TaskTracker,
    pub browser: BrowserBinder,
    pub clock: Arc<Hands>,
    /// How often the application's own step ran.
    pub finished: Arc<AtomicUsize>,
    pub logins: Arc<Mutex<Vec<Login>>>,
}

/// A clock that moves by hand.
#[derive(Debug)]
pub struct Hands(Mutex<SystemTime>);

impl Hands {
    pub fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hands {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

pub fn keys() -> KeyRing {
    KeyRing::new(1, [9; 32])
}

pub const QQ_REDIRECT: &str = "http://127.0.0.1:9/auth/qq/callback";

pub fn qq(fixture: &Fixture) -> Provider {
    Provider::qq(CLIENT_ID, SECRET.into(), QQ_REDIRECT).with_origin(&*fixture.origin)
}

pub fn plain(fixture: &Fixture) -> Provider {
    let origin = &fixture.origin;
    let endpoints =
        Endpoints::new(format!("{origin}/authorize"), format!("{origin}/oauth2.0/token"), format!("{origin}/userinfo"));
    let redirect_uri = "http://127.0.0.1:9/auth/plain/callback";
    Provider::standard("plain", endpoints, CLIENT_ID, SECRET.into(), redirect_uri)
}

/// Times short enough to wait for, and long enough for a machine that is busy.
pub fn options() -> Options {
    Options::default()
        .with_token_timeout(Duration::from_secs(5))
        .with_lease(Duration::from_secs(1))
        .with_wait(Duration::from_secs(10))
}

impl App {
    pub fn new(fixture: &Fixture) -> Self {
        Self::with(fixture, options())
    }

    pub fn with(fixture: &Fixture, options: Options) -> Self {
        Self::on(Stores::new(MemoryStore::new()), options, [qq(fixture), plain(fixture)])
    }

    pub fn on(stores: Stores, options: Options, providers: impl IntoIterator<Item = Provider>) -> Self {
        let clock = Arc::new(Hands(Mutex::new(SystemTime::now())));
        let tasks = TaskTracker::new();
        let builder =
            OAuthClient::builder(keys(), stores, tasks.clone()).options(options).clock(Arc::<Hands>::clone(&clock));
        let oauth = providers.into_iter().fold(builder, |b, p| b.provider(p)).build().unwrap();
        Self {
            oauth,
            tasks,
            clock,
            browser: BrowserBinder::generate().unwrap(),
            finished: Arc::default(),
            logins: Arc::default(),
        }
    }

    pub async fn begin(&self, provider: &str) -> String {
        self.oauth.begin(provider, &self.browser, b"/cart").await.unwrap().url
    }

    pub async fn callback(&self, query: &str) -> Result<Finished, Error> {
        self.callback_as(Some(&self.browser), query).await
    }

    pub async fn callback_as(&self, browser: Option<&BrowserBinder>, query: &str) -> Result<Finished, Error> {
        self.callback_at("qq", browser, query).await
    }

    pub async fn callback_at(
        &self,
        provider: &str,
        browser: Option<&BrowserBinder>,
        query: &str,
    ) -> Result<Finished, Error> {
        let (finished, logins) = (Arc::clone(&self.finished), Arc::clone(&self.logins));
        let finish = move |login: Login| async move {
            // Each session is another one, as in a real application.
            let number = finished.fetch_add(1, SeqCst) + 1;
            let answer = format!("session {number} of {}", login.identity.account.subject);
            logins.lock().unwrap().push(login);
            Ok::<_, Error>(answer.into_bytes())
        };
        self.oauth.callback(provider, query, browser, finish).await
    }

    pub fn sessions(&self) -> usize {
        self.finished.load(SeqCst)
    }
}
