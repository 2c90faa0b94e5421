//! `GET /readyz`: which stores answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use onceward_reliable_mq::Health;
use tokio::time::timeout;

use crate::app::App;
use crate::problem::Problem;

/// Whoever balances load waits no longer for an answer; all stores are asked at once.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// 200 while every store answers with something of its own; else names those that do not.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let stores = &app.stores;
    let probes: [(&str, BoxFuture<'_, bool>); 11] = [
        ("users", stores.users.health().map(|answer| answer.is_ok()).boxed()),
        ("sessions", stores.sessions.health().map(|answer| answer.is_ok()).boxed()),
        ("logins", app.oauth.health().map(|answer| answer.is_ok()).boxed()),
        ("carts", stores.carts.health().map(|answer| answer.is_ok()).boxed()),
        ("tokens", stores.tokens.health().map(|answer| answer.is_ok()).boxed()),
        ("orders", stores.orders.health().map(|answer| answer.is_ok()).boxed()),
        ("stock", stores.stock.health().map(|answer| answer.is_ok()).boxed()),
        ("wallet", stores.wallet.health().map(|answer| answer.is_ok()).boxed()),
        ("coordinator", stores.dtx.health().map(|answer| answer.is_ok()).boxed()),
        ("broker", app.broker.health().map(|health| health == Health::Up).boxed()),
        ("notify", stores.notices.health().map(|answer| answer.is_ok()).boxed()),
    ];
    let asked = probes.map(|(name, probe)| async move { (name, timeout(PATIENCE, probe).await.unwrap_or(false)) });
    let down: Vec<_> = join_all(asked).await.into_iter().filter(|(_, well)| !well).map(|(name, _)| name).collect();
    match down.is_empty() {
        true => "ok".into_response(),
        false => Problem::busy(format!("down: {}", down.join(", "))).into_response(),
    }
}
