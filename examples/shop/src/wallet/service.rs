//! The wallet as a process of its own: a small API for the shop alone, and a coordinator that ends what was charged here.
//!
//! A charge names the shop's global transaction in its headers and becomes a branch of it. The coordinators of both processes
//! share one store, so that neither needs the other to be alive to bring its own branches to their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onceward_backend::{BackendError, ErrorClass, KeyRing};
use onceward_dtx::layer::JoinLayer;
use onceward_dtx::{Dtx, context};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Charge, Entry, Wallets};
use crate::hold::{Hold, Point};
use crate::orders::OrderError;
use crate::problem::chain;

/// What shop and wallet know each other by, derived from the key in their folder. Whoever has it can charge anybody.
#[derive(Clone)]
pub struct Pass(Arc<str>);

impl Pass {
    /// The pass of a folder's processes.
    pub fn of(keys: &KeyRing) -> Self {
        let key = keys.derive(keys.current(), "shop to wallet").unwrap_or_default();
        Self(URL_SAFE_NO_PAD.encode(&key[..]).into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    fn is(&self, shown: &[u8]) -> bool {
        shown.strip_prefix(b"Bearer ").is_some_and(|shown| bool::from(shown.ct_eq(self.0.as_bytes())))
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pass")
    }
}

/// A charge as it is asked for; its global transaction stands in the headers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) order: String,
    pub(super) user: String,
    pub(super) amount: i64,
}

/// What somebody has, and why.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Statement {
    pub(super) balance: i64,
    pub(super) ledger: Vec<Entry>,
}

/// The wallets behind HTTP.
#[derive(Clone, Debug)]
pub struct Service {
    wallets: Arc<dyn Wallets>,
    pass: Pass,
    hold: Hold,
}

impl Service {
    /// The API of these wallets for whoever has the pass.
    pub fn new(wallets: Arc<dyn Wallets>, pass: Pass, hold: Hold) -> Self {
        Self { wallets, pass, hold }
    }

    /// Its routes.
    pub fn router(self, dtx: &Dtx) -> Router {
        Router::new()
            .route("/charges", post(charge).layer(JoinLayer::new(dtx.clone())))
            .route("/wallets", get(all))
            .route("/wallets/{user}", get(of_user).post(open))
            .route("/health", get(health))
            // Before anything else, so that nobody without it can name a transaction.
            .layer(from_fn_with_state(self.clone(), known))
            .with_state(self)
    }
}

async fn known(State(service): State<Service>, request: Request, next: Next) -> Response {
    match request.headers().get(AUTHORIZATION) {
        Some(shown) if service.pass.is(shown.as_bytes()) => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// True if it was charged, false if the balance does not suffice.
async fn charge(State(service): State<Service>, Json(asked): Json<Asked>) -> Result<Json<bool>, Failed> {
    let Some(global) = context::current() else { return Err(Failed(StatusCode::BAD_REQUEST)) };
    let charge = Charge { order: &asked.order, user: &asked.user, amount: asked.amount, xid: global.xid() };
    match service.wallets.charge(&charge).await {
        Ok(()) => {
            service.hold.at(Point::Charged).await;
            Ok(Json(true))
        }
        Err(OrderError::NoMoney) => Ok(Json(false)),
        Err(error) => Err(error.into()),
    }
}

async fn all(State(service): State<Service>) -> Result<Json<(BTreeMap<String, i64>, Vec<Entry>)>, Failed> {
    Ok(Json(service.wallets.all().await?))
}

async fn of_user(State(service): State<Service>, Path(user): Path<String>) -> Result<Json<Statement>, Failed> {
    let (balance, ledger) = service.wallets.of_user(&user).await?;
    Ok(Json(Statement { balance, ledger }))
}

async fn open(State(service): State<Service>, Path(user): Path<String>) -> Result<Json<()>, Failed> {
    Ok(Json(service.wallets.open(&user).await?))
}

async fn health(State(service): State<Service>) -> Result<Json<()>, Failed> {
    Ok(Json(service.wallets.health().await?))
}

/// A status that says whether it is worth asking again. The cause goes to the log.
struct Failed(StatusCode);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<BackendError> for Failed {
    fn from(error: BackendError) -> Self {
        OrderError::from(error).into()
    }
}

impl From<OrderError> for Failed {
    fn from(error: OrderError) -> Self {
        let again = match &error {
            OrderError::Statement(error) => error.is_retryable() || error.class() == ErrorClass::Unknown,
            OrderError::Transaction(error) => error.is_retryable(),
            _ => false,
        };
        tracing::warn!(error = chain(&error), "a request to the wallet failed");
        Self(if again { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR })
    }
}
