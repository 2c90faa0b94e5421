//! Two services in one global transaction, by headers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{HeaderMap, Request, StatusCode};
use onceward_dtx::layer::JoinLayer;
use onceward_dtx::propagate::{self, WithTransaction};
use onceward_dtx::{
    DtxError, DtxOptions, Global, GlobalStatus, Options, Reason, Remote, TransactionHook, context, spawn,
};
use tower::ServiceExt;

use crate::world::{Worker, World, add, add_in_doubt, rename};

/// What the second service does with a request, by its path.
async fn part(world: &World, path: &str) -> StatusCode {
    let run = |fail: bool| {
        world.dtx.run(Options::new("nested"), async move |_| {
            add(&world.at[0], 7).await?;
            if fail { Err(DtxError::RollbackOnly("on purpose")) } else { Ok(()) }
        })
    };
    let done = match path {
        "/good" => add(&world.at[0], 7).await,
        "/half" => {
            add(&world.at[0], 7).await.unwrap();
            Err(DtxError::RollbackOnly("on purpose"))
        }
        "/nested" => run(false).await,
        "/nested-fails" => run(true).await.or(Ok(())),
        "/doubt" => {
            add_in_doubt(world, 0, context::current().unwrap().xid()).await;
            Ok(())
        }
        "/spawned" => {
            add(&world.at[0], 7).await.unwrap();
            spawn(std::future::pending::<()>());
            Ok(())
        }
        "/hangs" => {
            add(&world.at[0], 7).await.unwrap();
            std::future::pending().await
        }
        "/outside" => {
            assert!(context::current().is_none());
            Ok(())
        }
        path => panic!("{path}"),
    };
    if done.is_ok() { StatusCode::OK } else { StatusCode::CONFLICT }
}

struct Two {
    first: World,
    second: Arc<World>,
    app: Router,
    alerts: Arc<Mutex<Vec<Option<GlobalStatus>>>>,
    _workers: [Worker; 2],
}

#[derive(Debug)]
struct Alerts(Arc<Mutex<Vec<Option<GlobalStatus>>>>);

#[async_trait]
impl TransactionHook for Alerts {
    async fn alert(&self, _: &Global, status: Option<GlobalStatus>) {
        self.0.lock().unwrap().push(status);
    }
}

impl Two {
    async fn new() -> Self {
        let alerts = Arc::default();
        let options = DtxOptions::default().with_hook(Arc::new(Alerts(Arc::clone(&alerts))));
        let [first, second] = World::pair([DtxOptions::default(), options]).await;
        let second = Arc::new(second);
        let handler = {
            let second = Arc::clone(&second);
            move |request: Request<Body>| async move { part(&second, request.uri().path()).await }
        };
        let app = Router::new().fallback(post(handler)).layer(JoinLayer::new(second.dtx.clone()));
        let _workers = [first.worker(), second.worker()];
        Self { first, second, app, alerts, _workers }
    }

    /// A call to the second service that names the current transaction.
    async fn call(&self, path: &str) -> StatusCode {
        let mut request = Request::post(path).body(Body::empty()).unwrap();
        propagate::inject(request.headers_mut()).unwrap();
        self.app.clone().oneshot(request).await.unwrap().status()
    }

    /// Adds here and calls there, in one transaction that fails if the call did or if it was told to.
    async fn both(&self, path: &str, tolerant: bool, fail: bool) -> (StatusCode, Result<(), DtxError>) {
        let mut status = StatusCode::IM_A_TEAPOT;
        let answer = self
            .first
            .dtx
            .run(Options::new("both"), async |_| {
                add(&self.first.at[0], 7).await?;
                status = self.call(path).await;
                if fail || !tolerant && status != StatusCode::OK {
                    return Err(DtxError::RollbackOnly("on purpose"));
                }
                Ok(())
            })
            .await;
        (status, answer)
    }

    async fn balances(&self) -> [i64; 2] {
        self.first.quiet().await;
        self.second.quiet().await;
        [self.first.balance(0, 1).await.unwrap(), self.second.balance(0, 1).await.unwrap()]
    }
}

