//! `shop verify`: what it says of sound, running, damaged and absent data.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::support::{Shop, folder, holds, plenty, run, verify};

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

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

async fn damage(data: &Path, database: &str, statement: &'static str) {
    let url = format!("sqlite://{}", data.join(database).display());
    let options = SqliteConnectOptions::from_str(&url).unwrap();
    let mut connection: SqliteConnection = options.connect().await.unwrap();
    let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
    connection.close().await.unwrap();
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
    let data = shop.folder.path().to_str().unwrap().to_owned();
    let (code, text, _) = run(["verify", "--data", &data]).await;
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
async fn what_does_not_add_up_is_found() {
    let mut shop = busy_shop().await;
    assert!(shop.child.terminate(Duration::from_secs(20)).await.success());
    holds(&shop.verify().await);
    let table = [
        (
            "wallet.db",
            "update wallets set balance = balance - 1 where user_id = (select min(user_id) from wallets)",
            "wallets-balance",
        ),
        (
            "wallet.db",
            "update ledger set amount = amount - 1 where reference = (select min(reference) from ledger)",
            "orders-paid",
        ),
        ("wallet.db", "delete from ledger where reference = (select min(reference) from ledger)", "orders-paid"),
        (
            "stock.db",
            "update stock set quantity = quantity + 1 where sku = (select min(sku) from stock_moves)",
            "stock-conserved",
        ),
        ("stock.db", "delete from stock where sku = (select min(sku) from stock)", "stock-conserved"),
        (
            "stock.db",
            "update stock_moves set quantity = 9 where rowid = (select min(rowid) from stock_moves)",
            "orders-stocked",
        ),
        ("orders.db", "update orders set total = total + 1 where id = (select min(id) from orders)", "orders-paid"),
        ("orders.db", "delete from orders where id = (select min(id) from orders)", "orders-paid"),
        (
            "orders.db",
            "update orders set status = 'cancelled' where id = (select min(id) from orders)",
            "stock-conserved",
        ),
        ("notify.db", "delete from notifications where id = (select min(id) from notifications)", "notified-once"),
        (
            "notify.db",
            "insert into notifications (order_id, user_id, body, sent_at) select order_id, user_id, body, sent_at from \
             notifications limit 1",
            "notified-once",
        ),
    ];
    for (database, statement, name) in table {
        let damaged = folder();
        copy(shop.folder.path(), damaged.path());
        damage(damaged.path(), database, statement).await;
        let (code, report) = verify(damaged.path()).await;
        assert_eq!((code, &report["ok"]), (1, &false.into()), "{statement}: {report:#}");
        let broken = |wanted: &str| {
            report["invariants"].as_array().unwrap().iter().any(|one| one["name"] == wanted && one["ok"] == false)
        };
        assert!(broken(name), "{statement}: {report:#}");
        let (code, text, _) = run(["verify", "--data", damaged.path().to_str().unwrap()]).await;
        assert!(code == 1 && text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn without_stores_to_read_it_is_2() {
    let empty = folder();
    let absent = empty.path().join("absent");
    let damaged = folder();
    std::fs::write(damaged.path().join("shop.json"), "{").unwrap();
    for data in [empty.path(), &absent, damaged.path()] {
        for json in [&["--json"][..], &[]] {
            let launch = crate::support::program().args(["verify", "--data"]).arg(data).args(json);
            let (code, out, err) = crate::support::ended(launch).await;
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
    for file in ["orders.db", "wallet.db", "stock.db", "tc.db", "notify.db"] {
        for content in [None, Some("this is no database, however long one reads it".repeat(200))] {
            let broken = folder();
            copy(shop.folder.path(), broken.path());
            let store = broken.path().join(file);
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(broken.path().join(format!("{file}{end}")));
            }
            match &content {
                None => std::fs::remove_file(&store).unwrap(),
                Some(content) => std::fs::write(&store, content).unwrap(),
            }
            let (code, out, err) = run(["verify", "--data", broken.path().to_str().unwrap()]).await;
            assert_eq!((code, out.as_str()), (2, ""), "{file} {:?}: {err}", content.is_some());
        }
    }
}
