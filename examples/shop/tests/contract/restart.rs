//! SIGKILL and a start on the same data: a kept cookie jar goes on.

use crate::support::{SOON, Shop, holds, plenty, reply, set_cookies};

#[tokio::test]
async fn sessions_carts_forms_and_orders_outlive_the_process() {
    let shop = Shop::pinned(None).await;
    let (guest, member) = (shop.visitor(), shop.member("alice").await);
    guest.put(&plenty(0).0, 3).await;
    member.put(&plenty(1).0, 2).await;
    let bought = member.confirm().await;
    let order = member.buy(&bought).await;
    member.put(&plenty(2).0, 1).await;
    let open = member.confirm().await;
    let (guest_csrf, member_csrf) = (guest.csrf().await.unwrap(), member.csrf().await.unwrap());
    let ended = shop.member("bob").await;
    let (name, _) = reply(shop.visitor().json("GET", "/")).await.only_cookie();
    let dead =
        reply(ended.json("GET", &ended.approve(&ended.start("/").await.unwrap(), "bob", "approve").await.unwrap()))
            .await;
    let dead = format!("{name}={}", dead.cookie(&name).unwrap());
    ended.write("/logout", &[]).await.see_other("/");

    let shop = shop.restart().await;
    let page = reply(guest.json("GET", "/cart")).await;
    assert_eq!(set_cookies(&page.headers), Vec::<String>::new(), "the same guest");
    assert_eq!((guest.lines().await, guest.csrf().await.unwrap()), (vec![(plenty(0).0, 3)], guest_csrf));
    assert_eq!((member.lines().await, member.csrf().await.unwrap()), (vec![(plenty(2).0, 1)], member_csrf));
    assert_eq!(member.orders().await, [order.replace("/orders/", "")]);
    reply(shop.visitor().with_cookie("GET", "/account", &dead)).await.problem(401);
    assert_eq!(member.buy(&bought).await, order, "a spent token leads to its order");
    let next = member.buy(&open).await;
    assert_ne!(next, order, "a form from before the kill can still be sent");
    for order in [&order, &next] {
        member.notified(order).await;
    }
    assert_eq!(member.lines().await, []);
    guest.login("alice", "/").await.unwrap();
    assert_eq!(guest.lines().await, [(plenty(0).0, 3)], "the guest's cart still comes along");
    holds(&shop.verify().await);
}

#[tokio::test]
async fn a_login_that_was_open_can_still_be_approved() {
    let shop = Shop::pinned(None).await;
    let visitors = [shop.visitor(), shop.visitor(), shop.visitor()];
    let mut authorize = Vec::new();
    for visitor in &visitors {
        visitor.put(&plenty(0).0, 1).await;
        authorize.push(visitor.start("/cart").await.unwrap());
    }
    // One has approved, but its callback never reached the shop: that code may be lost, the login may not.
    let lost = visitors[1].approve(&authorize[1], "bob", "approve").await.unwrap();
    // One was told its answer, and asks again.
    let told = visitors[2].approve(&authorize[2], "carol", "approve").await.unwrap();
    assert_eq!(visitors[2].get(&told).await.unwrap().see_other().unwrap(), "/cart");

    let shop = shop.restart().await;
    let approved = visitors[0].approve(&authorize[0], "alice", "approve").await.unwrap();
    assert_eq!(visitors[0].get(&approved).await.unwrap().see_other().unwrap(), "/cart");
    let again = visitors[1].get(&lost).await.unwrap();
    if again.status != 303 {
        assert!((400..500).contains(&again.status), "{again:?}");
        let approved = visitors[1].approve(&authorize[1], "bob", "approve").await.unwrap();
        assert_eq!(visitors[1].get(&approved).await.unwrap().see_other().unwrap(), "/cart");
    }
    assert_eq!(visitors[2].get(&told).await.unwrap().see_other().unwrap(), "/cart");
    for visitor in &visitors {
        assert_eq!(visitor.read("/cart").await["owner"], "member");
        assert_eq!(visitor.lines().await, [(plenty(0).0, 1)]);
    }
    holds(&shop.verify().await);
}

#[tokio::test]
async fn the_time_of_a_form_is_fixed_when_it_is_issued() {
    let mut shop = Shop::pinned(None).await;
    let member = shop.member("dave").await;
    member.put(&plenty(0).0, 1).await;
    let long = member.confirm().await;
    shop.child.kill();
    let shop = shop.again(["--order-token-ttl", "1ms"]).await;
    let short = member.confirm().await;
    // With a cart that differs nothing can be ordered before the time is over.
    member.put(&plenty(1).0, 1).await;
    testkit::eventually(SOON, async || match member.submit(&short).await.unwrap().status {
        410 => Ok(()),
        other => Err(other),
    })
    .await;
    member.set(&plenty(1).0, 0).await;
    member.buy(&long).await;
    holds(&shop.verify().await);
}
