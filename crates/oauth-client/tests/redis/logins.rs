//! Whole logins over Redis.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use onceward_oauth_client::{Account, BrowserBinder, Error, Failure, Stores, store::RedisStore};
use testkit::{Mode, redis::Prefix};
use tokio::task::JoinSet;

use crate::{
    app::{App, options, qq},
    behind_proxy, beside,
    fixture::Fixture,
    forget_all,
    losing::Losing,
};

fn app(fixture: &Fixture, store: RedisStore) -> App {
    App::on(Stores::new(store), options(), [qq(fixture)])
}

async fn process(fixture: &Fixture, prefix: &Prefix) -> Arc<App> {
    Arc::new(app(fixture, beside(prefix).await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_callbacks_at_two_processes_send_one_token_request_and_get_one_answer() {
    let fixture = Fixture::start().await;
    let prefix = testkit::redis::prefix();
    let processes = [process(&fixture, &prefix).await, process(&fixture, &prefix).await];
    let callback = fixture.approve(&processes[0].begin("qq").await, "alice");
    let mut callers = JoinSet::new();
    for n in 0..100 {
        let (app, browser) = (Arc::clone(&processes[n % 2]), processes[0].browser.clone());
        let callback = callback.clone();
        callers.spawn(async move { app.callback_as(Some(&browser), &callback).await.unwrap() });
    }
    let answers = callers.join_all().await;
    assert!(answers.iter().all(|answer| answer.bytes == b"session 1 of OPENID-alice"));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!((fixture.tokens(), processes[0].sessions() + processes[1].sessions()), (1, 1));
    let stranger = BrowserBinder::generate().unwrap();
    let refused = processes[1].callback_as(Some(&stranger), &callback).await;
    assert!(matches!(refused, Err(Error::BrowserMismatch)));
}

#[tokio::test]
async fn a_login_ends_whichever_answer_of_redis_is_lost() {
    let (mut lost, mut changes) = (0, usize::MAX);
    while lost < changes {
        lost += 1;
        let fixture = Fixture::start().await;
        let (store, _prefix, proxy) = behind_proxy().await;
        let losing = Losing { store, proxy: Arc::new(proxy), changes: Arc::default(), loses: lost };
        // No renewal comes between.
        let calm = options().with_lease(Duration::from_secs(5));
        let app = App::on(Stores::new(losing.clone()), calm, [qq(&fixture)]);
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        let first = app.callback(&callback).await.unwrap();
        assert_eq!((first.bytes.as_slice(), first.replayed), (&b"session 1 of OPENID-alice"[..], false));
        let again = app.callback(&callback).await.unwrap();
        assert_eq!((again.bytes, again.replayed), (first.bytes, true), "change {lost}");
        assert_eq!((fixture.tokens(), app.sessions()), (1, 1), "change {lost}");
        assert!(losing.proxy.mode() == Mode::Pass && losing.proxy.connections() == 2, "change {lost} was not lost");
        changes = losing.changes.load(SeqCst);
    }
    // Begin, claim, code, tokens, the renewal before the last step, end: each once, so none was made twice.
    assert_eq!(changes, 6);
}

/// The lease is judged by the life of a key, which goes on without the process that set it.
#[tokio::test]
async fn the_claim_of_a_dead_process_runs_out_and_its_code_is_never_sent_again() {
    let fixture = Fixture::start().await;
    let prefix = testkit::redis::prefix();
    let survivor = process(&fixture, &prefix).await;
    let url = survivor.begin("qq").await;
    let old = fixture.approve(&url, "alice");
    fixture.close().await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn({
        let (fixture, browser, old) = (Arc::clone(&fixture), survivor.browser.clone(), old.clone());
        let (url, prefix) = (prefix.url().to_owned(), prefix.as_str().to_owned());
        async move {
            let redis = onceward_backend::Redis::connect(&url).await.unwrap().with_prefix(prefix);
            app(&fixture, RedisStore::new(redis)).callback_as(Some(&browser), &old).await
        }
    });
    fixture.arrived(1).await;
    runtime.shutdown_background();
    fixture.open();
    for _ in 0..2 {
        let refused = survivor.callback(&old).await.unwrap_err();
        assert!(matches!(refused, Error::Provider(Failure::Interrupted)), "{refused}");
    }
    assert_eq!(fixture.tokens(), 1);
    assert!(survivor.callback(&fixture.approve(&url, "alice")).await.is_ok());
    assert_eq!((fixture.tokens(), survivor.sessions()), (2, 1));
}

#[tokio::test]
async fn what_redis_forgot_is_begun_again_and_no_code_is_sent_twice() {
    let fixture = Fixture::start().await;
    let prefix = testkit::redis::prefix();
    let app = process(&fixture, &prefix).await;
    let alice = Account::new("qq", "OPENID-alice");

    // While it is pending.
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    forget_all(&prefix).await;
    assert!(matches!(app.callback(&callback).await, Err(Error::FlowNotFound)));
    assert_eq!(fixture.tokens(), 0);

    // While the code is at the provider.
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    fixture.close().await;
    let running = tokio::spawn({
        let (app, callback) = (Arc::clone(&app), callback.clone());
        async move { app.callback(&callback).await }
    });
    fixture.arrived(1).await;
    forget_all(&prefix).await;
    fixture.open();
    assert!(matches!(running.await.unwrap(), Err(Error::Provider(Failure::Interrupted))));
    assert!(matches!(app.callback(&callback).await, Err(Error::FlowNotFound)));
    assert_eq!((fixture.tokens(), app.sessions()), (1, 0));

    // When it has ended.
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    app.callback(&callback).await.unwrap();
    assert!(app.oauth.access_token(&alice).await.is_ok());
    forget_all(&prefix).await;
    assert!(matches!(app.callback(&callback).await, Err(Error::FlowNotFound)));
    assert!(matches!(app.oauth.access_token(&alice).await, Err(Error::ReauthRequired)));
    assert_eq!((fixture.tokens(), app.sessions()), (2, 1));
}

/// The client's clock, which tests and operators may set, decides about tokens and about nothing else.
#[tokio::test]
async fn the_clock_of_the_client_moves_no_life_in_redis() {
    let fixture = Fixture::start().await;
    let prefix = testkit::redis::prefix();
    let app = process(&fixture, &prefix).await;
    let alice = Account::new("qq", "OPENID-alice");
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    app.clock.forward(Duration::from_secs(50 * 86_400));
    let done = app.callback(&callback).await.unwrap();
    assert_eq!(app.callback(&callback).await.unwrap().bytes, done.bytes);
    assert!(app.oauth.access_token(&alice).await.is_ok());
    app.clock.forward(Duration::from_secs(91 * 86_400));
    assert!(matches!(app.oauth.access_token(&alice).await, Err(Error::ReauthRequired)));
    assert_eq!(app.callback(&callback).await.unwrap().bytes, done.bytes);
}
