//! Signing in and out: where it leads, whose cart it is afterwards.

use futures_util::future::join_all;

use crate::support::{Visitor, forms, links, members, plenty, reply, shared};

#[tokio::test]
async fn the_login_page_links_every_way_to_sign_in() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let page = visitor.page("/login").await;
    assert!(links(&page).iter().any(|link| link.starts_with("/auth/qq/start")), "{page}");
}

#[tokio::test]
async fn the_start_leads_to_the_provider_and_an_unknown_provider_is_404() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let start = reply(visitor.html("GET", "/auth/qq/start")).await;
    assert_eq!(start.status, 303);
    assert!(start.location().starts_with(&format!("{}/oauth2.0/authorize?", shop.qq)), "{}", start.location());
    let page = reply(visitor.html("GET", start.location())).await;
    assert_eq!((page.status, forms(&page.text).len()), (200, 1));
    for path in ["/auth/github/start", "/auth/%20/start", "/auth/qq%00/start", "/auth/QQ/start", "/auth//start"] {
        reply(visitor.json("GET", path)).await.problem(404);
        reply(visitor.html("GET", path)).await.page(404);
    }
}

#[tokio::test]
async fn return_to_stays_on_this_shop() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let long = format!("/search?q={}", "x".repeat(500));
    let table = [
        ("/", "/"),
        ("/cart", "/cart"),
        ("/search?q=tea&x=1", "/search?q=tea&x=1"),
        ("/search?q=caf%C3%A9", "/search?q=caf%C3%A9"),
        ("/a//b", "/a//b"),
        (long.as_str(), long.as_str()),
        ("", "/"),
        ("cart", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\/evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/\r\n//evil.example", "/"),
        ("/\u{0}/evil.example", "/"),
        ("/\u{7f}/evil.example", "/"),
        ("\t//evil.example", "/"),
        (" //evil.example", "/"),
        ("http://evil.example/", "/"),
        ("HTTP:/cart", "/"),
        ("javascript:alert(1)", "/"),
        ("//[", "/"),
    ];
    let visitor = shop.visitor();
    for (asked, expected) in table {
        let came = visitor.login(member.user, asked).await.unwrap();
        assert_eq!(came, expected, "{asked:?}");
    }
    // As long as an address gets: the login goes on, wherever it ends.
    let long = format!("/{}", "x".repeat(6_000));
    let came = visitor.login(member.user, &long).await.unwrap();
    assert!(came == "/" || came == long, "{came}");
}

#[tokio::test]
async fn header_lines_cannot_be_smuggled_through_return_to() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    let authorize = visitor.start("/cart\r\nset-cookie: evil=1").await.unwrap();
    let callback = visitor.approve(&authorize, member.user, "approve").await.unwrap();
    let answer = reply(visitor.json("GET", &callback)).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.cookie("evil"), None);
    assert!(answer.location().starts_with('/') && !answer.location().starts_with("//"), "{}", answer.location());
}

#[tokio::test]
async fn the_account_shows_who_signed_in() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let account = member.read("/account").await;
    let user = &account["user"];
    assert_eq!(user["provider"], "qq");
    assert!(user["nickname"].as_str().unwrap().eq_ignore_ascii_case(member.user), "{user}");
    assert!(user["avatar"].as_str().unwrap().starts_with("http"), "{user}");
    assert!(user["id"].as_str().is_some_and(|id| !id.is_empty()), "{user}");
    assert_eq!((user.as_object().unwrap().len(), account.as_object().unwrap().len()), (4, 2), "{account}");
    let again = shop.member(member.user).await.read("/account").await;
    assert_eq!(again["user"], *user, "the same user is the same member");
}

#[tokio::test]
async fn nobody_signs_in_under_another_name() {
    let shop = shared().await;
    for name in ["mallory", "", "Alice", "alice "] {
        let visitor = shop.visitor();
        let authorize = visitor.start("/").await.unwrap();
        let refused = visitor.approve(&authorize, name, "approve").await.unwrap_err().to_string();
        assert!(refused.contains("answered 4"), "{name}: {refused}");
        reply(visitor.json("GET", "/account")).await.problem(401);
    }
}

