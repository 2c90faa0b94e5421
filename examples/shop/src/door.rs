//! The shop's door: shut while it starts, open, then shut again while those inside are served.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::ServiceExt;

/// Lets requests in and counts them. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shop: OnceLock<Router>,
    shut: AtomicBool,
    inside: AtomicUsize,
    left: Notify,
}

/// One request that was let in.
struct Guest<'a>(&'a Inner);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

impl Door {
    /// What the listener serves.
    pub fn router(&self) -> Router {
        Router::new().fallback(enter).with_state(self.clone())
    }

    /// Lets requests into the shop.
    pub fn open(&self, shop: Router) {
        // Opened once; a second shop would be another process.
        let _ = self.0.shop.set(shop);
    }

    /// Lets nobody in any more and waits until all are out, but no longer than `patience`. Answers whether they are.
    pub async fn close(&self, patience: Duration) -> bool {
        self.0.shut.store(true, Ordering::SeqCst);
        let all_out = async {
            while self.0.inside.load(Ordering::SeqCst) > 0 {
                self.0.left.notified().await;
            }
        };
        timeout(patience, all_out).await.is_ok()
    }
}

async fn enter(State(door): State<Door>, request: Request) -> Response {
    let inner = &*door.0;
    inner.inside.fetch_add(1, Ordering::SeqCst);
    let _guest = Guest(inner);
    let shut = inner.shut.load(Ordering::SeqCst);
    match (inner.shop.get(), request.uri().path()) {
        (Some(shop), _) if !shut => match shop.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        (_, "/healthz") => "ok".into_response(),
        _ => busy(request.headers(), if shut { "The shop is closing." } else { "The shop is about to open." }),
    }
}

/// 503 in the form that was asked for. No visit can be made yet, or any more.
fn busy(headers: &HeaderMap, detail: &str) -> Response {
    let json = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    let (kind, body) = if json {
        let body =
            format!(r#"{{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"{detail}"}}"#);
        ("application/problem+json", body)
    } else {
        let page = format!(
            "<!doctype html><title>One moment</title><h1>One moment</h1><p>{detail} Try again in a few seconds.</p>"
        );
        ("text/html; charset=utf-8", page)
    };
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, kind), (header::RETRY_AFTER, "1")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;

    use super::*;

    async fn status(door: &Door, path: &'static str) -> u16 {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        door.router().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn only_health_answers_while_the_door_is_shut() {
        let door = Door::default();
        assert_eq!(
            (status(&door, "/healthz").await, status(&door, "/readyz").await, status(&door, "/").await),
            (200, 503, 503)
        );
        door.open(Router::new().route("/", get(|| async { "in" })).route("/readyz", get(|| async { "ok" })));
        assert_eq!(
            (status(&door, "/readyz").await, status(&door, "/").await, status(&door, "/x").await),
            (200, 200, 404)
        );
        assert!(door.close(Duration::from_secs(1)).await);
        assert_eq!(
            (status(&door, "/healthz").await, status(&door, "/readyz").await, status(&door, "/").await),
            (200, 503, 503)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_those_inside() {
        let door = Door::default();
        door.open(Router::new().route("/", get(|| async { tokio::time::sleep(Duration::from_secs(5)).await })));
        let visit = async { status(&door, "/").await };
        let closing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!door.close(Duration::from_secs(1)).await, "somebody is inside");
            assert!(door.close(Duration::from_secs(10)).await);
        };
        assert_eq!(tokio::join!(visit, closing).0, 200);
    }
}
