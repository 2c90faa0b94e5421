//! Who may post: the hidden value, and the origin.

use crate::support::{Visitor, host, plenty, reply, shared};

const POSTS: [&str; 4] = ["/cart/lines", "/cart/lines/nothing", "/logout", "/checkout"];

#[tokio::test]
async fn a_post_without_the_sessions_own_value_is_403() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let (guest, stranger) = (shop.visitor(), shop.visitor());
    let (own, foreign) = (member.csrf().await.unwrap(), stranger.csrf().await.unwrap());
    let guests = guest.csrf().await.unwrap();
    guest.put(&plenty(0).0, 1).await;
    let before = guest.read("/cart").await;
    let cut = &own[..own.len() - 1];
    for path in POSTS {
        for (visitor, given) in [
            (&guest, None),
            (&guest, Some("")),
            (&guest, Some("x")),
            (&guest, Some(foreign.as_str())),
            (&guest, Some(own.as_str())),
            (&*member, None),
            (&*member, Some(cut)),
            (&*member, Some(guests.as_str())),
        ] {
            let form: Vec<_> = [("sku", "nothing"), ("quantity", "-1")]
                .into_iter()
                .chain(given.map(|given| ("csrf", given)))
                .collect();
            reply(visitor.json("POST", path).form(&form)).await.problem(403);
            reply(visitor.html("POST", path).form(&form)).await.page(403);
        }
        // In the address it does not count.
        let form = [("sku", plenty(0).0)];
        reply(guest.json("POST", &format!("{path}?csrf={guests}")).form(&form)).await.problem(403);
    }
    assert_eq!(guest.read("/cart").await, before);
    assert_eq!(member.csrf().await.unwrap(), own, "still signed in");
}

#[tokio::test]
async fn a_post_without_any_cookie_is_403() {
    let shop = shared().await;
    let csrf = shop.visitor().csrf().await.unwrap();
    for path in POSTS {
        let answer = reply(shop.visitor().json("POST", path).form(&[("csrf", &csrf)])).await;
        answer.problem(403);
    }
}

#[tokio::test]
async fn a_post_from_another_origin_is_403() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let (sku, _) = plenty(1);
    let form = [("csrf", csrf.as_str()), ("sku", &sku)];
    let port = host(&shop.origin).split(':').nth(1).unwrap();
    let others = [
        "null".to_owned(),
        String::new(),
        "http://evil.example".into(),
        shop.qq.clone(),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1".into(),
        format!("{}.evil.example", shop.origin),
        format!("{}0", shop.origin),
        format!("{}/", shop.origin),
    ];
    for origin in &others {
        reply(visitor.json("POST", "/cart/lines").header("origin", origin).form(&form)).await.problem(403);
    }
    assert_eq!(visitor.lines().await, []);
    let own =
        visitor.json("POST", "/cart/lines").header("origin", &shop.origin).header("sec-fetch-site", "same-origin");
    reply(own.form(&form)).await.see_other("/cart");
    reply(visitor.json("POST", "/cart/lines").form(&form)).await.see_other("/cart");
    assert_eq!(visitor.lines().await, [(sku, 2)]);
}

#[tokio::test]
async fn reading_from_another_origin_is_no_business_of_csrf() {
    let shop = shared().await;
    let page = reply(shop.visitor().json("GET", "/cart").header("origin", "http://evil.example")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("access-control-allow-origin"), "", "no other site may read it");
}

#[tokio::test]
async fn one_value_serves_a_session_on_every_page_and_another_the_next() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&plenty(2).0, 1).await;
    let value = member.csrf().await.unwrap();
    let product = format!("/p/{}", plenty(2).0);
    let pages = ["/", &product, "/search?q=a", "/cart", "/account", "/checkout", "/orders", "/wallet", "/login"];
    for path in pages {
        assert_eq!(member.read(path).await["csrf"], value, "{path}");
    }
    let add = async |visitor: &Visitor, csrf: &str| {
        visitor.post("/cart/lines", &[("csrf", csrf), ("sku", &plenty(2).0)]).await.unwrap().status
    };
    for _ in 0..3 {
        assert_eq!(add(&member, &value).await, 303);
    }

    member.write("/logout", &[]).await.see_other("/");
    let guests = member.csrf().await.unwrap();
    assert_ne!(guests, value, "it changes at logout");
    assert_eq!((add(&member, &value).await, add(&member, &guests).await), (403, 303));

    member.login(member.user, "/").await.unwrap();
    let again = member.csrf().await.unwrap();
    assert!(again != guests && again != value, "it changes at login");
    assert_eq!((add(&member, &guests).await, add(&member, &value).await, add(&member, &again).await), (403, 403, 303));
}
