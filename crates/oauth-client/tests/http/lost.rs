//! Callers that go away and processes that die in the middle.

use std::{path::Path, sync::Arc, time::Duration};

use onceward_backend::sqlite;
use onceward_oauth_client::{Error, Failure, Stores, store::SqliteStore};

use crate::{
    app::{App, options, qq},
    fixture::{Fixture, until},
};

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_login() {
    let fixture = Fixture::start().await;
    let app = Arc::new(App::new(&fixture));
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    fixture.close().await;
    let caller = tokio::spawn({
        let (app, callback) = (Arc::clone(&app), callback.clone());
        async move { app.callback(&callback).await }
    });
    fixture.arrived(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    fixture.open();
    app.tasks.close();
    app.tasks.wait().await;
    assert_eq!(app.sessions(), 1, "the login ended without its caller");
    let again = app.callback(&callback).await.unwrap();
    assert_eq!((again.bytes.as_slice(), again.replayed), (&b"session 1 of OPENID-alice"[..], true));
    assert_eq!(fixture.tokens(), 1);
}

#[tokio::test]
async fn a_hundred_callers_that_go_away_at_any_moment_lose_nothing() {
    let fixture = Fixture::start().await;
    let app = Arc::new(App::new(&fixture));
    for patience in 0..100_u64 {
        let callback = fixture.approve(&app.begin("qq").await, "alice");
        let patience = Duration::from_micros(patience * 40);
        let _ = tokio::time::timeout(patience, app.callback(&callback)).await;
        app.callback(&callback).await.unwrap();
    }
    assert_eq!((fixture.tokens(), app.sessions()), (100, 100));
}

async fn process(fixture: &Fixture, folder: &Path) -> App {
    let store = SqliteStore::new(sqlite::open(folder.join("oauth.db")).await.unwrap());
    store.migrate().await.unwrap();
    App::on(Stores::new(store), options(), [qq(fixture)])
}

/// Runs a callback on a runtime of its own and takes the runtime away while the code is at the provider: nothing of
/// it runs any more, no task is told, and what stays is what stands in the file.
async fn die_in_the_middle(fixture: &Arc<Fixture>, folder: &Path) -> (App, String, String) {
    let survivor = process(fixture, folder).await;
    let url = survivor.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    fixture.close().await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn({
        let (fixture, folder) = (Arc::clone(fixture), folder.to_owned());
        let (callback, browser) = (callback.clone(), survivor.browser.clone());
        async move { process(&fixture, &folder).await.callback_as(Some(&browser), &callback).await }
    });
    fixture.arrived(1).await;
    runtime.shutdown_background();
    fixture.open();
    (survivor, url, callback)
}

#[tokio::test]
async fn after_a_death_in_the_middle_a_fresh_code_ends_the_login_in_one_request() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, url, old) = die_in_the_middle(&fixture, folder.path()).await;
    let done = app.callback(&fixture.approve(&url, "alice")).await.unwrap();
    assert_eq!(done.bytes, b"session 1 of OPENID-alice");
    assert!(matches!(app.callback(&old).await, Err(Error::StateUsed)));
    assert_eq!(fixture.tokens(), 2, "one for each code");
}

#[tokio::test]
async fn after_a_death_in_the_middle_the_old_code_is_given_up_and_never_sent_again() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, url, old) = die_in_the_middle(&fixture, folder.path()).await;
    for _ in 0..2 {
        let refused = app.callback(&old).await.unwrap_err();
        assert!(matches!(refused, Error::Provider(Failure::Interrupted)), "{refused}");
        assert_eq!(refused.status(), 409);
    }
    assert_eq!(fixture.tokens(), 1);
    assert!(app.callback(&fixture.approve(&url, "alice")).await.is_ok());
    assert_eq!((fixture.tokens(), app.sessions()), (2, 1));
}

#[tokio::test]
async fn a_login_begun_before_a_restart_ends_after_it() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (url, browser) = {
        let before = process(&fixture, folder.path()).await;
        (before.begin("qq").await, before.browser.clone())
    };
    let after = process(&fixture, folder.path()).await;
    let callback = fixture.approve(&url, "alice");
    let first = after.callback_as(Some(&browser), &callback).await.unwrap();
    let later = process(&fixture, folder.path()).await;
    let again = later.callback_as(Some(&browser), &callback).await.unwrap();
    assert_eq!((again.bytes, again.replayed), (first.bytes, true), "the answer survives as well");
    until(|| fixture.tokens() == 1).await;
}
