//! `/auth/{provider}/callback`: whose it is, how often it counts, what is left of a login that did not end.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::support::{Reply, Shared, Visitor, plenty, reply, set_cookies, shared};

/// A browser whose cookies lie open: it can send those of an earlier moment.
struct Hand {
    visitor: Visitor,
    jar: BTreeMap<String, String>,
}

impl Hand {
    fn new(shop: &Shared) -> Self {
        Self { visitor: shop.visitor(), jar: BTreeMap::new() }
    }

    fn cookies(&self) -> String {
        self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn get(&mut self, path: &str) -> Reply {
        let answer = reply(self.visitor.with_cookie("GET", path, &self.cookies())).await;
        for cookie in set_cookies(&answer.headers) {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.jar.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Starts a login and approves it: the callback's address, not called yet.
    async fn approved(&mut self, user: &str, return_to: &str) -> String {
        let start = self.get(&format!("/auth/qq/start?return_to={return_to}")).await;
        self.visitor.approve(start.location(), user, "approve").await.unwrap()
    }
}

fn session(answer: &Reply) -> String {
    answer.cookie("shop_session").unwrap_or_else(|| panic!("no session in {:?}", answer.headers))
}

#[track_caller]
fn refused(answer: &Reply) {
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text);
    answer.problem(answer.status);
    let sent = set_cookies(&answer.headers);
    assert!(sent.len() <= 1, "a refused login may make a new guest at most: {sent:?}");
}

#[tokio::test]
async fn a_repeated_callback_is_the_same_answer_before_and_after_the_first_ones_cookies() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    browser.get("/").await;
    let callback = browser.approved(member.user, "/orders").await;
    let before = browser.cookies();
    let first = browser.get(&callback).await;
    first.see_other("/orders");
    let after = browser.cookies();
    assert_ne!(before, after);
    for cookies in [&before, &after, &before] {
        let again = reply(browser.visitor.with_cookie("GET", &callback, cookies)).await;
        again.see_other("/orders");
        assert_eq!(session(&again), session(&first));
    }
    assert_eq!(browser.get("/account").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_callbacks_are_one_login_and_one_merge() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    let (sku, _) = plenty(0);
    let csrf = browser.get("/cart").await.json()["csrf"].as_str().unwrap().to_owned();
    let add = browser.visitor.with_cookie("POST", "/cart/lines", &browser.cookies());
    reply(add.form(&[("csrf", csrf.as_str()), ("sku", &sku), ("quantity", "3")])).await.see_other("/cart");

    let callback = browser.approved(member.user, "/cart").await;
    let answers =
        (0..20).map(|_| tokio::spawn(reply(browser.visitor.with_cookie("GET", &callback, &browser.cookies()))));
    let answers: Vec<_> = join_all(answers).await.into_iter().map(Result::unwrap).collect();
    for answer in &answers {
        answer.see_other("/cart");
        assert_eq!(session(answer), session(&answers[0]));
    }
    assert_eq!(member.lines().await, [(sku, 3)]);
}

#[tokio::test]
async fn another_browser_cannot_end_a_login() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut owner = Hand::new(&shop);
    let callback = owner.approved(member.user, "/cart").await;

    // One that never started a login, and one that has a pending login of its own.
    let mut strangers = [Hand::new(&shop), Hand::new(&shop)];
    strangers[1].approved(member.user, "/").await;
    for stranger in &mut strangers {
        stranger.get("/").await;
        refused(&stranger.get(&callback).await);
        assert_eq!(stranger.get("/account").await.status, 401);
    }
    owner.get(&callback).await.see_other("/cart");
    for stranger in &mut strangers {
        refused(&stranger.get(&callback).await);
        assert_eq!(stranger.get("/account").await.status, 401, "nor replay its answer");
    }
}

#[tokio::test]
async fn a_callback_with_a_wrong_or_missing_part_changes_nothing() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    browser.get("/").await;
    let callback = browser.approved(member.user, "/cart").await;
    let query = callback.split_once('?').unwrap().1;
    let part = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("no {name} in {query}")).to_owned()
    };
    let (state, code) = (part("state"), part("code"));
    let other = Hand::new(&shop).approved(member.user, "/").await;
    let others = other.split_once('?').unwrap().1.split('&').find_map(|pair| pair.strip_prefix("state=")).unwrap();
    let turned: String = state.chars().rev().collect();
    for query in [
        String::new(),
        "?".into(),
        "?code=&state=".into(),
        format!("?code={code}"),
        format!("?state={state}"),
        format!("?code={code}&state="),
        format!("?code=&state={state}"),
        format!("?code={code}&state=x"),
        format!("?code={code}&state={turned}"),
        format!("?code={code}&state={state}x"),
        format!("?code={code}&state={}", &state[1..]),
        format!("?code={code}&state={others}"),
        format!("?code={code}&state=%ff%00"),
        format!("?code={code}&state={}", "s".repeat(5_000)),
        format!("?error=access_denied&state={state}"),
        format!("?usercancel=1&state={state}"),
        format!("?usercancel=1&state={turned}"),
    ] {
        let answer = browser.get(&format!("/auth/qq/callback{query}")).await;
        assert!((400..500).contains(&answer.status), "{query}: {} {}", answer.status, answer.text);
        refused(&answer);
        let page = reply(browser.visitor.html("GET", &format!("/auth/qq/callback{query}"))).await;
        assert!((400..500).contains(&page.status), "{query}: {}", page.status);
        page.page(page.status);
    }
    for path in ["/auth/github/callback", "/auth/QQ/callback"] {
        browser.get(&format!("{path}?code={code}&state={state}")).await.problem(404);
    }
    assert_eq!(browser.get("/account").await.status, 401);
    browser.get(&callback).await.see_other("/cart");
    assert_eq!(browser.get("/account").await.status, 200);
}

