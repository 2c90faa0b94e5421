//! `shop verify`: what it says of sound, running, damaged and absent data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::place::Place;
use crate::support::{Shop, ended, folder, holds, plenty, verify};

const NAMES: [&str; 8] = [
    "stock-conserved",
    "wallets-balance",
    "orders-paid",
    "orders-stocked",
    "one-order-per-token",
    "notified-once",
    "nothing-stuck",
    "outbox-empty",
];

/// A shop in which two users bought and were notified.
async fn busy_shop() -> Shop {
    let shop = Shop::open().await;
    for user in ["alice", "bob"] {
        let visitor = shop.member(user).await;
        for n in 0..2 {
            visitor.put(&plenty(n).0, 2).await;
            visitor.put(&plenty(n + 1).0, 1).await;
            visitor.buy(&visitor.confirm().await).await;
        }
        visitor.put(&plenty(0).0, 1).await;
    }
    shop
}

#[tokio::test]
async fn beside_a_running_shop_and_after_it() {
    let mut shop = busy_shop().await;
    let report = shop.verify().await;
    holds(&report);
    assert!(report.1.as_object().unwrap().len() == 2, "{}", report.1);
    let invariants = report.1["invariants"].as_array().unwrap();
    let names: Vec<_> = invariants.iter().map(|invariant| invariant["name"].as_str().unwrap()).collect();
    let set: BTreeSet<_> = names.iter().copied().collect();
    assert!(set.is_superset(&BTreeSet::from(NAMES)) && set.len() == names.len(), "{names:?}");
    for invariant in invariants {
        assert!(invariant["ok"].is_boolean() && invariant["detail"].is_string(), "{invariant}");
        assert_eq!(invariant.as_object().unwrap().len(), 3, "{invariant}");
    }
    let (code, text, _) = ended(shop.place.launch().args(["verify", "--data"]).arg(shop.place.path())).await;
    assert!(code == 0 && NAMES.iter().all(|name| text.contains(name)), "{code} {text}");

    shop.child.terminate(Duration::from_secs(20)).await;
    holds(&shop.verify().await);
    // Once more: the first run changed nothing that the second one misses.
    holds(&shop.verify().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_shop_that_is_busy() {
    let shop = Shop::open().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut buying = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let (visitor, stop) = (shop.member(user).await, Arc::clone(&stop));
        buying.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                visitor.put(&plenty(n).0, 1).await;
                visitor.buy(&visitor.confirm().await).await;
                n += 1;
            }
            n
        }));
    }
    for _ in 0..3 {
        holds(&shop.verify().await);
    }
    stop.store(true, Ordering::Relaxed);
    for bought in buying {
        assert!(bought.await.unwrap() > 0);
    }
    holds(&shop.verify().await);
}

#[tokio::test]
async fn what_does_not_add_up_is_found_beside_a_running_shop() {
    let shop = busy_shop().await;
    holds(&shop.verify().await);
    // The youngest order is the one that is not notified: nothing in it says that it is not on its way.
    let place = &shop.place;
    place.damage("notify", "delete from notifications where id = (select max(id) from notifications)").await;
    place.damage("stock", "update stock set quantity = quantity + 1 where sku = (select min(sku) from stock)").await;
    let (code, report) = shop.verify().await;
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report:#}");
    let invariants = report["invariants"].as_array().unwrap();
    let broken = invariants.iter().filter(|one| one["ok"] == false).map(|one| one["name"].as_str().unwrap());
    assert_eq!(broken.collect::<BTreeSet<_>>(), BTreeSet::from(["notified-once", "stock-conserved"]), "{report:#}");
}

#[tokio::test]
async fn what_does_not_add_up_is_found() {
    let mut shop = busy_shop().await;
    assert!(shop.child.terminate(Duration::from_secs(20)).await.success());
    holds(&shop.verify().await);
    let table = [
        (
            "wallet",
            "update wallets set balance = balance - 1 where user_id = (select min(user_id) from wallets)",
            "wallets-balance",
        ),
        (
            "wallet",
            "update ledger set amount = amount - 1 where reference = (select min(reference) from ledger)",
            "orders-paid",
        ),
        ("wallet", "delete from ledger where reference = (select min(reference) from ledger)", "orders-paid"),
        (
            "stock",
            "update stock set quantity = quantity + 1 where sku = (select min(sku) from stock_moves)",
            "stock-conserved",
        ),
        ("stock", "delete from stock where sku = (select min(sku) from stock)", "stock-conserved"),
        (
            "stock",
            "update stock_moves set quantity = 9 where order_id = (select min(order_id) from stock_moves) and sku = \
             (select min(sku) from stock_moves where order_id = (select min(order_id) from stock_moves))",
            "orders-stocked",
        ),
        ("orders", "update orders set total = total + 1 where id = (select min(id) from orders)", "orders-paid"),
        ("orders", "delete from orders where id = (select min(id) from orders)", "orders-paid"),
        ("orders", "update orders set status = 'cancelled' where id = (select min(id) from orders)", "stock-conserved"),
        ("notify", "delete from notifications where id = (select min(id) from notifications)", "notified-once"),
        (
            "notify",
            "insert into notifications (order_id, user_id, body, sent_at) select order_id, user_id, body, sent_at from \
             notifications limit 1",
            "notified-once",
        ),
    ];
    for (database, statement, name) in table {
        let look = async |place: &Place| {
            let (code, report) = verify(place).await;
            assert_eq!((code, &report["ok"]), (1, &false.into()), "{statement}: {report:#}");
            let broken = |wanted: &str| {
                report["invariants"].as_array().unwrap().iter().any(|one| one["name"] == wanted && one["ok"] == false)
            };
            assert!(broken(name), "{statement}: {report:#}");
            let (code, text, _) = ended(place.launch().args(["verify", "--data"]).arg(place.path())).await;
            assert!(code == 1 && text.contains(name), "{text}");
        };
        shop.place.with_damage(database, statement, look).await;
    }
    holds(&shop.verify().await);
}

#[tokio::test]
async fn without_stores_to_read_it_is_2() {
    let (place, empty) = (Place::new(), folder());
    let absent = empty.path().join("absent");
    let damaged = folder();
    std::fs::write(damaged.path().join("shop.json"), "{").unwrap();
    for data in [empty.path(), &absent, damaged.path()] {
        for json in [&["--json"][..], &[]] {
            let launch = place.launch().args(["verify", "--data"]).arg(data).args(json);
            let (code, out, err) = ended(launch).await;
            assert_eq!((code, out.as_str()), (2, ""), "{err}");
            assert!(!err.is_empty());
        }
    }
    assert!(!absent.exists(), "looking makes no folder");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "and no file");
}

#[tokio::test]
async fn stores_that_are_missing_or_no_stores_are_2() {
    let mut shop = busy_shop().await;
    assert!(shop.child.terminate(Duration::from_secs(20)).await.success());
    for database in ["orders", "wallet", "stock", "tc", "notify"] {
        let look = async |place: &Place| {
            let (code, out, err) = ended(place.launch().args(["verify", "--data"]).arg(place.path())).await;
            assert_eq!((code, out.as_str()), (2, ""), "{database}: {err}");
            assert!(!err.is_empty());
        };
        shop.place.without(database, look).await;
    }
}