fn is_undone(answer: &Result<(), DtxError>, why: Reason) -> bool {
    // The resource of the other service is asked by its own worker.
    matches!(answer, Err(DtxError::RollbackInProgress { .. }))
        || matches!(answer, Err(DtxError::RolledBack { reason, .. }) if *reason == why)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_commit_or_neither() {
    let two = Two::new().await;
    for path in ["/good", "/nested"] {
        let (status, answer) = two.both(path, false, true).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer.is_err());
        assert_eq!(two.balances().await, [100, 100], "{path}");
    }
    let (status, answer) = two.both("/good", false, false).await;
    answer.unwrap();
    assert_eq!((status, two.balances().await), (StatusCode::OK, [107, 107]));
    assert_eq!(two.call("/outside").await, StatusCode::OK, "a request that names none");
    assert!(two.alerts.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_by_the_answer() {
    let two = Two::new().await;
    let (status, answer) = two.both("/half", false, false).await;
    assert!(answer.is_err());
    assert_eq!((status, two.balances().await), (StatusCode::CONFLICT, [100, 100]));
    // One that goes on without the part has to live with what had ended of it.
    let (status, answer) = two.both("/half", true, false).await;
    answer.unwrap();
    assert_eq!((status, two.balances().await), (StatusCode::CONFLICT, [107, 107]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_committed_is_not_whatever_the_caller_makes_of_the_answer() {
    let two = Two::new().await;
    for (path, reason) in [("/nested-fails", Reason::Nested), ("/doubt", Reason::Doubt), ("/spawned", Reason::Doubt)] {
        let (status, answer) = two.both(path, true, false).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(is_undone(&answer, reason), "{path} {answer:?}");
        assert_eq!(two.balances().await, [100, 100], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_given_up_or_panicked_has_the_whole_rolled_back() {
    let two = Two::new().await;
    for path in ["/hangs", "/panics"] {
        let mut xid = String::new();
        let answer = two.first.dtx.run(Options::new("given up"), async |global| {
            xid = global.xid().to_owned();
            add(&two.first.at[0], 7).await?;
            if path == "/hangs" {
                assert!(tokio::time::timeout(Duration::from_millis(500), two.call(path)).await.is_err());
            } else {
                let (app, headers) = (two.app.clone(), propagate::headers().unwrap());
                let mut request = Request::post(path).body(Body::empty()).unwrap();
                *request.headers_mut() = headers;
                assert!(tokio::spawn(app.oneshot(request)).await.unwrap_err().is_panic());
            }
            testkit::eventually(Duration::from_secs(10), async || match two.first.dtx.status(global.xid()).await {
                Ok(Some(GlobalStatus::Active)) => Err("still open"),
                _ => Ok(()),
            })
            .await;
            Ok::<_, DtxError>(())
        });
        let answer = answer.await;
        assert!(is_undone(&answer, Reason::Dropped), "{path} {answer:?}");
        assert_eq!(two.balances().await, [100, 100]);
        assert_eq!(two.first.dtx.coordinator().reason(&xid).await.unwrap(), Some(Reason::Dropped), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_headers_are_refused_and_reach_nobody() {
    let two = Two::new().await;
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let handler = move || async move {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let app = Router::new().route("/", post(handler)).layer(JoinLayer::new(two.second.dtx.clone()));
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    let long = "x".repeat(129);
    for headers in [
        &[("tx-xid", "")][..],
        &[("tx-xid", "a b")],
        &[("TX_XID", &long)],
        &[("TX_XID", "a"), ("tx-xid", "b")],
        &[("tx-xid", "a"), ("tx-xid", "b")],
        &[("tx-xid", "a"), ("tx-timeout-ms", "-1")],
    ] {
        assert_eq!(ask(headers).await, StatusCode::BAD_REQUEST, "{headers:?}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
    assert_eq!(ask(&[("tx-xid", &long[1..])]).await, StatusCode::OK);
    assert_eq!(ask(&[("tx-timeout-ms", "x")]).await, StatusCode::OK, "it names nothing");
    assert_eq!(reached.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xid_that_nobody_has_begun_takes_no_branch() {
    let two = Two::new().await;
    let dtx = &two.second.dtx;
    let answer = dtx.join(Remote::new("nobody", None).unwrap(), async |_| add(&two.second.at[0], 7).await).await;
    assert!(matches!(answer, Err(DtxError::Ended { status: None, .. })), "{answer:?}");
    // Nor does anything come of a part of it that is in doubt.
    let doubted = dtx.join(Remote::new("nobody", None).unwrap(), async |_| {
        let nested = async |_| Err::<(), _>(DtxError::RollbackOnly("on purpose"));
        assert!(dtx.run(Options::new("nested"), nested).await.is_err());
        Ok::<_, DtxError>(())
    });
    let doubted = doubted.await;
    assert!(matches!(doubted, Err(DtxError::Ended { status: None, .. })), "{doubted:?}");
    assert_eq!(two.balances().await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_did_not_wait_for_the_answer_is_reported() {
    let two = Two::new().await;
    let transaction = two.first.dtx.begin(Options::new("rash")).await.unwrap();
    transaction.scope(add(&two.first.at[0], 7)).await.unwrap();
    let remote = Remote::new(transaction.xid(), Some(Duration::from_secs(5))).unwrap();
    let answer = two
        .second
        .dtx
        .join(remote, async |global| {
            assert!(global.remaining() <= Duration::from_secs(5));
            let nested = async |_| Err::<(), _>(DtxError::RollbackOnly("on purpose"));
            assert!(two.second.dtx.run(Options::new("nested"), nested).await.is_err());
            transaction.commit().await
        })
        .await;
    let status = match answer {
        Err(DtxError::Ended { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    assert!(matches!(status, Some(GlobalStatus::Committing | GlobalStatus::Committed)), "{status:?}");
    assert_eq!(*two.alerts.lock().unwrap(), [status]);
    assert_eq!(two.balances().await, [107, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_the_coordinator_does_not_answer_is_asked_for_again() {
    let two = Two::new().await;
    let transaction = two.first.dtx.begin(Options::new("unanswered")).await.unwrap();
    transaction.scope(add(&two.first.at[0], 7)).await.unwrap();
    let tc = two.first.disk.pool("tc").await;
    let remote = Remote::new(transaction.xid(), None).unwrap();
    let answer = two
        .second
        .dtx
        .join(remote, async |_| {
            let nested = async |_| Err::<(), _>(DtxError::RollbackOnly("on purpose"));
            assert!(two.second.dtx.run(Options::new("nested"), nested).await.is_err());
            rename(&tc, "dtx_global", "dtx_global_away").await;
            Ok::<_, DtxError>(())
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackInProgress { .. })), "{answer:?}");
    rename(&tc, "dtx_global_away", "dtx_global").await;
    testkit::eventually(Duration::from_secs(20), async || match two.first.dtx.status(transaction.xid()).await {
        Ok(Some(GlobalStatus::Active)) => Err("still open"),
        _ => Ok(()),
    })
    .await;
    let answer = transaction.commit().await;
    assert!(is_undone(&answer, Reason::Nested), "{answer:?}");
    assert_eq!(two.balances().await, [100, 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_name_the_current_transaction_or_none() {
    let world = World::new().await;
    let mut headers = HeaderMap::new();
    for name in ["TX_XID", "tx-xid", "tx-timeout-ms"] {
        headers.insert(http::HeaderName::try_from(name).unwrap(), "1".parse().unwrap());
    }
    let mut stale = headers.clone();
    propagate::inject(&mut stale).unwrap();
    assert!(stale.is_empty(), "what came in does not go out by itself: {stale:?}");
    let options = Options::new("named").with_timeout(Duration::from_secs(20));
    let answer = world.dtx.run(options, async |global| {
        propagate::inject(&mut headers).unwrap();
        let names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert!(names.contains(&("tx_xid", global.xid())) && names.contains(&("tx-xid", global.xid())), "{names:?}");
        assert_eq!(names.len(), 3, "{names:?}");
        let remote = propagate::extract(&headers).unwrap().unwrap();
        assert_eq!(remote.xid(), global.xid());
        let remaining = remote.remaining().unwrap();
        assert!(remaining > Duration::from_secs(10) && remaining <= Duration::from_secs(20), "{remaining:?}");
        assert!(context::without(async { propagate::headers() }).await.unwrap().is_empty());
        Ok::<_, DtxError>(())
    });
    answer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_network() {
    let two = Two::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/good", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, two.app.clone()).into_future());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for fail in [true, false] {
        let answer = two.first.dtx.run(Options::new("network"), async |_| {
            add(&two.first.at[0], 7).await?;
            let call = client.post(&url).with_transaction().unwrap().send().await.unwrap();
            assert_eq!(call.status(), 200);
            if fail { Err(DtxError::RollbackOnly("on purpose")) } else { Ok(()) }
        });
        assert_eq!(answer.await.is_err(), fail);
        assert_eq!(two.balances().await, if fail { [100, 100] } else { [107, 107] });
    }
    server.abort();
}
