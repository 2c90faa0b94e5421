//! `/cart` and its posts.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Visitor, catalog, plenty, shared, sold_out};

#[tokio::test]
async fn an_empty_cart() {
    let shop = shared().await;
    let cart = shop.visitor().read("/cart").await;
    assert_eq!(cart["owner"], "guest");
    assert_eq!((&cart["lines"], &cart["subtotal"]), (&json!([]), &json!(0)));
    assert!(cart["version"].is_i64() && cart["csrf"].as_str().is_some_and(|csrf| !csrf.is_empty()), "{cart}");
    assert_eq!(cart.as_object().unwrap().len(), 5, "{cart}");
}

#[tokio::test]
async fn lines_are_added_set_left_out_and_removed() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let ((a, price_a), (b, price_b)) = (plenty(0), plenty(1));
    let mut version = visitor.read("/cart").await["version"].as_i64().unwrap();
    let mut grown = async |visitor: &Visitor| {
        let cart = visitor.read("/cart").await;
        let now = cart["version"].as_i64().unwrap();
        assert!(now > version, "the version grows with each change: {version}, then {now}");
        version = now;
        cart
    };

    visitor.write("/cart/lines", &[("sku", &a)]).await.see_other("/cart");
    let cart = grown(&visitor).await;
    let line = &cart["lines"][0];
    let name = catalog().product(&a).unwrap().name.clone();
    let expected =
        json!({ "key": line["key"], "sku": a, "name": name, "quantity": 1, "price": price_a, "checked": true });
    assert_eq!(*line, expected, "the quantity is 1 if it is not given, and new lines are checked");

    visitor.put(&a, 2).await;
    grown(&visitor).await;
    visitor.put(&b, 5).await;
    assert_eq!(grown(&visitor).await["subtotal"], 3 * price_a + 5 * price_b);
    visitor.set(&b, 4).await;
    assert_eq!(grown(&visitor).await["subtotal"], 3 * price_a + 4 * price_b);
    visitor.check(&a, false).await;
    let cart = grown(&visitor).await;
    assert_eq!(cart["subtotal"], 4 * price_b, "only checked lines count");
    assert_eq!(cart["lines"].as_array().unwrap().len(), 2);
    visitor.check(&a, true).await;
    assert_eq!(grown(&visitor).await["subtotal"], 3 * price_a + 4 * price_b);
    visitor.set(&b, 0).await;
    grown(&visitor).await;
    assert_eq!(visitor.lines().await, [(a.clone(), 3)]);
    visitor.set(&a, 999).await;
    assert_eq!(grown(&visitor).await["subtotal"], 999 * price_a);

    let key = visitor.line(&a).await["key"].as_str().unwrap().to_owned();
    let both = [("quantity", "7"), ("checked", "0")];
    visitor.write(&format!("/cart/lines/{key}"), &both).await.see_other("/cart");
    let line = visitor.line(&a).await;
    assert_eq!((&line["quantity"], &line["checked"]), (&json!(7), &json!(false)));
}

#[tokio::test]
async fn what_cannot_be_added_changes_nothing() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (sku, _) = plenty(2);
    visitor.put(&sku, 990).await;
    let before = visitor.read("/cart").await;
    let sku = Some(sku.as_str());
    let table = [
        (None, Some("1"), 404),
        (Some(""), None, 404),
        (Some("nothing"), Some("1"), 404),
        (Some("nothing"), Some("-1"), 404),
        (Some("\u{0}"), None, 404),
        (Some("' or 1=1 --"), None, 404),
        (sku, Some("0"), 422),
        (sku, Some("00"), 422),
        (sku, Some("-1"), 422),
        (sku, Some("-0"), 422),
        (sku, Some(""), 422),
        (sku, Some("many"), 422),
        (sku, Some("1.5"), 422),
        (sku, Some("1,5"), 422),
        (sku, Some("1e2"), 422),
        (sku, Some("0x10"), 422),
        (sku, Some("１"), 422),
        (sku, Some("1 1"), 422),
        (sku, Some("NaN"), 422),
        (sku, Some("10"), 422),
        (sku, Some("1000"), 422),
        (sku, Some("4294967295"), 422),
        (sku, Some("4294967297"), 422),
        (sku, Some("9223372036854775808"), 422),
        (sku, Some("18446744073709551617"), 422),
        (sku, Some("99999999999999999999999999999999999999999999"), 422),
    ];
    for (sku, quantity, status) in table {
        let fields = [sku.map(|sku| ("sku", sku)), quantity.map(|quantity| ("quantity", quantity))];
        let fields: Vec<_> = fields.into_iter().flatten().collect();
        let answer = visitor.write("/cart/lines", &fields).await;
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text);
        answer.problem(status);
    }
    assert_eq!(visitor.read("/cart").await, before, "neither lines nor version");
}

#[tokio::test]
async fn a_line_holds_999_and_not_one_more() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (sku, _) = plenty(3);
    visitor.put(&sku, 998).await;
    visitor.put(&sku, 1).await;
    let full = visitor.read("/cart").await;
    visitor.write("/cart/lines", &[("sku", &sku)]).await.problem(422);
    assert_eq!(visitor.read("/cart").await, full);
}

