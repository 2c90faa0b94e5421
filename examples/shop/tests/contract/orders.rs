//! `/orders`, `/orders/{id}`, `/wallet`.

use serde_json::json;

use crate::support::{Shop, holds, members, plenty, reply, shared};

#[tokio::test]
async fn orders_are_listed_newest_first_and_the_ledger_explains_the_balance() {
    let shop = Shop::open().await;
    let member = shop.member("dave").await;
    assert_eq!(member.read("/orders").await["orders"], json!([]));
    let opening = member.read("/wallet").await;
    assert_eq!(opening["ledger"], json!([]));
    let (mut orders, mut spent) = (Vec::new(), 0);
    for n in 0..4 {
        let (sku, price) = plenty(n);
        member.put(&sku, 2).await;
        orders.push((member.buy(&member.confirm().await).await, 2 * price));
        spent += 2 * price;
    }
    orders.reverse();
    let list = member.read("/orders").await;
    assert_eq!(list.as_object().unwrap().len(), 2, "{list}");
    let expected: Vec<_> = orders
        .iter()
        .map(|(path, total)| json!({ "id": path.strip_prefix("/orders/").unwrap(), "status": "confirmed", "total": total }))
        .collect();
    assert_eq!(list["orders"], json!(expected));
    let wallet = member.read("/wallet").await;
    assert_eq!(wallet["balance"], opening["balance"].as_i64().unwrap() - spent);
    let ledger = wallet["ledger"].as_array().unwrap();
    assert_eq!(ledger.len(), 4);
    for order in expected {
        let row = json!({ "ref": order["id"], "amount": -order["total"].as_i64().unwrap() });
        assert!(ledger.contains(&row), "{row} {wallet}");
    }
    for (path, _) in &orders {
        member.notified(path).await;
    }
    holds(&shop.verify().await);
}

#[tokio::test]
async fn another_users_order_and_one_that_is_not_there_are_404() {
    let shop = shared().await;
    let [owner, other] = members(&shop).await;
    owner.put(&plenty(0).0, 1).await;
    let order = owner.buy(&owner.confirm().await).await;
    for path in [&order, "/orders/nothing", "/orders/", "/orders/%00", "/orders/%27%20or%201=1", "/orders/a/b"] {
        reply(other.json("GET", path)).await.problem(404);
        reply(other.html("GET", path)).await.page(404);
    }
    assert!(!other.orders().await.contains(&order.replace("/orders/", "")));
    assert_eq!(reply(owner.json("GET", &order)).await.status, 200);
    assert_eq!(reply(owner.json("GET", &order.to_uppercase().replace("/ORDERS/", "/orders/"))).await.status, 404);
}
