//! A provider on loopback that speaks as QQ does, and as RFC 6749 does, and counts what it is asked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    Form, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::Semaphore};

pub const CLIENT_ID: &str = "shop-app";
pub const SECRET: &str = "shop-secret-key";

type Parameters = HashMap<String, String>;

/// What a user approved.
struct Grant {
    user: String,
    redirect_uri: String,
    challenge: Option<String>,
    used: bool,
}

/// An answer that stands in for the provider's own.
pub type Canned = (u16, &'static str);

pub struct Fixture {
    pub origin: String,
    pub token_calls: AtomicUsize,
    pub api_calls: AtomicUsize,
    pub elsewhere_calls: AtomicUsize,
    /// Every token request: method and parameters.
    pub token_requests: Mutex<Vec<(String, Parameters)>>,
    pub token: Mutex<Option<Canned>>,
    pub me: Mutex<Option<Canned>>,
    pub info: Mutex<Option<Canned>>,
    pub expires_in: AtomicUsize,
    /// While it is closed, token requests wait after they were counted.
    pub gate: Semaphore,
    pub oversize: Mutex<bool>,
    grants: Mutex<HashMap<String, Grant>>,
    next: AtomicUsize,
}

/// So many token requests pass an open gate.
const OPEN: usize = 1_000_000;

impl Fixture {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fixture = Arc::new(Self {
            origin: format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()),
            token_calls: AtomicUsize::new(0),
            api_calls: AtomicUsize::new(0),
            elsewhere_calls: AtomicUsize::new(0),
            token_requests: Mutex::default(),
            token: Mutex::default(),
            me: Mutex::default(),
            info: Mutex::default(),
            expires_in: AtomicUsize::new(7_776_000),
            gate: Semaphore::new(OPEN),
            oversize: Mutex::default(),
            grants: Mutex::default(),
            next: AtomicUsize::new(1),
        });
        let app = Router::new()
            .route("/oauth2.0/token", get(qq_token).post(plain_token))
            .route("/oauth2.0/me", get(qq_me))
            .route("/user/get_user_info", get(qq_info))
            .route("/userinfo", get(plain_info))
            .route("/elsewhere", get(elsewhere).post(elsewhere))
            .with_state(Arc::clone(&fixture));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fixture
    }

    /// The user approves the authorize URL; answers the query of the callback.
    pub fn approve(&self, url: &str, user: &str) -> String {
        let asked = query(url);
        assert_eq!(asked["client_id"], CLIENT_ID);
        assert_eq!(asked["response_type"], "code");
        let code = format!("CODE-{}-{user}", self.next.fetch_add(1, SeqCst));
        let challenge = asked.get("code_challenge").cloned();
        assert!(challenge.is_none() || asked["code_challenge_method"] == "S256");
        let redirect_uri = asked["redirect_uri"].clone();
        let grant = Grant { user: user.to_owned(), redirect_uri, challenge, used: false };
        self.grants.lock().unwrap().insert(code.clone(), grant);
        format!("code={code}&state={}", asked["state"])
    }

    pub fn tokens(&self) -> usize {
        self.token_calls.load(SeqCst)
    }

    /// Token requests wait from now on.
    pub async fn close(&self) {
        self.gate.acquire_many(u32::try_from(OPEN).unwrap()).await.unwrap().forget();
    }

    pub fn open(&self) {
        self.gate.add_permits(OPEN);
    }

    /// Comes back when so many token requests have arrived.
    pub async fn arrived(&self, count: usize) {
        until(|| self.tokens() >= count).await;
    }

    fn count_token(&self, method: &str, parameters: &Parameters) {
        self.token_requests.lock().unwrap().push((method.to_owned(), parameters.clone()));
        self.token_calls.fetch_add(1, SeqCst);
    }

    /// Spends the code; an error is QQ's number.
    fn redeem(&self, asked: &Parameters) -> Result<String, u32> {
        if asked["client_id"] != CLIENT_ID {
            return Err(100_008);
        }
        if asked["client_secret"] != SECRET {
            return Err(100_009);
        }
        assert_eq!(asked["grant_type"], "authorization_code");
        let mut grants = self.grants.lock().unwrap();
        let grant = grants.get_mut(&asked["code"]).ok_or(100_019_u32)?;
        if std::mem::replace(&mut grant.used, true) {
            return Err(100_020);
        }
        if grant.redirect_uri != asked["redirect_uri"] {
            return Err(100_010);
        }
        let sent = asked.get("code_verifier").map(|v| URL_SAFE_NO_PAD.encode(Sha256::digest(v)));
        if grant.challenge != sent {
            return Err(100_019);
        }
        Ok(grant.user.clone())
    }
}

