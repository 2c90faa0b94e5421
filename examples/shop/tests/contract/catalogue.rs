//! `/`, `/c/{category}`, `/search`, `/p/{sku}`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Shop, reply, shared};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn skus(listing: &Value) -> BTreeSet<String> {
    listing["products"].as_array().unwrap().iter().map(|entry| entry["sku"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_entry_of_the_home_page_is_one_sku_that_is_served() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let home = visitor.read("/").await;
    assert_eq!(keys(&home), ["categories", "csrf", "products"]);
    let products = home["products"].as_array().unwrap();
    assert_eq!(skus(&home).len(), products.len(), "each once");
    assert!(products.len() >= 20);
    for entry in products {
        assert_eq!(keys(entry), ["name", "price", "sku"]);
        let page = visitor.read(&format!("/p/{}", entry["sku"].as_str().unwrap())).await;
        assert_eq!(keys(&page), ["bought_together", "csrf", "name", "price", "sku", "stock"]);
        assert!(page["price"].as_i64().is_some_and(|price| price > 0), "{page}");
        assert!(page["stock"].as_i64().is_some_and(|stock| stock >= 0), "{page}");
        for key in keys(entry) {
            assert_eq!(page[key], entry[key]);
        }
        for other in page["bought_together"].as_array().unwrap() {
            assert!(products.contains(other), "{other} is not sold here");
        }
    }
}

#[tokio::test]
async fn the_shelves_together_hold_everything() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let home = visitor.read("/").await;
    let mut found = BTreeSet::new();
    for category in home["categories"].as_array().unwrap() {
        assert_eq!(keys(category), ["id", "name"]);
        let shelf = visitor.read(&format!("/c/{}", category["id"].as_str().unwrap())).await;
        assert_eq!(keys(&shelf), ["categories", "csrf", "products"]);
        assert!(!skus(&shelf).is_empty(), "{category}");
        found.append(&mut skus(&shelf));
    }
    assert_eq!(found, skus(&home));
}

#[tokio::test]
async fn a_new_shop_has_enough_to_buy_something_sold_out_and_something_beyond_any_purse() {
    let shop = Shop::open().await;
    let visitor = shop.member("carol").await;
    let balance = visitor.read("/wallet").await["balance"].as_i64().unwrap();
    let (mut plenty, mut none, mut beyond, mut dearest) = (0, 0, 0, 0);
    for sku in skus(&visitor.read("/").await) {
        let page = visitor.read(&format!("/p/{sku}")).await;
        let (stock, price) = (page["stock"].as_i64().unwrap(), page["price"].as_i64().unwrap());
        if stock >= 200 {
            plenty += 1;
            dearest = dearest.max(price);
        }
        none += i64::from(stock == 0);
        beyond += i64::from(stock > 0 && price > balance);
    }
    assert!(plenty >= 20 && none >= 1 && beyond >= 1, "{plenty} {none} {beyond}");
    assert!(400 * dearest <= balance, "400 × {dearest} is more than {balance}");
}

#[tokio::test]
async fn search_finds_a_part_of_the_name_in_any_case() {
    let shop = shared().await;
    let visitor = shop.visitor();
    let home = visitor.read("/").await;
    for entry in home["products"].as_array().unwrap().iter().step_by(9) {
        let name = entry["name"].as_str().unwrap();
        let part = &name[1..name.len() - 1];
        for part in [part.to_uppercase(), part.to_lowercase()] {
            let found = reply(visitor.json("GET", "/search").query(&[("q", &part)])).await.json();
            assert_eq!(keys(&found), ["categories", "csrf", "products"]);
            assert!(found["products"].as_array().unwrap().contains(entry), "{part}: {found}");
            for hit in found["products"].as_array().unwrap() {
                assert!(hit["name"].as_str().unwrap().to_lowercase().contains(&part.to_lowercase()), "{hit}");
            }
        }
    }
    for nothing in ["zzzzzz", "%", "_", "\u{0}", "' or 1=1 --", "ß"] {
        let found = reply(visitor.json("GET", "/search").query(&[("q", nothing)])).await;
        assert_eq!((found.status, found.json()["products"].clone()), (200, Value::Array(Vec::new())), "{nothing}");
    }
}

#[tokio::test]
async fn what_was_searched_for_is_shown_as_text() {
    let shop = shared().await;
    let page = shop.visitor().page("/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn what_is_not_there_is_404_for_programs_and_people() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for path in ["/p/nothing", "/p/", "/p", "/p/a/b", "/c/attic", "/c/", "/c", "/C/table", "/p/nothing?sku=x"] {
        reply(visitor.json("GET", path)).await.problem(404);
        reply(visitor.html("GET", path)).await.page(404);
    }
}
