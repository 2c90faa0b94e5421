//! `/checkout`: the confirm page and every answer of its submit that a single buyer can get.

use serde_json::{Value, json};

use crate::support::{Shop, Visitor, catalog, members, plenty, reply, set_cookies, shared, sold_out, unaffordable};

/// Everything of a buyer that a refused order must leave alone.
async fn state(visitor: &Visitor, skus: &[&str]) -> Value {
    let mut stock = Vec::new();
    for sku in skus {
        stock.push(visitor.read(&format!("/p/{sku}")).await["stock"].clone());
    }
    json!([visitor.read("/cart").await, visitor.read("/orders").await, visitor.read("/wallet").await, stock])
}

#[tokio::test]
async fn the_confirm_page_shows_checked_lines_and_a_token() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, price_a), (b, price_b), (c, _)) = (plenty(0), plenty(1), plenty(2));
    member.put(&a, 2).await;
    member.put(&b, 1).await;
    member.put(&c, 1).await;
    member.check(&c, false).await;
    let confirm = member.confirm().await;
    assert_eq!(confirm.as_object().unwrap().len(), 5, "{confirm}");
    assert!(confirm["order_token"].as_str().is_some_and(|token| token.len() >= 16), "{confirm}");
    assert_eq!(confirm["total"], 2 * price_a + price_b);
    assert_eq!(confirm["balance"], member.read("/wallet").await["balance"]);
    assert_eq!(confirm["csrf"], member.csrf().await.unwrap());
    let lines = confirm["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{confirm}");
    for (sku, quantity, price) in [(&a, 2, price_a), (&b, 1, price_b)] {
        let line = lines.iter().find(|line| line["sku"] == **sku).unwrap();
        assert_eq!((&line["quantity"], &line["price"]), (&json!(quantity), &json!(price)));
    }
    assert_ne!(member.confirm().await["order_token"], confirm["order_token"], "each view issues a token");
}

#[tokio::test]
async fn nothing_checked_is_nothing_to_order() {
    let shop = shared().await;
    let member = shop.a_member().await;
    reply(member.json("GET", "/checkout")).await.problem(409);
    reply(member.html("GET", "/checkout")).await.see_other("/cart");
    let (sku, _) = plenty(0);
    member.put(&sku, 1).await;
    member.check(&sku, false).await;
    reply(member.json("GET", "/checkout")).await.problem(409);
    reply(member.html("GET", "/checkout")).await.see_other("/cart");
    member.check(&sku, true).await;
    assert_eq!(reply(member.json("GET", "/checkout")).await.status, 200);
}

#[tokio::test]
async fn an_order_is_paid_taken_from_stock_and_out_of_the_cart_when_it_is_answered() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, price_a), (b, price_b), (c, _)) = (plenty(20), plenty(21), plenty(2));
    member.put(&a, 2).await;
    member.put(&b, 1).await;
    member.put(&c, 7).await;
    member.check(&c, false).await;
    let balance = member.read("/wallet").await["balance"].as_i64().unwrap();
    let confirm = member.confirm().await;
    let csrf = member.csrf().await.unwrap();
    let form = [("csrf", csrf.as_str()), ("order_token", confirm["order_token"].as_str().unwrap())];
    let answer = reply(member.json("POST", "/checkout").form(&form)).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(set_cookies(&answer.headers), Vec::<String>::new());
    let order = answer.location().to_owned();

    assert_eq!(member.lines().await, [(c.clone(), 7)], "what was not checked stays");
    let total = 2 * price_a + price_b;
    let shown = member.read(&order).await;
    assert_eq!((&shown["status"], &shown["total"]), (&json!("confirmed"), &json!(total)));
    assert!(shown["xid"].as_str().is_some_and(|xid| !xid.is_empty()), "{shown}");
    assert!(shown["notified"].is_boolean(), "{shown}");
    assert_eq!(format!("/orders/{}", shown["id"].as_str().unwrap()), order);
    assert_eq!(shown.as_object().unwrap().len(), 7, "{shown}");
    let mut lines = shown["lines"].as_array().unwrap().clone();
    lines.sort_by_key(|line| line["quantity"].as_i64());
    let line = |sku: &str, quantity: i64, price: i64| json!({ "sku": sku, "quantity": quantity, "price": price });
    assert_eq!(lines, [line(&b, 1, price_b), line(&a, 2, price_a)]);

    let wallet = member.read("/wallet").await;
    assert_eq!(wallet["balance"], balance - total);
    assert!(
        wallet["ledger"].as_array().unwrap().contains(&json!({ "ref": shown["id"], "amount": -total })),
        "{wallet}"
    );
    assert_eq!(wallet.as_object().unwrap().len(), 3, "{wallet}");
    member.notified(&order).await;
}

