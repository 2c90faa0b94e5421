//! Signing in over OAuth, and out again.
//!
//! The callback's work is done once per login, by the first of its repeats: the user and the wallet are made, the guest's
//! cart is merged, the sessions are switched. What it answered is kept for a minute, so that every repeat from the same
//! browser gets the same redirect and the same session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use onceward_backend::RetryPolicy;
use onceward_cart_store::MemberId;
use onceward_oauth_client::{BrowserBinder, Error as OauthError, Login};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::form::{Form, return_to};
use crate::pages::{AccountPage, LoginPage, ProviderLink};
use crate::problem::{Problem, chain};
use crate::session::{Member, Session, cookies, set_cookie};
use crate::visit::{Post, RETURN_COOKIE, Visit, append_cookie, see_other};
use crate::{now, orders, wallet};

/// The browser's own cookie, to which pending logins are bound. Not the session: that changes at login, and a repeated
/// callback must still match.
const BINDER_COOKIE: &str = "shop_browser";
const BINDER_SECONDS: i64 = 24 * 3600;

/// What a finished login answers, to the first and to every repeat.
#[derive(Serialize, Deserialize)]
struct Answer {
    location: String,
    cookie: String,
}

/// `GET /login`
pub async fn page(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let query = visit.path.split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(query.as_bytes());
    let kept = cookies(&visit.headers, RETURN_COOKIE).next().map(|kept| Form::parse(format!("r={kept}").as_bytes()));
    let asked = form.text("return_to").or_else(|| kept.as_ref()?.text("r"));
    let return_to = return_to(asked).to_owned();
    let providers: Vec<_> = app
        .oauth
        .providers()
        .map(|provider| ProviderLink { id: provider.id().to_owned(), name: provider.name().to_owned() })
        .collect();
    let links: Vec<_> = providers
        .iter()
        .map(|link| json!({ "id": link.id, "name": link.name, "start": format!("/auth/{}/start", link.id) }))
        .collect();
    visit.answer(&app, json!({ "providers": links }), |chrome| LoginPage { chrome, providers, return_to }).await
}

/// `GET /auth/{provider}/start`
pub async fn start(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let query = visit.path.split_once('?').map_or("", |(_, query)| query);
    let form = Form::parse(query.as_bytes());
    let to = return_to(form.text("return_to"));
    let binder = match binder(&visit).or_else(|| visit.session.binder(&app.stores.keys)) {
        Some(binder) => binder,
        None => BrowserBinder::generate().map_err(Problem::from)?,
    };
    let authorize = app.oauth.begin(&provider, &binder, to.as_bytes()).await?;
    let mut response = see_other(&authorize.url);
    append_cookie(&mut response, &set_cookie(BINDER_COOKIE, binder.as_str(), BINDER_SECONDS, app.sessions.secure()));
    append_cookie(&mut response, &set_cookie(RETURN_COOKIE, "", 0, app.sessions.secure()));
    Ok(response)
}

fn binder(visit: &Visit) -> Option<BrowserBinder> {
    cookies(&visit.headers, BINDER_COOKIE).find_map(BrowserBinder::parse)
}

/// `GET /auth/{provider}/callback`
pub async fn callback(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let query = visit.path.split_once('?').map_or("", |(_, query)| query);
    let finish = {
        let (app, session) = (Arc::clone(&app), visit.session.clone());
        move |login: Login| async move { sign_in(&app, &session, &login).await }
    };
    let done = app.oauth.callback(&provider, query, binder(&visit).as_ref(), finish).await?;
    let answer: Answer = serde_json::from_slice(&done.bytes).map_err(Problem::internal)?;
    let mut response = see_other(&answer.location);
    append_cookie(&mut response, &app.sessions.set_cookie(&answer.cookie));
    Ok(response)
}

