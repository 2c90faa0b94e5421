//! Cookies: what they look like, and what becomes of those that do not verify.

use std::collections::BTreeSet;

use crate::support::{Visitor, host, plenty, raw, reply, set_cookies, shared};

const MEMBERS_ONLY: [&str; 5] = ["/account", "/checkout", "/orders", "/orders/nothing", "/wallet"];

/// The `Cookie` value of a new guest.
async fn guest(visitor: &Visitor) -> (String, String) {
    reply(visitor.with_cookie("GET", "/", "")).await.only_cookie()
}

#[tokio::test]
async fn cookies_are_closed_to_scripts_and_other_sites() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let mut seen = BTreeSet::new();
    let mut look = |headers: &reqwest::header::HeaderMap| {
        for cookie in set_cookies(headers) {
            let mut parts = cookie.split("; ").map(str::to_lowercase);
            let (name, _) = cookie.split_once('=').unwrap();
            seen.insert(name.to_owned());
            let attributes: BTreeSet<_> = parts.by_ref().skip(1).collect();
            for wanted in ["httponly", "samesite=lax", "path=/"] {
                assert!(attributes.contains(wanted), "{cookie}");
            }
            // Plain http: a browser would refuse both.
            assert!(!attributes.contains("secure") && !name.starts_with("__"), "{cookie}");
            assert!(!attributes.iter().any(|attribute| attribute.starts_with("domain")), "{cookie}");
        }
    };
    look(&reply(visitor.html("GET", "/")).await.headers);
    look(&reply(visitor.html("GET", "/checkout")).await.headers);
    let start = reply(visitor.html("GET", "/auth/qq/start?return_to=/cart")).await;
    look(&start.headers);
    let callback = visitor.approve(start.location(), "alice", "approve").await.unwrap();
    look(&reply(visitor.html("GET", &callback)).await.headers);
    let csrf = visitor.csrf().await.unwrap();
    look(&reply(visitor.html("POST", "/logout").form(&[("csrf", csrf)])).await.headers);

    let page = reply(shop.visitor().html("GET", start.location())).await;
    let theirs: BTreeSet<_> =
        set_cookies(&page.headers).iter().filter_map(|cookie| Some(cookie.split_once('=')?.0.to_owned())).collect();
    assert!(seen.len() >= 2 && !theirs.is_empty(), "{seen:?} {theirs:?}");
    assert!(seen.is_disjoint(&theirs), "a jar ignores ports: {seen:?} {theirs:?}");
}

#[tokio::test]
async fn a_cookie_that_does_not_verify_makes_a_new_guest() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (name, value) = guest(&visitor).await;
    let good = format!("{name}={value}");
    let known = reply(visitor.with_cookie("GET", "/cart", &good)).await;
    assert_eq!(set_cookies(&known.headers), Vec::<String>::new(), "a good one is kept");
    let csrf = known.json()["csrf"].as_str().unwrap().to_owned();

    let changed = |at: usize| {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let bad = [
        String::new(),
        "x".into(),
        value[..value.len() - 2].to_owned(),
        format!("{value}AA"),
        changed(0),
        changed(4),
        changed(value.len() / 2),
        changed(value.len() - 3),
        "A".repeat(value.len()),
        "A".repeat(6_000),
        "%00".into(),
        "../../etc/passwd".into(),
        "' or 1=1 --".into(),
        "\"".into(),
    ];
    for value in &bad {
        let cookie = format!("{name}={value}");
        for path in ["/", "/cart", "/login"] {
            let page = reply(visitor.with_cookie("GET", path, &cookie)).await;
            assert_eq!(page.status, 200, "{cookie}: {}", page.text);
            let (renewed, fresh) = page.only_cookie();
            assert!(renewed == name && fresh != *value, "{cookie}");
            assert_ne!(page.json()["csrf"], csrf);
        }
        for path in MEMBERS_ONLY {
            reply(visitor.with_cookie("GET", path, &cookie)).await.problem(401);
        }
        let form = [("csrf", csrf.clone()), ("sku", plenty(0).0)];
        reply(visitor.with_cookie("POST", "/cart/lines", &cookie).form(&form)).await.problem(403);
    }
    let form = [("csrf", csrf), ("sku", plenty(0).0)];
    reply(visitor.with_cookie("POST", "/cart/lines", &good).form(&form)).await.see_other("/cart");
}

