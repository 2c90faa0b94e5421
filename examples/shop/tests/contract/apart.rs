//! The wallets in a process of their own.

use onceward_backend::ErrorClass;
use serde_json::json;
use shop::folder::Settings;
use shop::orders::OrderError;
use shop::wallet::{Charge, Pass, RemoteWallets, Wallets};
use testkit::{Child, eventually};

use crate::place::Place;
use crate::support::{READY, SOON, Shop, ended, holds, host, pinned_port, plenty, reply, run};

/// The process of the wallets, and where it listens.
async fn wallet(place: &Place, listen: &str) -> (Child, String) {
    let mut child = place.launch().args(["wallet", "--listen", listen, "--data"]).arg(place.path()).start();
    let line = child.wait_for_line(|line| line.starts_with("wallet listening on "), READY).await;
    (child, line.strip_prefix("wallet listening on ").unwrap().to_owned())
}

#[tokio::test]
async fn an_order_over_two_processes_and_a_wallet_that_is_away() {
    let place = Place::new();
    let (mut apart, origin) = wallet(&place, "127.0.0.1:0").await;
    let shop = Shop::on(place, ["--wallet-url", &origin]).await;
    let buyer = shop.member("alice").await;
    let balance = buyer.read("/wallet").await["balance"].as_i64().unwrap();
    buyer.put(&plenty(0).0, 2).await;
    let confirm = buyer.confirm().await;
    let order = buyer.buy(&confirm).await;
    let total = confirm["total"].as_i64().unwrap();
    let wallet_page = buyer.read("/wallet").await;
    assert_eq!(wallet_page["balance"], balance - total);
    assert_eq!(wallet_page["ledger"], json!([{ "ref": order.replace("/orders/", ""), "amount": -total }]));
    assert_eq!(reply(buyer.json("GET", "/readyz")).await.status, 200);

    assert!(apart.terminate(SOON).await.success());
    let down = reply(buyer.json("GET", "/readyz")).await;
    down.problem(503);
    assert!(down.text.contains("down: wallet"), "{}", down.text);
    reply(buyer.json("GET", "/wallet")).await.problem(503);
    buyer.put(&plenty(1).0, 1).await;
    reply(buyer.json("GET", "/checkout")).await.problem(503);

    let (mut apart, _) = wallet(&shop.place, host(&origin)).await;
    eventually(SOON, async || match reply(buyer.json("GET", "/readyz")).await.status {
        200 => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    let next = buyer.buy(&buyer.confirm().await).await;
    buyer.notified(&next).await;
    holds(&shop.verify().await);
    let mut shop = shop;
    assert!(shop.child.terminate(SOON).await.success() && apart.terminate(SOON).await.success());
    holds(&shop.verify().await);
}

/// A shop that starts while the one before it is not taken for dead yet waits until that is so: what it left open is decided,
/// and its order tokens are settled, before it says that it listens.
#[tokio::test]
async fn a_start_beside_the_wallet_settles_what_the_last_one_left_a_moment_ago() {
    let place = Place::new();
    let (_apart, origin) = wallet(&place, "127.0.0.1:0").await;
    let shop = Shop::pinned_on(place, ["--wallet-url", &origin, "--hold", "undecided"]).await;
    let buyer = shop.member("alice").await;
    buyer.put(&plenty(0).0, 1).await;
    let confirm = buyer.confirm().await;
    let submit = tokio::spawn({
        let (buyer, confirm) = (buyer.clone(), confirm.clone());
        async move { buyer.submit(&confirm).await.is_ok() }
    });
    let mut shop = shop;
    shop.child.wait_for_line(|line| line == "held undecided", SOON).await;
    shop.child.kill();
    assert!(!submit.await.unwrap());
    let shop = shop.again(["--wallet-url", &origin]).await;
    assert_eq!(buyer.orders().await, Vec::<String>::new());
    assert_eq!(buyer.submit(&confirm).await.unwrap().status, 303, "the token is free again, and so are the rows");
    holds(&shop.verify().await);
}

#[tokio::test]
async fn both_may_start_first_and_at_once() {
    for _ in 0..3 {
        let (place, listen) = (Place::new(), format!("127.0.0.1:{}", pinned_port()));
        let mut apart = place.launch().args(["wallet", "--listen", &listen, "--data"]).arg(place.path()).start();
        let shop = Shop::on(place, ["--wallet-url", &format!("http://{listen}")]).await;
        apart.wait_for_line(|line| line.starts_with("wallet listening on "), READY).await;
        assert_eq!(reply(shop.visitor().json("GET", "/readyz")).await.status, 200);
    }
}

#[tokio::test]
async fn the_wallets_of_a_folder_are_in_one_process() {
    let (place, shop) = (Place::new(), Shop::open().await);
    let (apart, _) = wallet(&place, "127.0.0.1:0").await;
    for (place, verb) in [(&place, "serve"), (&place, "wallet"), (&shop.place, "wallet")] {
        let launch = place.launch().args([verb, "--listen", "127.0.0.1:0", "--data"]).arg(place.path());
        let (code, out, err) = ended(launch).await;
        assert!(code == 1 && out.is_empty() && err.contains("--wallet-url"), "{verb}: {code} {out} {err}");
    }
    drop(apart);
}

#[tokio::test]
async fn nobody_charges_without_the_pass_or_outside_of_a_transaction() {
    let place = Place::new();
    let (_apart, origin) = wallet(&place, "127.0.0.1:0").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let charge = json!({ "order": "o", "user": "u", "amount": 5 });
    let keys = Settings::read(place.path()).unwrap().keys();
    let other = onceward_backend::KeyRing::generate().unwrap();
    let url = |origin: &str| origin.parse::<reqwest::Url>().unwrap();
    let stranger = RemoteWallets::new(url(&origin), Pass::of(&other)).unwrap();
    for (method, path) in
        [("GET", "/health"), ("GET", "/wallets"), ("GET", "/wallets/u"), ("POST", "/wallets/u"), ("POST", "/charges")]
    {
        for pass in [None, Some("Bearer "), Some("Bearer wrong"), Some("Basic eDp5")] {
            let request = http.request(method.parse().unwrap(), format!("{origin}{path}")).json(&charge);
            let request = pass.into_iter().fold(request, |request, pass| request.header("authorization", pass));
            let request = request.header("tx_xid", "0123456789abcdef.1");
            assert_eq!(request.send().await.unwrap().status(), 401, "{method} {path} {pass:?}");
        }
    }
    assert_eq!(stranger.open("u").await.unwrap_err().class(), ErrorClass::Refused);

    let known = RemoteWallets::new(url(&origin), Pass::of(&keys)).unwrap();
    known.health().await.unwrap();
    known.open("u/../?x=1").await.unwrap();
    let (balance, ledger) = known.of_user("u/../?x=1").await.unwrap();
    assert!(balance > 0 && ledger.is_empty());
    let charged = known.charge(&Charge { order: "o", user: "u/../?x=1", amount: 5, xid: "" }).await;
    assert!(matches!(charged, Err(OrderError::Statement(_))), "{charged:?}");
    let all = known.all().await.unwrap();
    assert_eq!((all.0.into_iter().collect::<Vec<_>>(), all.1.len()), (vec![("u/../?x=1".to_owned(), balance)], 0));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    for bad in ["127.0.0.1:8090", "ftp://x", "http://", "http://x/path"] {
        let (code, out, err) = run(["serve", "--wallet-url", bad]).await;
        assert!(code == 2 && out.is_empty() && err.contains("http://127.0.0.1:8090"), "{code} {err}");
    }
}