/// Signing in failed inside the shop.
#[derive(Debug, thiserror::Error)]
enum SignInError {
    #[error("a store did not answer")]
    Store(#[from] onceward_backend::BackendError),
    #[error("the provider's user id cannot be used")]
    User(#[from] onceward_cart_store::Error),
    #[error("the answer cannot be kept")]
    Answer(#[from] serde_json::Error),
}

impl From<sqlx::Error> for SignInError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Repeats what a busy store refused, for as long as the browser waits anyway: the code behind this login is spent.
async fn sign_in(app: &App, session: &Session, login: &Login) -> Result<Vec<u8>, SignInError> {
    let patience = RetryPolicy::exponential().with_base(Duration::from_millis(100)).with_attempts(3);
    let again = |error: &SignInError| matches!(error, SignInError::Store(error) if error.is_retryable());
    patience.run_if(again, || sign_in_once(app, session, login)).await
}

/// One transaction ends the old session, begins the new one and notes that the guest's cart has to reach the member. Each
/// guest session ends once, so its cart goes to one member, and the note outlives whatever happens to the merge itself.
async fn sign_in_once(app: &App, session: &Session, login: &Login) -> Result<Vec<u8>, SignInError> {
    let account = &login.identity.account;
    let id = MemberId::new(format!("{}:{}", account.provider, account.subject))?;
    let nickname = login.identity.profile.nickname.clone().unwrap_or_else(|| "Guest of honour".to_owned());
    let avatar = login.identity.profile.avatar.clone().unwrap_or_default();
    wallet::open(app.stores.wallet.pool(), id.as_str()).await?;
    orders::open(app.stores.orders.pool(), id.as_str()).await?;
    let new = Session::begin(Member { id: id.clone(), nickname: nickname.clone() });
    let mut tx = app.stores.web.begin_with("begin immediate").await?;
    sqlx::query(
        "insert into users (id, provider, subject, nickname, avatar, created_at) values (?, ?, ?, ?, ?, ?) \
         on conflict (id) do update set nickname = excluded.nickname, avatar = excluded.avatar",
    )
    .bind(id.as_str())
    .bind(&account.provider)
    .bind(&account.subject)
    .bind(&nickname)
    .bind(avatar)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    let leaves_a_cart = app.sessions.switch(&mut tx, session, &new).await?;
    if leaves_a_cart {
        sqlx::query("insert into merges (guest, user_id) values (?, ?)")
            .bind(session.guest_id().signed(&app.stores.keys))
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    if leaves_a_cart && let Err(error) = app.stores.merge(&session.guest_id(), &id).await {
        // A merge that fails never fails the login.
        tracing::warn!(error = chain(&error), "a cart merge is left to the sweeper");
    }
    let location = std::str::from_utf8(&login.data).map_or("/", |to| return_to(Some(to))).to_owned();
    Ok(serde_json::to_vec(&Answer { location, cookie: new.cookie(&app.stores.keys) })?)
}

/// `POST /logout`
pub async fn logout(State(app): State<Arc<App>>, post: Post) -> Result<Response, Problem> {
    let guest = Session::guest();
    let mut tx = app.stores.web.begin_with("begin immediate").await?;
    app.sessions.switch(&mut tx, &post.visit.session, &guest).await?;
    tx.commit().await?;
    let mut response = see_other("/");
    append_cookie(&mut response, &app.sessions.set_cookie(&guest.cookie(&app.stores.keys)));
    Ok(response)
}

/// `GET /account`
pub async fn account(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let id = visit.member()?.id.as_str().to_owned();
    let (provider, nickname, avatar): (String, String, String) =
        sqlx::query_as("select provider, nickname, avatar from users where id = ?")
            .bind(&id)
            .fetch_one(&app.stores.web)
            .await?;
    let data = json!({ "user": { "id": id, "nickname": nickname, "avatar": avatar, "provider": provider } });
    visit.answer(&app, data, |chrome| AccountPage { chrome, id, nickname, avatar, provider }).await
}

impl From<OauthError> for Problem {
    fn from(error: OauthError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(error = chain(&error), kind = error.kind(), "a login failed");
        }
        let detail = match &error {
            OauthError::UnknownProvider => "There is no such way to sign in.",
            OauthError::Denied => "You did not allow the shop to sign you in. You can try again.",
            OauthError::Busy => "Your login is being finished. Reload in a moment.",
            OauthError::Finish(_) => return Self::busy("The shop is busy right now. Start the login again."),
            _ if status.is_client_error() => "This login cannot be finished. Start it again from the login page.",
            _ => "The provider did not answer as it should. Start the login again.",
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { retry_after, ..Self::new(status, detail) }
    }
}
