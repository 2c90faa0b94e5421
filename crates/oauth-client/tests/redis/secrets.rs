//! Nothing in Redis can be read by somebody who reads all of it.

use std::sync::Arc;

use onceward_oauth_client::{FlowStore, Stores};
use testkit::redis::Prefix;

use crate::{
    LONG,
    app::{App, QQ_REDIRECT, options, plain, qq},
    fixture::{Fixture, SECRET, query},
    id, keys, make, raw, value,
};

/// Every key and every value of the test, one after the other; of any type, since a dump has it all.
async fn everything(prefix: &Prefix) -> Vec<u8> {
    let mut bytes = Vec::new();
    for key in keys(prefix).await {
        let kind: String = raw(prefix, &crate::on("TYPE", &format!("{}{key}", prefix.as_str()))).await;
        assert_eq!(kind, "string", "{key}");
        assert!(crate::life(prefix, &key).await > 0, "{key} lives for ever");
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend(value(prefix, &key).await);
    }
    bytes
}

fn contains(bytes: &[u8], wanted: &str) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

#[tokio::test]
async fn no_secret_and_no_name_can_be_read_in_any_phase_and_no_key_lives_for_ever() {
    let fixture = Fixture::start().await;
    let (store, prefix) = make().await;
    let app = Arc::new(App::on(Stores::new(store.clone()), options(), [qq(&fixture), plain(&fixture)]));
    let mut phases = Vec::new();
    // The user's name is part of the code, the token, the openid and the nickname that the fixture makes.
    let mut secrets: Vec<String> =
        ["alice", "小", "TOKEN-", "REFRESH-", "OPENID-", "CODE-", "session 1", "/cart", SECRET]
            .map(str::to_owned)
            .to_vec();
    secrets.extend([app.browser.as_str().to_owned(), QQ_REDIRECT.to_owned()]);

    for provider in ["qq", "plain"] {
        let url = app.begin(provider).await;
        phases.push(("pending", everything(&prefix).await));
        let callback = fixture.approve(&url, "alice");
        let asked = query(&format!("http://x/?{callback}"));
        secrets.extend([asked["state"].clone(), asked["code"].clone()]);
        fixture.close().await;
        let sent = fixture.tokens() + 1;
        let running = tokio::spawn({
            let (app, callback) = (Arc::clone(&app), callback.clone());
            async move { app.callback_at(provider, Some(&app.browser), &callback).await }
        });
        fixture.arrived(sent).await;
        phases.push(("running", everything(&prefix).await));
        fixture.open();
        running.await.unwrap().unwrap();
        phases.push(("done", everything(&prefix).await));
    }
    *fixture.token.lock().unwrap() = Some((200, "callback( {\"error\":100020} );"));
    let refused = fixture.approve(&app.begin("qq").await, "alice");
    assert!(app.callback(&refused).await.is_err());
    phases.push(("failed", everything(&prefix).await));
    let verifier = fixture.token_requests.lock().unwrap()[1].1["code_verifier"].clone();
    secrets.push(verifier);

    // Three logins, three codes, two accounts.
    assert_eq!(keys(&prefix).await.len(), 8);
    for (phase, bytes) in phases {
        for secret in &secrets {
            assert!(!contains(&bytes, secret), "{secret} can be read while a login is {phase}");
        }
    }
    // What is not sealed would be found.
    store.insert(&id("control"), b"TOKEN-control", LONG).await.unwrap();
    assert!(contains(&everything(&prefix).await, "TOKEN-control"));
}
