//! Logins that go well.

use std::{sync::Arc, time::Duration};

use onceward_backend::sqlite;
use onceward_oauth_client::{
    Account, ClientAuth, Failure, Pkce, Profile, Stores,
    store::{MemoryStore, SqliteStore},
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    app::{App, options, plain, qq},
    fixture::{Fixture, SECRET, query},
};

#[tokio::test]
async fn a_user_of_qq_logs_in() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let url = app.begin("qq").await;
    let asked = query(&url);
    assert_eq!(asked["scope"], "get_user_info");
    assert_eq!(asked["state"].len(), 64);
    assert!(!asked.contains_key("code_challenge"), "QQ does not document PKCE");

    let done = app.callback(&fixture.approve(&url, "alice")).await.unwrap();
    assert_eq!((done.bytes.as_slice(), done.replayed), (&b"session 1 of OPENID-alice"[..], false));
    let login = app.logins.lock().unwrap()[0].clone();
    assert_eq!(login.identity.account, Account::new("qq", "OPENID-alice"));
    assert_eq!(login.identity.profile, Profile::new(Some("小alice"), Some("http://q.example/alice")));
    assert_eq!(login.data, b"/cart");

    let requests = fixture.token_requests.lock().unwrap();
    let [(method, sent)] = requests.as_slice() else { panic!("one token request") };
    assert_eq!(method, "GET");
    assert_eq!(sent["redirect_uri"], asked["redirect_uri"]);
    assert_eq!(sent["client_secret"], SECRET);
    assert!(!sent.contains_key("code_verifier"));
}

#[tokio::test]
async fn a_user_of_a_standard_provider_logs_in_with_pkce() {
    let fixture = Fixture::start().await;
    for auth in [ClientAuth::Parameters, ClientAuth::Basic] {
        let provider = plain(&fixture).with_client_auth(auth).with_scopes(["user", "mail"]);
        let app = App::on(Stores::new(MemoryStore::new()), options(), [provider]);
        let url = app.begin("plain").await;
        assert_eq!(query(&url)["scope"], "user mail");
        let callback = fixture.approve(&url, "bob");
        let done = app.callback_at("plain", Some(&app.browser), &callback).await.unwrap();
        assert_eq!(done.bytes, b"session 1 of 42");
        let (method, sent) = fixture.token_requests.lock().unwrap().last().unwrap().clone();
        assert_eq!(method, "POST");
        // The fixture has compared it with the challenge.
        assert!((43..=128).contains(&sent["code_verifier"].len()));
        assert!(!url.contains(&sent["code_verifier"]));
    }
}

#[tokio::test]
async fn qq_takes_pkce_where_it_is_switched_on_and_each_login_has_its_own() {
    let fixture = Fixture::start().await;
    let provider = qq(&fixture).with_pkce(Pkce::S256).with_id("qq-pkce");
    let app = App::on(Stores::new(MemoryStore::new()), options(), [provider]);
    let (first, second) = (app.begin("qq-pkce").await, app.begin("qq-pkce").await);
    assert_ne!(query(&first)["code_challenge"], query(&second)["code_challenge"]);
    // A code that was bound to another login's challenge is worth nothing here.
    let foreign = fixture.approve(&first, "mallory");
    let state = query(&second)["state"].clone();
    let injected = format!("{}&state={state}", foreign.split('&').next().unwrap());
    let refused = app.callback_at("qq-pkce", Some(&app.browser), &injected).await.unwrap_err();
    assert!(matches!(refused, onceward_oauth_client::Error::Provider(Failure::CodeRejected)));
    let good = fixture.approve(&second, "alice");
    assert!(app.callback_at("qq-pkce", Some(&app.browser), &good).await.is_ok());
}

#[tokio::test]
async fn tabs_of_one_browser_do_not_disturb_each_other() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let urls = [app.begin("qq").await, app.begin("qq").await, app.begin("qq").await];
    for (number, url) in urls.iter().rev().enumerate() {
        let done = app.callback(&fixture.approve(url, "alice")).await.unwrap();
        assert_eq!(done.bytes, format!("session {} of OPENID-alice", number + 1).into_bytes());
    }
    let ids: Vec<_> = app.logins.lock().unwrap().iter().map(|login| login.id.clone()).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0].len() == 64);
}

/// Sends the same callback a hundred times at once, over all the apps in turn.
async fn a_hundred(fixture: &Arc<Fixture>, apps: Vec<App>) {
    let url = apps[0].begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let browser = apps[0].browser.clone();
    let apps: Arc<[App]> = apps.into();
    let start = Arc::new(Barrier::new(100));
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (apps, start) = (Arc::clone(&apps), Arc::clone(&start));
        let (callback, browser) = (callback.clone(), browser.clone());
        tasks.spawn(async move {
            start.wait().await;
            apps[number % apps.len()].callback_as(Some(&browser), &callback).await.unwrap()
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|done| done.bytes == b"session 1 of OPENID-alice"));
    assert_eq!(answers.iter().filter(|done| !done.replayed).count(), 1);
    assert_eq!(fixture.tokens(), 1, "token requests");
    assert_eq!(apps.iter().map(App::sessions).sum::<usize>(), 1, "sessions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_callbacks_are_one_token_request_and_a_hundred_equal_answers() {
    let fixture = Fixture::start().await;
    a_hundred(&fixture, vec![App::new(&fixture)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_callbacks_at_two_processes_of_one_database_are_one_token_request() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut apps = Vec::new();
    for _ in 0..2 {
        // Each has its own pool; that they share a process only makes the race tighter.
        let store = SqliteStore::new(sqlite::open(folder.path().join("oauth.db")).await.unwrap());
        store.migrate().await.unwrap();
        apps.push(App::on(Stores::new(store), options(), [qq(&fixture)]));
    }
    a_hundred(&fixture, apps).await;
}

#[tokio::test]
async fn a_repeated_callback_gets_the_same_answer_until_it_is_forgotten() {
    let fixture = Fixture::start().await;
    let kept = Duration::from_millis(800);
    let app = App::with(&fixture, options().with_done_ttl(kept));
    let callback = fixture.approve(&app.begin("qq").await, "alice");
    let first = app.callback(&callback).await.unwrap();
    let again = app.callback(&callback).await.unwrap();
    assert_eq!((again.bytes, again.replayed), (first.bytes, true));
    tokio::time::sleep(kept * 2).await;
    let late = app.callback(&callback).await.unwrap_err();
    assert!(matches!(late, onceward_oauth_client::Error::FlowNotFound), "{late}");
    assert_eq!((fixture.tokens(), app.sessions()), (1, 1));
}

#[tokio::test]
async fn a_second_login_replaces_the_tokens_of_the_first() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    for _ in 0..2 {
        app.callback(&fixture.approve(&app.begin("qq").await, "alice")).await.unwrap();
    }
    assert_eq!(app.sessions(), 2);
    assert!(app.oauth.access_token(&Account::new("qq", "OPENID-alice")).await.is_ok());
    assert_eq!(app.oauth.purge(100).await.unwrap(), 0, "nothing has expired");
}
