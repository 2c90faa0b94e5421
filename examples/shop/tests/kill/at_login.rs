//! The shop is killed while it ends a login: the login can still be ended, and the guest's cart comes along once.

use std::time::Duration;

use crate::support::{SOON, Shop, holds, plenty};

/// Killed at `mark` while the callback runs.
async fn killed_at(mark: &str) {
    let mut shop = Shop::pinned(Some(mark)).await;
    let browser = shop.visitor();
    let (a, b) = (plenty(0).0, plenty(1).0);
    browser.put(&a, 2).await;
    browser.put(&b, 3).await;
    let authorize = browser.start("/cart").await.unwrap();
    let callback = browser.approve(&authorize, "alice", "approve").await.unwrap();
    let call = tokio::spawn({
        let (browser, callback) = (browser.clone(), callback.clone());
        async move { browser.get(&callback).await.map(|answer| answer.status).map_err(|error| error.to_string()) }
    });
    shop.child.wait_for_mark(mark, SOON).await;
    shop.child.kill();
    call.await.unwrap().ok();

    let shop = shop.again([]).await;
    // The code may be lost with the process, the login is not: who sees an error opens the same page again.
    let again = browser.get(&callback).await.unwrap();
    assert!(again.status == 303 || (400..=503).contains(&again.status) && again.status != 500, "{again:?}");
    if again.status != 303 {
        let ended = testkit::eventually(Duration::from_secs(20), async || {
            let callback = browser.approve(&authorize, "alice", "approve").await.unwrap();
            let answer = browser.get(&callback).await.unwrap();
            if answer.status == 303 { Ok(answer.location) } else { Err(format!("{answer:?}")) }
        });
        assert_eq!(ended.await.as_deref(), Some("/cart"));
    }
    assert_eq!(
        browser.read("/account").await["user"]["nickname"].as_str().map(str::to_lowercase).as_deref(),
        Some("alice")
    );
    let mut expected = [(a, 2), (b, 3)];
    expected.sort();
    assert_eq!(browser.lines().await, expected, "the guest's cart came along once");
    browser.write("/logout", &[]).await.see_other("/");
    browser.login("alice", "/").await.unwrap();
    assert_eq!(browser.lines().await, expected);
    holds(&shop.verify().await);
}

#[tokio::test]
async fn before_the_code_is_sent() {
    killed_at("oauth.claimed").await;
}

#[tokio::test]
async fn after_the_code_was_sent() {
    killed_at("oauth.exchanged").await;
}

#[tokio::test]
async fn with_the_guests_cart_sealed() {
    killed_at("cart.sealed").await;
}

#[tokio::test]
async fn with_the_guests_cart_in_both_carts() {
    killed_at("cart.absorbed").await;
}

#[tokio::test]
async fn with_the_guests_cart_moved() {
    killed_at("cart.tombstoned").await;
}

#[tokio::test]
async fn with_the_session_begun_and_nobody_told() {
    killed_at("oauth.finished").await;
}
