//! The shop behind HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use onceward_oauth_client::OAuthClient;
use onceward_reliable_mq::Broker;
use tokio_util::task::TaskTracker;

use crate::catalog::picture;
use crate::problem::Problem;
use crate::session::Sessions;
use crate::stores::Stores;
use crate::{cart, checkout, login, orders, pages, ready, storefront, visit, wallet};

/// What every handler has at hand.
#[derive(Debug)]
pub struct App {
    /// Where things are kept.
    pub stores: Stores,
    /// Who is asking.
    pub sessions: Sessions,
    /// Logins.
    pub oauth: OAuthClient,
    /// Who carries messages.
    pub broker: Arc<dyn Broker>,
    /// The origin under which browsers see the shop.
    pub origin: String,
    /// The content security policy of every page.
    pub policy: HeaderValue,
    /// Work that outlives its request.
    pub tasks: TaskTracker,
}

/// All routes. Those outside the visit's layer need no session.
pub fn router(app: &Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(storefront::home))
        .route("/c/{category}", get(storefront::category))
        .route("/search", get(storefront::search))
        .route("/p/{sku}", get(storefront::product))
        .route("/cart", get(cart::show))
        .route("/cart/lines", post(cart::add))
        .route("/cart/lines/{key}", post(cart::change))
        .route("/login", get(login::page))
        .route("/auth/{provider}/start", get(login::start))
        .route("/auth/{provider}/callback", get(login::callback))
        .route("/logout", post(login::logout))
        .route("/account", get(login::account))
        .route("/checkout", get(checkout::show).post(checkout::submit))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/wallet", get(wallet::show))
        .fallback(|| async { Problem::not_found("There is nothing at this address.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that kind of request.")
        })
        .layer(from_fn_with_state(Arc::clone(app), visit::layer));
    let plain = Router::new()
        .route("/static/shop.css", get(|| fixed(pages::STYLESHEET, "text/css; charset=utf-8")))
        .route("/static/mark.svg", get(|| fixed(pages::MARK, "image/svg+xml")))
        .route("/static/p/{file}", get(product_picture))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready::ready))
        .route_layer(from_fn_with_state(Arc::clone(app), visit::plain_layer));
    plain.merge(pages).with_state(Arc::clone(app))
}

async fn fixed(text: &'static str, kind: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

async fn product_picture(State(app): State<Arc<App>>, Path(file): Path<String>) -> Response {
    match file.strip_suffix(".svg").and_then(|sku| app.stores.catalog.product(sku)) {
        Some(product) => {
            let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=3600")];
            (headers, picture(&product.sku)).into_response()
        }
        None => Problem::not_found("There is no such picture.").into_response(),
    }
}