#[tokio::test]
async fn a_cart_holds_the_whole_catalogue() {
    // 200 lines cannot be reached over HTTP while the catalogue is smaller: the cart store's own tests hold that bound.
    let shop = shared().await;
    let visitor = shop.visitor();
    let skus: Vec<_> = catalog().products().iter().map(|product| product.sku.clone()).collect();
    assert!(skus.len() <= 200, "now the bound can be tested here");
    for sku in &skus {
        visitor.put(sku, 1).await;
    }
    assert_eq!(visitor.lines().await.len(), skus.len());
}

#[tokio::test]
async fn what_a_line_cannot_become_changes_nothing() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (sku, _) = plenty(4);
    visitor.put(&sku, 5).await;
    let before = visitor.read("/cart").await;
    let key = before["lines"][0]["key"].as_str().unwrap().to_owned();
    let bad: [&[(&str, &str)]; 14] = [
        &[("quantity", "-1")],
        &[("quantity", "")],
        &[("quantity", "two")],
        &[("quantity", "1000")],
        &[("quantity", "4294967296")],
        &[("quantity", "99999999999999999999")],
        &[("quantity", "1.0")],
        &[],
        &[("checked", "2")],
        &[("checked", "")],
        &[("checked", "true")],
        &[("checked", "0"), ("quantity", "-1")],
        &[("checked", "0"), ("quantity", "1000")],
        &[("checked", "x"), ("quantity", "1")],
    ];
    for fields in bad {
        let answer = visitor.write(&format!("/cart/lines/{key}"), fields).await;
        assert_eq!(answer.status, 422, "{fields:?}: {}", answer.text);
        answer.problem(422);
    }
    let long = "k".repeat(300);
    for unknown in ["nothing", "%00", "%20", "a%2Fb", "..", "caf%C3%A9", &long] {
        for fields in [[("quantity", "1")], [("quantity", "0")], [("quantity", "-1")], [("checked", "9")]] {
            let answer = visitor.write(&format!("/cart/lines/{unknown}"), &fields).await;
            assert_eq!(answer.status, 404, "{unknown} {fields:?}: {}", answer.text);
        }
    }
    assert_eq!(visitor.read("/cart").await, before);
}

#[tokio::test]
async fn a_removed_line_is_unknown() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (sku, _) = plenty(5);
    visitor.put(&sku, 1).await;
    let key = visitor.line(&sku).await["key"].as_str().unwrap().to_owned();
    let path = format!("/cart/lines/{key}");
    visitor.write(&path, &[("quantity", "0")]).await.see_other("/cart");
    visitor.write(&path, &[("quantity", "0")]).await.problem(404);
    visitor.write(&path, &[("checked", "1")]).await.problem(404);
}

#[tokio::test]
async fn stock_is_not_asked_before_the_checkout() {
    let shop = shared().await;
    let visitor = shop.visitor();
    visitor.put(&sold_out(), 999).await;
    assert_eq!(visitor.lines().await, [(sold_out(), 999)]);
}

#[tokio::test]
async fn carts_of_two_visitors_are_two() {
    let shop = shared().await;
    let (one, other) = (shop.visitor(), shop.visitor());
    one.put(&plenty(6).0, 1).await;
    other.put(&plenty(7).0, 1).await;
    assert_eq!((one.lines().await, other.lines().await), (vec![(plenty(6).0, 1)], vec![(plenty(7).0, 1)]));
}

/// 32 parallel posts with one cookie and one csrf value.
async fn thirty_two(visitor: &Visitor) {
    let (sku, _) = plenty(8);
    visitor.put(&sku, 1).await;
    let before = visitor.read("/cart").await["version"].as_i64().unwrap();
    let csrf = Arc::new(visitor.csrf().await.unwrap());
    let posts = (0..32).map(|_| {
        let (visitor, csrf, sku) = (visitor.clone(), Arc::clone(&csrf), sku.clone());
        tokio::spawn(async move { visitor.post("/cart/lines", &[("csrf", &csrf), ("sku", &sku)]).await.unwrap() })
    });
    for answer in join_all(posts).await {
        assert_eq!(answer.unwrap().see_other().unwrap(), "/cart");
    }
    let cart = visitor.read("/cart").await;
    assert_eq!((visitor.lines().await, cart["version"].as_i64().unwrap() - before), (vec![(sku, 33)], 32));
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_adds_of_a_guest_all_count() {
    let shop = shared().await;
    thirty_two(&shop.visitor()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_adds_of_a_member_all_count() {
    let shop = shared().await;
    let member = shop.a_member().await;
    thirty_two(&member).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_adds_stop_at_the_bound() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let (sku, _) = plenty(9);
    visitor.put(&sku, 980).await;
    let posts = (0..32).map(|_| {
        let (visitor, sku) = (visitor.clone(), sku.clone());
        tokio::spawn(async move { visitor.write("/cart/lines", &[("sku", &sku)]).await.status })
    });
    let mut statuses: Vec<_> = join_all(posts).await.into_iter().map(Result::unwrap).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![303; 19], vec![422; 13]].concat());
    assert_eq!(visitor.lines().await, [(sku, 999)]);
}
