//! A server that forgets everything.

use onceward_backend::redis::{Client, cmd};
use testkit::Service;

use crate::support::{SOON, Shop, holds, plenty};

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_flushed_between_two_posts_of_one_form() {
    // Nobody else uses it meanwhile; and one that is not of this test run, which may hold what somebody needs, is refused here.
    let mut redis = Service::named("redis").await;
    redis.stop().await;
    redis.start().await;
    let mut shop = Shop::open().await;
    let alice = shop.member("alice").await;
    alice.put(&plenty(0).0, 2).await;
    let confirm = alice.confirm().await;
    let order = alice.buy(&confirm).await;
    alice.notified(&order).await;

    let mut connection =
        Client::open(testkit::url("REDIS_URL")).unwrap().get_multiplexed_async_connection().await.unwrap();
    cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
    alice.refused(&confirm, 401).await;

    assert_eq!(alice.login("alice", "/").await.unwrap(), "/");
    alice.put(&plenty(1).0, 1).await;
    for _ in 0..2 {
        let token = confirm["order_token"].as_str().unwrap();
        alice.write("/checkout", &[("order_token", token)]).await.see_other(&order);
    }
    assert_eq!(alice.orders().await, [order.strip_prefix("/orders/").unwrap()]);
    assert_eq!(alice.lines().await, [(plenty(1).0, 1)], "what was not ordered stays in the cart");
    alice.notified(&order).await;
    assert_eq!(shop.place.notifications().await, 1);
    holds(&shop.verify().await);
    assert!(shop.child.terminate(SOON).await.success());
    holds(&shop.verify().await);
}
