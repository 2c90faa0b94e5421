//! A server of its own for a test, and the browser and the application that use it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mini_qq::{Client, Clock, Config, Server};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde_json::Value;

pub const CALLBACK: &str = "http://127.0.0.1:9/auth/qq/callback";
pub const SECRET: &str = "a-secret-of-the-test";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The clients `shop` (as at QQ), `strict` (PKCE) and `family` (unionid).
pub struct Site {
    pub server: Server,
    pub origin: String,
    ahead: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Site {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let ahead = Arc::new(AtomicU64::new(0));
        let clock = {
            let ahead = Arc::clone(&ahead);
            Clock::new(move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::SeqCst)))
        };
        let config = config
            .with_clock(clock)
            .with_client(Client::new("shop", SECRET, [CALLBACK]))
            .with_client(Client::new("strict", SECRET, [CALLBACK]).with_pkce())
            .with_client(Client::new("family", SECRET, [CALLBACK]).with_unionid());
        let server = Server::new(config).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let serving = server.clone();
        let task = tokio::spawn(async move { serving.serve(listener, std::future::pending()).await.unwrap() });
        Self { server, origin, ahead, task }
    }

    /// Moves the server's clock.
    pub fn pass(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.origin)
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Response {
        get(&self.origin, path, query).await
    }

    /// A code for `user` at `shop`.
    pub async fn code(&self, user: &str) -> String {
        self.browser().code(&asks("shop"), user).await
    }

    pub async fn token(&self, query: &[(&str, &str)]) -> Response {
        self.get("/oauth2.0/token", query).await
    }

    /// Exchanges a code of `shop`; the answer in JSON.
    pub async fn exchange(&self, code: &str) -> Value {
        json(self.token(&[&exchange("shop", code)[..], &[("fmt", "json")]].concat()).await).await
    }

    /// An access token of `user` at `shop`.
    pub async fn access(&self, user: &str) -> String {
        text(&self.exchange(&self.code(user).await).await["access_token"])
    }

    pub async fn me(&self, access: &str) -> Value {
        json(self.get("/oauth2.0/me", &[("access_token", access), ("fmt", "json")]).await).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps cookies, follows no redirect.
pub struct Browser {
    http: reqwest::Client,
    origin: String,
}

/// An authorize page.
pub struct Page {
    pub html: String,
    pub action: String,
    pub hidden: Vec<(String, String)>,
}

impl Browser {
    pub fn new(origin: &str) -> Self {
        let http = reqwest::Client::builder().cookie_store(true).redirect(Policy::none()).build().unwrap();
        Self { http, origin: origin.to_owned() }
    }

    pub async fn ask(&self, query: &[(&str, &str)]) -> Response {
        self.http.get(format!("{}/oauth2.0/authorize", self.origin)).query(query).send().await.unwrap()
    }

    pub async fn page(&self, query: &[(&str, &str)]) -> Page {
        let response = self.ask(query).await;
        assert_eq!(response.status(), StatusCode::OK);
        Page::read(response.text().await.unwrap())
    }

    /// Sends the form back as a browser does.
    pub async fn send(&self, page: &Page, fields: &[(&str, &str)]) -> Response {
        let hidden = page.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let form: Vec<(&str, &str)> = hidden.chain(fields.iter().copied()).collect();
        self.http.post(format!("{}{}", self.origin, page.action)).form(&form).send().await.unwrap()
    }

    /// Where the browser is sent after the answer.
    pub async fn answer(&self, query: &[(&str, &str)], fields: &[(&str, &str)]) -> String {
        let page = self.page(query).await;
        location(&self.send(&page, fields).await)
    }

    pub async fn code(&self, query: &[(&str, &str)], user: &str) -> String {
        let to = self.answer(query, &[("user", user), ("decision", "approve")]).await;
        parameters(&to)["code"].clone()
    }
}

impl Page {
    fn read(html: String) -> Self {
        let lower = html.to_lowercase();
        assert_eq!(lower.matches("<form").count(), 1, "{html}");
        let form = &html[lower.find("<form").unwrap()..lower.find("</form>").unwrap()];
        let head = &form[..form.find('>').unwrap()];
        assert_eq!(attribute(head, "method").as_deref(), Some("post"));
        let inputs = form.split("<input ").skip(1).map(|rest| &rest[..rest.find('>').unwrap()]);
        let hidden = inputs
            .filter(|input| attribute(input, "type").as_deref() == Some("hidden"))
            .map(|input| (attribute(input, "name").unwrap(), attribute(input, "value").unwrap()))
            .collect();
        Self { action: attribute(head, "action").unwrap(), hidden, html }
    }
}

/// What `client` asks with.
pub fn asks(client: &str) -> Vec<(&'static str, &str)> {
    vec![("response_type", "code"), ("client_id", client), ("redirect_uri", CALLBACK), ("state", "state-1")]
}

/// What `client` exchanges `code` with.
pub fn exchange<'a>(client: &'a str, code: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("client_secret", SECRET),
        ("code", code),
        ("redirect_uri", CALLBACK),
    ]
}

/// `list` with the value of one parameter replaced.
pub fn with<'a>(
    mut list: Vec<(&'static str, &'a str)>,
    name: &'static str,
    value: &'a str,
) -> Vec<(&'static str, &'a str)> {
    list.retain(|(old, _)| *old != name);
    list.push((name, value));
    list
}

/// `list` without one parameter.
pub fn without<'a>(mut list: Vec<(&'static str, &'a str)>, name: &str) -> Vec<(&'static str, &'a str)> {
    list.retain(|(old, _)| *old != name);
    list
}

pub async fn get(origin: &str, path: &str, query: &[(&str, &str)]) -> Response {
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    http.get(format!("{origin}{path}")).query(query).send().await.unwrap()
}

pub async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

pub fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// The parameters behind the callback, decoded.
pub fn parameters(location: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(location).unwrap();
    assert_eq!(location.split('?').next().unwrap(), CALLBACK);
    url.query_pairs().into_owned().collect()
}

pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    Some(tag[start..].split('"').next().unwrap().to_owned())
}