#[tokio::test]
async fn an_order_of_many_lines_is_one_order() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let mut total = 0;
    for n in 0..20 {
        let (sku, price) = plenty(n);
        member.put(&sku, 1).await;
        total += price;
    }
    let order = member.buy(&member.confirm().await).await;
    let shown = member.read(&order).await;
    assert_eq!((shown["lines"].as_array().unwrap().len(), &shown["total"]), (20, &json!(total)));
    assert_eq!(member.lines().await, []);
}

#[tokio::test]
async fn stock_goes_down_by_what_was_bought() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let (sku, _) = plenty(22);
    let stock = async || member.read(&format!("/p/{sku}")).await["stock"].as_i64().unwrap();
    let before = stock().await;
    member.put(&sku, 3).await;
    member.buy(&member.confirm().await).await;
    assert_eq!(stock().await, before - 3);
}

#[tokio::test]
async fn an_older_confirm_page_of_the_same_cart_still_counts() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&plenty(0).0, 1).await;
    let older = member.confirm().await;
    member.confirm().await;
    member.buy(&older).await;
}

#[tokio::test]
async fn a_spent_token_leads_to_its_order_whatever_the_cart_says_now() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&plenty(0).0, 1).await;
    let confirm = member.confirm().await;
    let order = member.buy(&confirm).await;
    assert_eq!(member.buy(&confirm).await, order);
    member.put(&plenty(1).0, 5).await;
    assert_eq!(member.buy(&confirm).await, order);
    assert_eq!(member.lines().await, [(plenty(1).0, 5)], "and takes nothing more out of the cart");
    let wallet = member.read("/wallet").await;
    let id = order.strip_prefix("/orders/").unwrap();
    assert_eq!(wallet["ledger"].as_array().unwrap().iter().filter(|row| row["ref"] == id).count(), 1);
}

#[tokio::test]
async fn an_absent_or_forged_token_is_409_and_orders_nothing() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&plenty(0).0, 1).await;
    let token = member.confirm().await["order_token"].as_str().unwrap().to_owned();
    let before = state(&member, &[]).await;
    let changed = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let forged = [
        String::new(),
        "x".into(),
        changed(0),
        changed(token.len() / 2),
        changed(token.len() - 3),
        token[1..].to_owned(),
        format!("{token}{token}"),
        format!("{token}AAAA"),
        token.to_uppercase(),
        "A".repeat(token.len()),
        "A".repeat(20_000),
        "\u{0}".into(),
        "' or 1=1 --".into(),
        "ü".into(),
    ];
    for forged in &forged {
        let answer = member.write("/checkout", &[("order_token", forged)]).await;
        assert_eq!(answer.status, 409, "{forged}: {}", answer.text);
        answer.problem(409);
    }
    member.write("/checkout", &[]).await.problem(409);
    let csrf = member.csrf().await.unwrap();
    reply(member.html("POST", "/checkout").form(&[("csrf", csrf.as_str()), ("order_token", "x")])).await.page(409);
    assert_eq!(state(&member, &[]).await, before);
}

#[tokio::test]
async fn another_users_token_is_409_and_stays_that_users() {
    let shop = shared().await;
    let [owner, thief] = members(&shop).await;
    for member in [&owner, &thief] {
        member.put(&plenty(0).0, 1).await;
    }
    let (confirm, own) = (owner.confirm().await, thief.confirm().await);
    let before = state(&thief, &[]).await;
    let stolen = json!({ "csrf": own["csrf"], "order_token": confirm["order_token"] });
    thief.refused(&stolen, 409).await;
    let order = owner.buy(&confirm).await;
    thief.refused(&stolen, 409).await;
    assert_eq!(state(&thief, &[]).await, before);
    reply(thief.json("GET", &order)).await.problem(404);
}