#[tokio::test]
async fn a_code_that_the_provider_refuses_leaves_the_login_to_its_owner() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    let start = browser.get("/auth/qq/start?return_to=/cart").await;
    let authorize = start.location().to_owned();
    let callback = browser.visitor.approve(&authorize, member.user, "approve").await.unwrap();
    let state = callback.split_once("state=").unwrap().1.split('&').next().unwrap();
    refused(&browser.get(&format!("/auth/qq/callback?code=INVENTED&state={state}")).await);

    let again = browser.visitor.approve(&authorize, member.user, "approve").await.unwrap();
    browser.get(&again).await.see_other("/cart");
}

#[tokio::test]
async fn another_code_for_a_used_state_is_refused() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    let start = browser.get("/auth/qq/start?return_to=/cart").await;
    let authorize = start.location().to_owned();
    let first = browser.visitor.approve(&authorize, member.user, "approve").await.unwrap();
    browser.get(&first).await.see_other("/cart");
    let cookies = browser.cookies();

    let second = browser.visitor.approve(&authorize, member.user, "approve").await.unwrap();
    assert_ne!(first, second);
    refused(&browser.get(&second).await);
    assert_eq!(browser.cookies(), cookies);
    assert_eq!(browser.get("/account").await.status, 200, "still signed in");
}

#[tokio::test]
async fn who_denied_can_approve_on_the_same_page() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut browser = Hand::new(&shop);
    browser.get("/").await;
    let start = browser.get("/auth/qq/start?return_to=/wallet").await;
    let authorize = start.location().to_owned();
    for _ in 0..2 {
        let denied = browser.visitor.approve(&authorize, member.user, "deny").await.unwrap();
        refused(&browser.get(&denied).await);
        assert_eq!(browser.get("/account").await.status, 401);
    }
    let approved = browser.visitor.approve(&authorize, member.user, "approve").await.unwrap();
    browser.get(&approved).await.see_other("/wallet");
}

#[tokio::test]
async fn a_callback_from_before_a_logout_does_not_sign_in_again() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    let callback = visitor.approve(&visitor.start("/").await.unwrap(), member.user, "approve").await.unwrap();
    visitor.get(&callback).await.unwrap().see_other().unwrap();
    visitor.write("/logout", &[]).await.see_other("/");
    visitor.get(&callback).await.unwrap();
    reply(visitor.json("GET", "/account")).await.problem(401);
}

#[tokio::test]
async fn a_browser_cookie_that_means_nothing_starts_anew() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    for value in ["", "x", "%00", "\"", &"A".repeat(43), &"A".repeat(5_000)] {
        let cookie = format!("shop_browser={value}");
        let start = reply(visitor.with_cookie("GET", "/auth/qq/start", &cookie)).await;
        assert_eq!(start.status, 303, "{cookie}: {}", start.text);
        let approved = visitor.approve(start.location(), member.user, "approve").await.unwrap();
        refused(&reply(visitor.with_cookie("GET", &approved, "shop_browser=y")).await);
        let own = format!("shop_browser={}", start.cookie("shop_browser").unwrap());
        reply(visitor.with_cookie("GET", &approved, &own)).await.see_other("/");
    }
}