#[tokio::test]
async fn a_guests_cart_comes_along_and_quantities_add_up() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, _), (b, _), (c, _)) = (plenty(0), plenty(1), plenty(2));
    member.put(&a, 2).await;
    member.put(&c, 1).await;
    let guest = shop.visitor();
    guest.put(&a, 3).await;
    guest.put(&b, 4).await;
    assert_eq!(guest.login(member.user, "/cart").await.unwrap(), "/cart");
    let cart = guest.read("/cart").await;
    assert_eq!(cart["owner"], "member");
    let mut expected = [(a.clone(), 5), (b.clone(), 4), (c.clone(), 1)];
    expected.sort();
    assert_eq!(guest.lines().await, expected);
    assert_eq!(member.lines().await, expected, "it is one cart, whichever browser");

    // Once: nothing comes again with the next login.
    let again = shop.visitor();
    again.login(member.user, "/").await.unwrap();
    assert_eq!(again.lines().await, expected);
}

#[tokio::test]
async fn a_merge_is_bounded_and_never_fails_the_login() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, _), (b, _)) = (plenty(3), plenty(4));
    member.put(&a, 990).await;
    let guest = shop.visitor();
    guest.put(&a, 999).await;
    guest.put(&b, 999).await;
    assert_eq!(guest.login(member.user, "/").await.unwrap(), "/");
    let mut expected = [(a, 999), (b, 999)];
    expected.sort();
    assert_eq!(guest.lines().await, expected);
}

#[tokio::test]
async fn a_login_while_signed_in_switches_the_user_and_merges_nothing() {
    let shop = shared().await;
    let [one, other] = members(&shop).await;
    let (sku, _) = plenty(5);
    one.put(&sku, 2).await;
    let visitor = shop.member(one.user).await;
    let first = visitor.read("/account").await["user"]["id"].clone();
    let csrf = visitor.csrf().await.unwrap();
    visitor.login(other.user, "/").await.unwrap();
    assert_ne!(visitor.read("/account").await["user"]["id"], first);
    assert_eq!((visitor.lines().await, other.lines().await), (vec![], vec![]), "only a guest's cart merges");
    assert_eq!(one.lines().await, [(sku, 2)]);
    assert_eq!(visitor.post("/logout", &[("csrf", &csrf)]).await.unwrap().status, 403, "the session is another");
}

#[tokio::test]
async fn logins_in_several_tabs_do_not_disturb_each_other() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    let mut tabs = Vec::new();
    for tab in 0..4 {
        let to = format!("/search?q={tab}");
        tabs.push((visitor.start(&to).await.unwrap(), to));
    }
    tabs.swap(0, 3);
    for (authorize, to) in tabs {
        let callback = visitor.approve(&authorize, member.user, "approve").await.unwrap();
        assert_eq!(visitor.get(&callback).await.unwrap().see_other().unwrap(), to);
        assert_eq!(visitor.read("/cart").await["owner"], "member");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_are_opened_at_once_belong_to_one_browser() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    visitor.read("/").await;
    let starts = (0..6).map(|_| {
        let visitor = visitor.clone();
        tokio::spawn(async move { visitor.start("/cart").await.unwrap() })
    });
    for authorize in join_all(starts).await {
        let callback = visitor.approve(&authorize.unwrap(), member.user, "approve").await.unwrap();
        assert_eq!(visitor.get(&callback).await.unwrap().see_other().unwrap(), "/cart");
    }
}

#[tokio::test]
async fn many_people_behind_one_address_sign_in() {
    // At the contract's rate, 100 a minute, these would take 12 seconds: no limit may count them within that time.
    let shop = shared().await;
    let member = shop.a_member().await;
    for _ in 0..20 {
        let visitor: Visitor = shop.member(member.user).await;
        assert_eq!(visitor.read("/cart").await["owner"], "member");
    }
}

#[tokio::test]
async fn people_come_back_to_the_page_that_asked_them_to_sign_in() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let visitor = shop.visitor();
    visitor.put(&plenty(6).0, 1).await;
    reply(visitor.html("GET", "/checkout")).await.see_other("/login");
    let page = visitor.page("/login").await;
    let start = links(&page).into_iter().find(|link| link.starts_with("/auth/qq/start")).unwrap();
    let authorize = reply(visitor.html("GET", &start)).await;
    let callback = visitor.approve(authorize.location(), member.user, "approve").await.unwrap();
    reply(visitor.html("GET", &callback)).await.see_other("/checkout");
    visitor.page("/checkout").await;
}