#[tokio::test]
async fn bytes_that_are_no_text_in_a_cookie_make_a_new_guest() {
    let shop = shared().await;
    let name = guest(&shop.visitor()).await.0;
    let mut request =
        format!("GET /cart HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: application/json\r\ncookie: {name}=")
            .into_bytes();
    request.extend_from_slice(b"\xff\xfe\x80\r\n\r\n");
    let answer = raw(host(&shop.origin), &[&request]).await;
    assert_eq!((answer.status, answer.only_cookie().0), (200, name));
}

#[tokio::test]
async fn member_pages_are_401_for_guests_and_lead_people_to_the_login() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for path in MEMBERS_ONLY {
        reply(visitor.json("GET", path)).await.problem(401);
        reply(visitor.html("GET", path)).await.see_other("/login");
    }
    let csrf = visitor.csrf().await.unwrap();
    let form = [("csrf", csrf.as_str()), ("order_token", "x")];
    reply(visitor.json("POST", "/checkout").form(&form)).await.problem(401);
    reply(visitor.html("POST", "/checkout").form(&form)).await.see_other("/login");
}

/// A member's cookie, sent by hand: `name=value`, and the csrf value of its session.
async fn signed_in(visitor: &Visitor, user: &str) -> (String, String) {
    let callback = visitor.approve(&visitor.start("/").await.unwrap(), user, "approve").await.unwrap();
    let name = guest(visitor).await.0;
    let value = reply(visitor.json("GET", &callback)).await.cookie(&name).unwrap();
    (format!("{name}={value}"), visitor.csrf().await.unwrap())
}

#[tokio::test]
async fn a_cookie_ends_at_logout_wherever_a_copy_of_it_lies() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    let (copy, csrf) = signed_in(&visitor, member.user).await;
    assert_eq!(reply(visitor.with_cookie("GET", "/account", &copy)).await.status, 200);

    let out = visitor.write("/logout", &[]).await;
    out.see_other("/");
    assert_eq!(out.only_cookie().0, copy.split_once('=').unwrap().0, "a new guest");
    assert_eq!(visitor.read("/cart").await["owner"], "guest");
    for path in MEMBERS_ONLY {
        reply(visitor.json("GET", path)).await.problem(401);
        reply(visitor.with_cookie("GET", path, &copy)).await.problem(401);
    }
    let form = [("csrf", csrf), ("sku", plenty(0).0)];
    reply(visitor.with_cookie("POST", "/cart/lines", &copy).form(&form)).await.problem(403);
    reply(visitor.with_cookie("POST", "/logout", &copy).form(&form)).await.problem(403);
    assert_eq!(reply(visitor.with_cookie("GET", "/cart", &copy)).await.json()["owner"], "guest");
    assert_eq!(member.read("/account").await["user"]["provider"], "qq", "the user's other session goes on");
}

#[tokio::test]
async fn a_guests_logout_makes_another_guest() {
    let shop = shared().await;
    let visitor = shop.visitor();
    visitor.put(&plenty(0).0, 1).await;
    visitor.write("/logout", &[]).await.see_other("/");
    assert_eq!(visitor.lines().await, []);
}

#[tokio::test]
async fn a_guests_cookie_ends_at_login() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    let (name, value) = reply(visitor.json("GET", "/")).await.only_cookie();
    let copy = format!("{name}={value}");
    let csrf = visitor.csrf().await.unwrap();
    let (own, _) = signed_in(&visitor, member.user).await;
    assert_ne!(own, copy);
    let page = reply(visitor.with_cookie("GET", "/cart", &copy)).await;
    assert_eq!((page.status, page.json()["owner"].as_str()), (200, Some("guest")));
    assert_ne!(page.only_cookie().1, value, "not the old guest");
    let form = [("csrf", csrf), ("sku", plenty(0).0)];
    reply(visitor.with_cookie("POST", "/cart/lines", &copy).form(&form)).await.problem(403);
}

#[tokio::test]
async fn other_cookies_do_not_hide_the_sessions_own() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (name, value) = guest(&visitor).await;
    let own = format!("{name}={value}");
    let csrf = reply(visitor.with_cookie("GET", "/cart", &own)).await.json()["csrf"].clone();
    for cookies in [
        format!("a=1; {own}"),
        format!("{own};a=1"),
        format!("=; ;;a; {own}"),
        format!("{name}=stale; {own}"),
        format!("{name}x=1; x{name}=2; {own}"),
        format!("big={}; {own}", "x".repeat(3_000)),
    ] {
        let page = reply(visitor.with_cookie("GET", "/cart", &cookies)).await;
        assert_eq!(page.json()["csrf"], csrf, "{cookies}");
    }
}
