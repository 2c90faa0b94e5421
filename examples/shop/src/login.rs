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
use onceward_backend::{BackendError, ErrorClass, RetryPolicy};
use onceward_cart_store::MemberId;
use onceward_oauth_client::{BrowserBinder, Error as OauthError, Login};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::form::{Form, return_to};
use crate::pages::{AccountPage, LoginPage, ProviderLink};
use crate::problem::{Problem, chain};
use crate::session::{Member, Merge, Session, Switch, cookies, set_cookie};
use crate::users::User;
use crate::visit::{Post, RETURN_COOKIE, Visit, append_cookie, see_other};

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
    Store(#[from] BackendError),
    #[error("the provider's user id cannot be used")]
    User(#[from] onceward_cart_store::Error),
    #[error("the answer cannot be kept")]
    Answer(#[from] serde_json::Error),
}

/// Repeats what a busy store refused, for as long as the browser waits anyway: the code behind this login is spent. Every
/// step may run again, also after an answer that was lost: the new session names the switch.
async fn sign_in(app: &App, session: &Session, login: &Login) -> Result<Vec<u8>, SignInError> {
    let account = &login.identity.account;
    let id = MemberId::new(format!("{}:{}", account.provider, account.subject))?;
    let user = User {
        provider: account.provider.clone(),
        subject: account.subject.clone(),
        nickname: text(login.identity.profile.nickname.as_deref().unwrap_or("Guest of honour")),
        avatar: text(login.identity.profile.avatar.as_deref().unwrap_or_default()),
    };
    let new = Session::begin(Member { id: id.clone(), nickname: user.nickname.clone() });
    let patience = RetryPolicy::exponential().with_base(Duration::from_millis(100)).with_attempts(3);
    let again = |error: &BackendError| error.is_retryable() || error.class() == ErrorClass::Unknown;
    let leaves_a_cart = patience.run_if(again, || begin_session(app, &user, session, &new, &id)).await?;
    if leaves_a_cart && let Err(error) = app.stores.merge(&session.guest_id(), &id).await {
        // A merge that fails never fails the login.
        tracing::warn!(error = chain(&error), "a cart merge is left to the sweeper");
    }
    let location = std::str::from_utf8(&login.data).map_or("/", |to| return_to(Some(to))).to_owned();
    Ok(serde_json::to_vec(&Answer { location, cookie: new.cookie(&app.stores.keys) })?)
}

/// Without the one character that PostgreSQL does not take in a text.
fn text(given: &str) -> String {
    given.replace('\0', "")
}

/// The user with wallet and place in the line of orders, then one step that ends the old session, begins the new one and
/// notes that the guest's cart has to reach the member. Each guest session ends once, so its cart goes to one member, and
/// the note outlives whatever happens to the merge itself. Answers whether there is a cart to merge.
async fn begin_session(
    app: &App,
    user: &User,
    old: &Session,
    new: &Session,
    id: &MemberId,
) -> Result<bool, BackendError> {
    let stores = &app.stores;
    stores.wallet.open(id.as_str()).await?;
    stores.orders.open(id.as_str()).await?;
    stores.users.remember(id.as_str(), user).await?;
    let guest = old.guest_id().signed(&stores.keys);
    let leaves_a_cart = old.member.is_none() && old.verified;
    let merge = leaves_a_cart.then_some(Merge { guest: &guest, user: id.as_str() });
    Ok(stores.sessions.switch(&Switch { old, new, merge }).await? && leaves_a_cart)
}

/// `POST /logout`
pub async fn logout(State(app): State<Arc<App>>, post: Post) -> Result<Response, Problem> {
    let guest = Session::guest();
    app.stores.sessions.switch(&Switch { old: &post.visit.session, new: &guest, merge: None }).await?;
    let mut response = see_other("/");
    append_cookie(&mut response, &app.sessions.set_cookie(&guest.cookie(&app.stores.keys)));
    Ok(response)
}

/// `GET /account`
pub async fn account(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Problem> {
    let id = visit.member()?.id.as_str().to_owned();
    let user = app.stores.users.find(&id).await?.ok_or_else(|| Problem::internal("a member without a user"))?;
    let User { provider, nickname, avatar, .. } = user;
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
