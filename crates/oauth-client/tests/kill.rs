//! A process that is killed at each point of a callback, and what the next process on the same file answers.
//!
//! The program is its own child: with `ONCEWARD_CALLBACK` set it runs that callback and blocks at the given mark.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    dead_code,
    missing_docs,
    missing_debug_implementations,
    reason = "a test program"
)]

use std::{path::Path, time::Duration};

use onceward_backend::{internal::set_mark_hook, sqlite};
use onceward_oauth_client::{BrowserBinder, Error, Failure, Provider, Stores, store::SqliteStore};
use testkit::Child;

#[path = "http/app.rs"]
mod app;
#[path = "http/fixture.rs"]
mod fixture;

use app::{App, options};
use fixture::Fixture;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    match std::env::var("ONCEWARD_CALLBACK") {
        Ok(callback) => child(&callback).await,
        Err(_) => parent().await,
    }
}

async fn open(folder: &Path, provider: Provider) -> App {
    let store = SqliteStore::new(sqlite::open(folder.join("oauth.db")).await.unwrap());
    store.migrate().await.unwrap();
    App::on(Stores::new(store), options(), [provider])
}

async fn child(callback: &str) {
    let var = |name: &str| std::env::var(format!("ONCEWARD_{name}")).unwrap();
    set_mark_hook(|name| {
        println!("mark {name}");
        if std::env::var("ONCEWARD_BLOCK_AT").unwrap() == name {
            loop {
                std::thread::park();
            }
        }
    });
    let provider = Provider::qq(fixture::CLIENT_ID, fixture::SECRET.into(), app::QQ_REDIRECT);
    let app = open(Path::new(&var("FOLDER")), provider.with_origin(var("ORIGIN"))).await;
    let done = app.callback_as(BrowserBinder::parse(&var("BROWSER")).as_ref(), callback).await;
    println!("done {}", String::from_utf8(done.unwrap().bytes).unwrap());
    std::future::pending::<()>().await;
}

/// Begins a login, lets a child end it up to the mark, and kills the child there.
async fn killed(fixture: &Fixture, folder: &Path, mark: &str) -> (App, String, String) {
    let app = open(folder, app::qq(fixture)).await;
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let mut child = Child::of(std::env::current_exe().unwrap())
        .env("ONCEWARD_CALLBACK", &callback)
        .env("ONCEWARD_BLOCK_AT", mark)
        .env("ONCEWARD_FOLDER", folder)
        .env("ONCEWARD_ORIGIN", &fixture.origin)
        .env("ONCEWARD_BROWSER", app.browser.as_str())
        .start();
    if mark == "done" {
        child.wait_for_line(|line| line.starts_with("done "), PATIENCE).await;
    } else {
        child.wait_for_mark(mark, PATIENCE).await;
    }
    child.kill();
    (app, url, callback)
}

async fn parent() {
    let mut passed = 0;
    for (mark, sent) in [("oauth.claimed", 0), ("oauth.exchanged", 1), ("oauth.finished", 1)] {
        a_fresh_code_ends_the_login(mark, sent).await;
        println!("test a_fresh_code_ends_the_login_after_a_kill_at {mark} ... ok");
        the_old_code_is_given_up(mark, sent).await;
        println!("test the_old_code_is_given_up_after_a_kill_at {mark} ... ok");
        passed += 2;
    }
    the_answer_survives_its_process().await;
    println!("test the_answer_survives_its_process ... ok");
    // In the form that the other test programs have, so that it is counted; a failure has panicked before.
    println!("test result: ok. {} passed; 0 failed", passed + 1);
}

async fn a_fresh_code_ends_the_login(mark: &str, sent: usize) {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, url, _) = killed(&fixture, folder.path(), mark).await;
    assert_eq!(fixture.tokens(), sent, "{mark}");
    let done = app.callback(&fixture.approve(&url, "alice")).await;
    assert_eq!(done.unwrap().bytes, b"session 1 of OPENID-alice", "{mark}");
    assert_eq!(fixture.tokens(), sent + 1, "{mark}");
}

async fn the_old_code_is_given_up(mark: &str, sent: usize) {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, url, old) = killed(&fixture, folder.path(), mark).await;
    for _ in 0..2 {
        let refused = app.callback(&old).await.unwrap_err();
        assert!(matches!(refused, Error::Provider(Failure::Interrupted)), "{mark}: {refused}");
    }
    assert_eq!(fixture.tokens(), sent, "{mark}: the old code is not sent again");
    app.callback(&fixture.approve(&url, "alice")).await.unwrap();
}

async fn the_answer_survives_its_process() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (app, _, callback) = killed(&fixture, folder.path(), "done").await;
    let again = app.callback(&callback).await.unwrap();
    assert_eq!((again.bytes.as_slice(), again.replayed), (&b"session 1 of OPENID-alice"[..], true));
    assert_eq!((fixture.tokens(), app.sessions()), (1, 0));
}
