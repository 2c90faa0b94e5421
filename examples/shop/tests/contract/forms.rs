//! The shop as a person without JavaScript uses it: pages, their links and their forms.

use crate::support::{Form, Visitor, forms, links, plenty, reply, shared, unaffordable};

/// The only form of a page that posts to `action`.
#[track_caller]
fn form(page: &str, action: &str) -> Form {
    let mut found: Vec<_> = forms(page).into_iter().filter(|form| form.action == action).collect();
    assert_eq!(found.len(), 1, "forms to {action} in {page}");
    found.remove(0)
}

fn is_line(form: &Form) -> bool {
    form.action.starts_with("/cart/lines/")
}

#[tokio::test]
async fn every_form_carries_the_csrf_value_and_every_page_login_or_logout() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let guest = shop.visitor();
    let product = format!("/p/{}", plenty(0).0);
    let shelf = member.read("/").await["categories"][0]["id"].as_str().unwrap().to_owned();
    let shelf = format!("/c/{shelf}");
    for visitor in [&guest, &*member] {
        visitor.put(&plenty(0).0, 1).await;
    }
    let look = async |visitor: &Visitor, path: &str, signed_in: bool| {
        let csrf = visitor.csrf().await.unwrap();
        let answer = reply(visitor.html("GET", path)).await;
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
        answer.page(answer.status);
        for form in forms(&answer.text) {
            assert_eq!(form.field("csrf"), Some(csrf.as_str()), "{path}: {form:?}");
        }
        if signed_in {
            form(&answer.text, "/logout");
        } else {
            let login = links(&answer.text).iter().any(|link| link.starts_with("/login") || link.starts_with("/auth/"));
            assert!(login && !forms(&answer.text).iter().any(|form| form.action == "/logout"), "{path}");
        }
    };
    for path in ["/", &shelf, "/search?q=a", "/search?q=zzz", &product, "/cart", "/login", "/nothing", "/p/nothing"] {
        look(&guest, path, false).await;
        look(&member, path, true).await;
    }
    let order = {
        let confirm = member.confirm().await;
        look(&member, "/checkout", true).await;
        member.buy(&confirm).await
    };
    for path in ["/account", "/orders", &order, "/wallet", "/cart"] {
        look(&member, path, true).await;
    }
}

#[tokio::test]
async fn the_cart_has_one_form_for_each_line() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for n in 0..3 {
        visitor.put(&plenty(n).0, 2).await;
    }
    let page = visitor.page("/cart").await;
    let lines: Vec<_> = forms(&page).into_iter().filter(is_line).collect();
    assert_eq!(lines.len(), 3);
    visitor.send(&lines[0].clone().with("quantity", "5")).await.see_other("/cart");
    visitor.send(&lines[1].clone().with("quantity", "0")).await.see_other("/cart");
    let mut quantities: Vec<_> = visitor.lines().await.into_iter().map(|(_, quantity)| quantity).collect();
    quantities.sort_unstable();
    assert_eq!(quantities, [2, 5]);
    visitor.send(&lines[0].clone().with("quantity", "-1")).await.page(422);
    visitor.send(&lines[1]).await.page(404);
}

#[tokio::test]
async fn a_whole_purchase_without_javascript() {
    let shop = shared().await;
    let member = shop.a_member().await;
    let person = shop.visitor();
    let home = person.page("/").await;
    let (sku, _) = plenty(1);
    let product = links(&home).into_iter().find(|link| *link == format!("/p/{sku}")).unwrap();
    let add = form(&person.page(&product).await, "/cart/lines");
    assert_eq!((add.field("sku"), add.field("quantity")), (Some(sku.as_str()), Some("1")));
    person.send(&add.with("quantity", "2")).await.see_other("/cart");

    let cart = person.page("/cart").await;
    let checkout = links(&cart).into_iter().find(|link| link == "/checkout").unwrap();
    reply(person.html("GET", &checkout)).await.see_other("/login");
    let start =
        links(&person.page("/login").await).into_iter().find(|link| link.starts_with("/auth/qq/start")).unwrap();
    let start = reply(person.html("GET", &start)).await;
    let authorize = reply(person.html("GET", start.location())).await;
    let mut consent = forms(&authorize.text);
    assert_eq!((authorize.status, consent.len()), (200, 1));
    let mut consent = consent.remove(0);
    consent.fields.retain(|(name, _)| name != "user");
    consent.fields.extend([("user".into(), member.user.into()), ("decision".into(), "approve".into())]);
    consent.action = reqwest::Url::parse(start.location()).unwrap().join(&consent.action).unwrap().into();
    let approved = person.send(&consent).await;
    let back = reply(person.html("GET", approved.location())).await;
    back.see_other("/checkout");

    let order = person.send(&form(&person.page(back.location()).await, "/checkout")).await;
    assert_eq!(order.status, 303, "{}", order.text);
    person.notified(order.location()).await;
    let page = person.page(order.location()).await;
    assert!(page.contains("confirmed"), "{page}");
    assert!(links(&person.page("/orders").await).contains(&order.location().to_owned()));
    person.send(&form(&page, "/logout")).await.see_other("/");
    reply(person.html("GET", "/orders")).await.see_other("/login");
}

#[tokio::test]
async fn a_refused_order_is_a_page_that_says_what_to_do() {
    let shop = shared().await;
    let member = shop.a_member().await;
    member.put(&unaffordable(), 1).await;
    let order = form(&member.page("/checkout").await, "/checkout");
    let refused = member.send(&order).await;
    refused.page(409);
    assert!(refused.text.contains("balance"), "{}", refused.text);
    assert!(links(&refused.text).iter().any(|link| link == "/cart" || link == "/checkout"), "{}", refused.text);
}

#[tokio::test]
async fn who_accepts_both_gets_what_the_contract_names() {
    let shop = shared().await;
    let visitor = shop.visitor();
    for accept in [
        "application/json",
        "application/json, text/html",
        "text/html;q=0.5, application/json;q=0.4",
        "Application/JSON",
    ] {
        let answer = reply(visitor.request("GET", "/cart").header("accept", accept)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{accept}");
    }
    for accept in ["text/html", "*/*", "image/png", ""] {
        let answer = reply(visitor.request("GET", "/cart").header("accept", accept)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{accept}");
    }
    let refused = reply(visitor.request("GET", "/cart").header("accept", "text/html, application/json;q=0")).await;
    assert_eq!(refused.header("content-type"), "text/html; charset=utf-8");
}