#[tokio::test]
async fn a_cart_that_changed_since_the_page_is_409_until_it_is_put_back() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let ((a, _), (b, _)) = (plenty(0), plenty(1));
    member.put(&a, 2).await;
    let confirm = member.confirm().await;
    let refused = async || {
        let before = state(&member, &[]).await;
        member.refused(&confirm, 409).await;
        assert_eq!(state(&member, &[]).await, before);
    };
    member.put(&a, 1).await;
    refused().await;
    member.set(&a, 1).await;
    refused().await;
    member.set(&a, 2).await;
    member.put(&b, 1).await;
    refused().await;
    member.check(&b, false).await;
    member.check(&a, false).await;
    refused().await;
    member.set(&a, 0).await;
    refused().await;
    member.put(&a, 2).await;
    // What is not checked is not part of the page.
    member.set(&b, 9).await;
    member.buy(&confirm).await;
    assert_eq!(member.lines().await, [(b, 9)]);
}

#[tokio::test]
async fn an_order_without_stock_is_409_and_leaves_everything_as_it_was() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let catalog = catalog();
    let scarce = catalog.products().iter().find(|product| (1..100).contains(&product.initial_stock)).unwrap();
    let gone = sold_out();
    // The scarce one comes with one more than there is, the sold out one together with one that is there.
    for (sku, quantity) in [(&scarce.sku, u32::try_from(scarce.initial_stock).unwrap() + 1), (&gone, 1)] {
        member.empty_cart().await;
        member.put(&plenty(23).0, 1).await;
        member.put(sku, quantity).await;
        let confirm = member.confirm().await;
        let skus = [scarce.sku.as_str(), &gone, &plenty(23).0];
        let before = state(&member, &skus).await;
        for _ in 0..3 {
            member.refused(&confirm, 409).await;
        }
        assert_eq!(state(&member, &skus).await, before);
    }
    // What is left can still be ordered.
    member.set(&gone, 0).await;
    member.buy(&member.confirm().await).await;
}

#[tokio::test]
async fn an_order_without_money_is_409_and_leaves_everything_as_it_was() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let dear = unaffordable();
    member.put(&dear, 1).await;
    member.put(&plenty(24).0, 2).await;
    let confirm = member.confirm().await;
    let skus = [dear.as_str(), &plenty(24).0];
    let before = state(&member, &skus).await;
    for _ in 0..3 {
        member.refused(&confirm, 409).await;
    }
    assert_eq!(state(&member, &skus).await, before);
}

#[tokio::test]
async fn an_expired_token_is_410_unless_its_order_exists() {
    let shop = Shop::with(["--order-token-ttl", "500ms"]).await;
    let member = shop.member("bob").await;
    let ((a, _), (b, _)) = (plenty(0), plenty(1));
    member.put(&a, 1).await;
    // On a busy machine a page may be too old before it is sent; then the next one is tried.
    let (spent, order) = testkit::eventually(crate::support::SOON, async || {
        let confirm = member.confirm().await;
        let answer = member.submit(&confirm).await.unwrap();
        if answer.status == 410 { Err("too late") } else { Ok((confirm, answer.see_other().unwrap())) }
    })
    .await;

    member.put(&a, 1).await;
    let confirm = member.confirm().await;
    member.put(&b, 1).await;
    // The cart differs, so nothing can be ordered while the time runs out.
    testkit::eventually(crate::support::SOON, async || match member.submit(&confirm).await.unwrap().status {
        410 => Ok(()),
        409 => Err("not expired yet"),
        other => panic!("{other}"),
    })
    .await;
    member.set(&b, 0).await;
    let before = state(&member, &[]).await;
    member.refused(&confirm, 410).await;
    let csrf = confirm["csrf"].as_str().unwrap();
    let form = [("csrf", csrf), ("order_token", confirm["order_token"].as_str().unwrap())];
    reply(member.html("POST", "/checkout").form(&form)).await.page(410);
    assert_eq!(state(&member, &[]).await, before);
    assert_eq!(member.buy(&spent).await, order, "the token's order is looked up first");
}
