//! Orders that come at the same moment.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{Shop, Visitor, holds, plenty, shared};

/// Submits every page at the same moment, each from a task of its own.
async fn together(visitor: &Visitor, pages: Vec<Value>) -> Vec<Result<String, u16>> {
    let posts = pages.into_iter().map(|page| {
        let visitor = visitor.clone();
        tokio::spawn(async move {
            let answer = visitor.submit(&page).await.unwrap();
            let status = answer.status;
            answer.see_other().map_err(|_| status)
        })
    });
    join_all(posts).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_posted_twenty_times_at_once_is_one_order() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&plenty(0).0, 1).await;
    let before = member.orders().await.len();
    let confirm = member.confirm().await;
    let answers: BTreeSet<_> = together(&member, vec![confirm; 20]).await.into_iter().collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let order = answers.into_iter().next().unwrap().unwrap();
    assert_eq!(member.orders().await.len(), before + 1);
    assert_eq!(member.lines().await, []);
    member.notified(&order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tokens_of_one_cart_exactly_one_is_accepted() {
    let shop = shared().await;
    let member = shop.a_member().await;
    for round in 0..3 {
        member.put(&plenty(round).0, 1).await;
        let before = member.orders().await.len();
        let mut pages = Vec::new();
        for _ in 0..8 {
            pages.push(member.confirm().await);
        }
        let answers = together(&member, pages).await;
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(accepted, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(409 | 503))), "{answers:?}");
        assert_eq!((member.orders().await.len(), member.lines().await), (before + 1, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_while_an_order_runs_stays_in_the_cart() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, _), (b, _)) = (plenty(3), plenty(4));
    for round in 0..6 {
        member.empty_cart().await;
        member.put(&a, 2).await;
        let confirm = member.confirm().await;
        // The same SKU in one round, another one in the next.
        let added = if round % 2 == 0 { &a } else { &b };
        let (submitted, ()) = tokio::join!(member.submit(&confirm), member.put(added, 1));
        let expected = match submitted.unwrap().status {
            303 => vec![(added.clone(), 1)],
            // The cart had changed before the order looked at it.
            409 if round % 2 == 0 => vec![(a.clone(), 3)],
            409 => {
                let mut both = vec![(a.clone(), 2), (b.clone(), 1)];
                both.sort();
                both
            }
            other => panic!("{other}"),
        };
        assert_eq!(member.lines().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ones_are_sold_once() {
    let shop = Shop::open().await;
    let catalog = crate::support::catalog();
    let scarce = catalog.products().iter().filter(|product| product.initial_stock > 3);
    let scarce = scarce.min_by_key(|product| product.initial_stock).unwrap();
    // Two of every three that want it can be served.
    let each = u32::try_from(scarce.initial_stock / 3 + 1).unwrap();
    let mut buyers = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        let visitor = shop.member(user).await;
        visitor.put(&scarce.sku, each).await;
        let page = visitor.confirm().await;
        buyers.push((visitor, page));
    }
    let posts = buyers.iter().map(|(visitor, page)| together(visitor, vec![page.clone(); 4]));
    let answers = join_all(posts).await;
    let mut sold = 0;
    for (of_one, (visitor, _)) in answers.iter().zip(&buyers) {
        assert!(of_one.iter().all(|answer| *answer == of_one[0]), "one token, one answer: {of_one:?}");
        assert!(matches!(of_one[0], Ok(_) | Err(409)), "{of_one:?}");
        assert_eq!(visitor.orders().await.len(), usize::from(of_one[0].is_ok()));
        sold += i64::from(of_one[0].is_ok());
    }
    assert_eq!(sold, 2);
    let left = buyers[0].0.read(&format!("/p/{}", scarce.sku)).await["stock"].as_i64().unwrap();
    assert_eq!(left, scarce.initial_stock - 2 * i64::from(each));
    holds(&shop.verify().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_buys_the_same_thing_at_once() {
    let shop = Shop::open().await;
    let (sku, _) = plenty(5);
    let mut buying = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        let visitor = shop.member(user).await;
        let sku = sku.clone();
        buying.push(tokio::spawn(async move {
            for _ in 0..5 {
                visitor.put(&sku, 1).await;
                visitor.buy(&visitor.confirm().await).await;
            }
            let orders = visitor.orders().await;
            for order in &orders {
                visitor.notified(&format!("/orders/{order}")).await;
            }
            (orders.len(), visitor.lines().await.len())
        }));
    }
    for bought in join_all(buying).await {
        assert_eq!(bought.unwrap(), (5, 0), "lock conflicts are retried inside the request");
    }
    holds(&shop.verify().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_goes_away_leaves_a_whole_order_or_none() {
    let shop = Shop::open().await;
    let member = shop.member("bob").await;
    for round in 0..12 {
        member.put(&plenty(6).0, 1).await;
        let confirm = member.confirm().await;
        let submit = tokio::spawn({
            let (member, confirm) = (member.clone(), confirm.clone());
            async move { member.submit(&confirm).await.is_ok() }
        });
        // Somewhere between the first byte and the answer.
        tokio::time::sleep(Duration::from_millis(round * 2)).await;
        submit.abort();
        let _ = submit.await;
        let order = member.buy(&confirm).await;
        assert_eq!(member.orders().await[0], order.replace("/orders/", ""));
        assert_eq!((member.orders().await.len(), member.lines().await), (usize::try_from(round).unwrap() + 1, vec![]));
    }
    holds(&shop.verify().await);
}
