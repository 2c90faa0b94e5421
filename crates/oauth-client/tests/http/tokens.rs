//! Tokens: when they may be sent, and how they lie in the store.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use onceward_backend::sqlite;
use onceward_oauth_client::{Account, Error, Failure, Stores, store::SqliteStore};
use secrecy::ExposeSecret as _;

use crate::{
    app::{App, options, qq},
    fixture::{Fixture, query},
};

#[tokio::test]
async fn a_token_past_its_expiry_is_never_sent() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let alice = Account::new("qq", "OPENID-alice");
    assert!(matches!(app.oauth.access_token(&alice).await, Err(Error::ReauthRequired)));
    fixture.expires_in.store(60, SeqCst);
    app.callback(&fixture.approve(&app.begin("qq").await, "alice")).await.unwrap();
    assert_eq!(app.oauth.access_token(&alice).await.unwrap().expose_secret(), "TOKEN-alice");
    assert_eq!(app.oauth.profile(&alice).await.unwrap().account, alice);

    let asked = fixture.api_calls.load(SeqCst);
    app.clock.forward(Duration::from_secs(61));
    assert!(matches!(app.oauth.access_token(&alice).await, Err(Error::ReauthRequired)));
    let stale = app.oauth.profile(&alice).await.unwrap_err();
    assert!(matches!(stale, Error::Provider(Failure::TokenRejected) | Error::ReauthRequired));
    assert_eq!(fixture.api_calls.load(SeqCst), asked, "nothing was sent");
}

#[tokio::test]
async fn a_token_that_is_born_expired_is_not_sent_either() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    fixture.expires_in.store(0, SeqCst);
    let refused = app.callback(&fixture.approve(&app.begin("qq").await, "alice")).await.unwrap_err();
    assert!(matches!(refused, Error::Provider(Failure::TokenRejected)), "{refused}");
    assert_eq!((fixture.api_calls.load(SeqCst), app.sessions()), (0, 0));
}

#[tokio::test]
async fn a_token_that_the_provider_rejects_asks_for_a_login() {
    let fixture = Fixture::start().await;
    let app = App::new(&fixture);
    let alice = Account::new("qq", "OPENID-alice");
    app.callback(&fixture.approve(&app.begin("qq").await, "alice")).await.unwrap();
    *fixture.me.lock().unwrap() = Some((200, "callback( {\"error\":100015} );"));
    assert!(matches!(app.oauth.profile(&alice).await, Err(Error::ReauthRequired)));
    *fixture.me.lock().unwrap() = Some((200, "callback( {\"client_id\":\"shop-app\",\"openid\":\"OPENID-bob\"} );"));
    *fixture.info.lock().unwrap() = Some((200, "{\"ret\":0}"));
    let other = app.oauth.profile(&alice).await;
    assert!(matches!(other, Err(Error::Provider(Failure::SubjectMismatch))));
    assert!(app.oauth.forget(&alice).await.unwrap());
    assert!(!app.oauth.forget(&alice).await.unwrap());
    assert!(matches!(app.oauth.access_token(&alice).await, Err(Error::ReauthRequired)));
}

#[tokio::test]
async fn nothing_secret_lies_open_in_the_database() {
    let fixture = Fixture::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite::open(folder.path().join("oauth.db")).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    let provider = qq(&fixture).with_pkce(onceward_oauth_client::Pkce::S256);
    let app = App::on(Stores::new(store), options(), [provider]);
    let url = app.begin("qq").await;
    let callback = fixture.approve(&url, "alice");
    let pending = file(folder.path());
    app.callback(&callback).await.unwrap();
    pool.close().await;
    let done = file(folder.path());

    let state = query(&url)["state"].clone();
    let code = query(&format!("http://x/?{callback}"))["code"].clone();
    let verifier = fixture.token_requests.lock().unwrap()[0].1["code_verifier"].clone();
    let secrets = [
        state.as_str(),
        &code,
        &verifier,
        app.browser.as_str(),
        "TOKEN-alice",
        "REFRESH-alice",
        "OPENID-alice",
        "session 1",
        "/cart",
    ];
    for secret in secrets {
        for (name, bytes) in [("pending", &pending), ("done", &done)] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in the {name} file");
        }
    }
    assert!(done.len() > 1_000, "the file was read");
}

/// The bytes of the database, its log included.
fn file(folder: &std::path::Path) -> Vec<u8> {
    std::fs::read_dir(folder).unwrap().flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}