/// Comes back when it is so; a condition that never comes ends the test.
pub async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("it never came");
}

/// The parameters of a URL.
pub fn query(url: &str) -> Parameters {
    let url = oauth2::url::Url::parse(url).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

type Shared = State<Arc<Fixture>>;

/// QQ says text/html whatever it sends.
fn html(body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, "text/html")], body).into_response()
}

fn canned((status, body): Canned) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    if status.is_redirection() {
        return (status, [(header::LOCATION, body)]).into_response();
    }
    (status, html(body)).into_response()
}

async fn qq_token(State(fixture): Shared, Query(asked): Query<Parameters>) -> Response {
    fixture.count_token("GET", &asked);
    let _open = fixture.gate.acquire().await.unwrap();
    if let Some(answer) = *fixture.token.lock().unwrap() {
        return canned(answer);
    }
    if *fixture.oversize.lock().unwrap() {
        return html(Bytes::from(vec![b'a'; 1_000_000]));
    }
    match fixture.redeem(&asked) {
        Ok(user) => html(format!(
            "access_token=TOKEN-{user}&expires_in={}&refresh_token=REFRESH-{user}",
            fixture.expires_in.load(SeqCst)
        )),
        Err(error) => html(format!("callback( {{\"error\":{error},\"error_description\":\"no\",}} );")),
    }
}

async fn plain_token(State(fixture): Shared, headers: HeaderMap, Form(mut asked): Form<Parameters>) -> Response {
    if let Some(basic) = headers.get(header::AUTHORIZATION) {
        let basic = basic.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap();
        let (id, secret) = std::str::from_utf8(&pair).unwrap().split_once(':').unwrap();
        asked.insert("client_id".to_owned(), id.to_owned());
        asked.insert("client_secret".to_owned(), secret.to_owned());
    }
    fixture.count_token("POST", &asked);
    let _open = fixture.gate.acquire().await.unwrap();
    let json = [(header::CONTENT_TYPE, "application/json")];
    match fixture.redeem(&asked) {
        Ok(user) => (json, format!("{{\"access_token\":\"TOKEN-{user}\",\"expires_in\":\"60\"}}")).into_response(),
        Err(_) => (StatusCode::BAD_REQUEST, json, "{\"error\":\"invalid_grant\"}".to_owned()).into_response(),
    }
}

async fn qq_me(State(fixture): Shared, Query(asked): Query<Parameters>) -> Response {
    fixture.api_calls.fetch_add(1, SeqCst);
    if let Some(answer) = *fixture.me.lock().unwrap() {
        return canned(answer);
    }
    let user = asked["access_token"].strip_prefix("TOKEN-").unwrap().to_owned();
    html(format!("callback( {{\"client_id\":\"{CLIENT_ID}\",\"openid\":\"OPENID-{user}\"}} );\n"))
}

async fn qq_info(State(fixture): Shared, Query(asked): Query<Parameters>) -> Response {
    fixture.api_calls.fetch_add(1, SeqCst);
    if let Some(answer) = *fixture.info.lock().unwrap() {
        return canned(answer);
    }
    assert_eq!(asked["oauth_consumer_key"], CLIENT_ID);
    let user = asked["access_token"].strip_prefix("TOKEN-").unwrap().to_owned();
    assert_eq!(asked["openid"], format!("OPENID-{user}"));
    html(format!("{{\"ret\":0,\"msg\":\"\",\"nickname\":\"小{user}\",\"figureurl_qq_2\":\"http://q.example/{user}\"}}"))
}

async fn plain_info(State(fixture): Shared, headers: HeaderMap) -> Response {
    fixture.api_calls.fetch_add(1, SeqCst);
    let bearer = headers[header::AUTHORIZATION].to_str().unwrap();
    let user = bearer.strip_prefix("Bearer TOKEN-").unwrap();
    format!("{{\"id\":42,\"login\":\"{user}\",\"avatar_url\":\"http://q.example/{user}\"}}").into_response()
}

async fn elsewhere(State(fixture): Shared) -> &'static str {
    fixture.elsewhere_calls.fetch_add(1, SeqCst);
    "access_token=STOLEN&expires_in=60"
}
