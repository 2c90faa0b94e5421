//! Guest carts that reach their member while other things happen.

use futures_util::future::join_all;

use crate::support::{members, plenty, shared};

#[tokio::test(flavor = "multi_thread")]
async fn guests_who_sign_in_as_one_user_at_once_bring_everything() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let (sku, _) = plenty(0);
    let mut callbacks = Vec::new();
    for _ in 0..8 {
        let guest = shop.visitor();
        guest.put(&sku, 2).await;
        let authorize = guest.start("/cart").await.unwrap();
        let callback = guest.approve(&authorize, member.user, "approve").await.unwrap();
        callbacks.push((guest, callback));
    }
    let logins =
        callbacks.into_iter().map(|(guest, callback)| tokio::spawn(async move { guest.get(&callback).await.unwrap() }));
    for login in join_all(logins).await {
        assert_eq!(login.unwrap().see_other().unwrap(), "/cart");
    }
    assert_eq!(member.lines().await, [(sku, 16)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_end_their_logins_at_once_bring_the_cart_once() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let (sku, _) = plenty(1);
    let guest = shop.visitor();
    guest.put(&sku, 3).await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let authorize = guest.start("/cart").await.unwrap();
        tabs.push(guest.approve(&authorize, member.user, "approve").await.unwrap());
    }
    let logins = tabs.into_iter().map(|callback| {
        let guest = guest.clone();
        tokio::spawn(async move { guest.get(&callback).await.unwrap() })
    });
    for login in join_all(logins).await {
        assert_eq!(login.unwrap().see_other().unwrap(), "/cart");
    }
    assert_eq!(member.lines().await, [(sku.clone(), 3)]);
    assert_eq!((guest.read("/cart").await["owner"].as_str(), guest.lines().await), (Some("member"), vec![(sku, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_was_told_is_in_the_cart_is_there_after_a_login_that_came_in_between() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let (sku, _) = plenty(2);
    for _ in 0..4 {
        member.empty_cart().await;
        let guest = shop.visitor();
        guest.put(&sku, 1).await;
        let csrf = guest.csrf().await.unwrap();
        let authorize = guest.start("/cart").await.unwrap();
        let callback = guest.approve(&authorize, member.user, "approve").await.unwrap();
        let adds = (0..16).map(|_| {
            let (guest, csrf, sku) = (guest.clone(), csrf.clone(), sku.clone());
            tokio::spawn(
                async move { guest.post("/cart/lines", &[("csrf", &csrf), ("sku", &sku)]).await.unwrap().status },
            )
        });
        let adds: Vec<_> = adds.collect();
        assert_eq!(guest.get(&callback).await.unwrap().see_other().unwrap(), "/cart");
        let mut told = 1;
        for add in join_all(adds).await {
            match add.unwrap() {
                303 => told += 1,
                // The session, or its cart, ended first.
                403 | 409 | 503 => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(member.lines().await, [(sku.clone(), told)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_goes_to_one_member() {
    let shop = shared().await;
    let users: [_; 2] = members(&shop).await;
    let (sku, _) = plenty(3);
    for _ in 0..3 {
        for user in &users {
            user.empty_cart().await;
        }
        let guest = shop.visitor();
        guest.put(&sku, 3).await;
        let mut tabs = Vec::new();
        for user in &users {
            let authorize = guest.start("/cart").await.unwrap();
            tabs.push(guest.approve(&authorize, user.user, "approve").await.unwrap());
        }
        let logins = tabs.into_iter().map(|callback| {
            let guest = guest.clone();
            tokio::spawn(async move { guest.get(&callback).await.unwrap() })
        });
        for login in join_all(logins).await {
            assert_eq!(login.unwrap().see_other().unwrap(), "/cart");
        }
        let mut carts = vec![users[0].lines().await, users[1].lines().await];
        carts.sort();
        assert_eq!(carts, [vec![], vec![(sku.clone(), 3)]]);
    }
}
