//! What only servers can do: forget, be shared, be missing, fall silent.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shop::servers::Servers;
use sqlx::{Connection, PgConnection, query_scalar};
use testkit::{Exit, Mode, Proxy};

use crate::place::{NAMES, Place, servers};
use crate::support::{READY, SOON, Shop, ended, holds, plenty, reply};

#[tokio::test]
async fn what_redis_forgets_is_ordered_once_all_the_same() {
    let shop = Shop::open().await;
    let member = shop.member("alice").await;
    member.put(&plenty(0).0, 2).await;
    let confirm = member.confirm().await;
    let order = member.buy(&confirm).await;

    shop.place.servers.forget().await.unwrap();
    reply(member.json("GET", "/account")).await.problem(401);
    assert_eq!(reply(member.json("GET", "/")).await.status, 200, "a guest like any other");
    // With the jar of before the visit above, whose page made a new guest of it.
    let other = shop.member("alice").await;
    let open = {
        other.put(&plenty(1).0, 1).await;
        other.confirm().await
    };
    shop.place.servers.forget().await.unwrap();
    other.refused(&open, 401).await;
    other.refused(&confirm, 403).await;

    member.login("alice", "/").await.unwrap();
    let csrf = member.csrf().await.unwrap();
    let again = member.write("/checkout", &[("order_token", confirm["order_token"].as_str().unwrap())]).await;
    again.see_other(&order);
    assert_ne!(confirm["csrf"], csrf);
    assert_eq!(member.orders().await, [order.replace("/orders/", "")], "the users outlive Redis");
    // The form that nobody had sent is forgotten: nothing is ordered by it.
    member.write("/checkout", &[("order_token", open["order_token"].as_str().unwrap())]).await.problem(409);
    member.put(&plenty(1).0, 1).await;
    member.buy(&member.confirm().await).await;
    for order in member.orders().await {
        member.notified(&format!("/orders/{order}")).await;
    }
    holds(&shop.verify().await);
}

#[tokio::test]
async fn a_second_shop_on_one_namespace_is_refused() {
    let shop = Shop::open().await;
    let data = crate::support::folder();
    let second = shop.place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let (code, out, err) = ended(second).await;
    assert_eq!((code, out.contains("shop listening")), (1, false), "{err}");
    assert!(err.contains(shop.place.namespace()) && err.contains("--namespace"), "{err}");
    assert_eq!(reply(shop.visitor().request("GET", "/readyz")).await.status, 200, "the first one goes on");
    holds(&shop.verify().await);
}

#[tokio::test]
async fn two_shops_share_their_servers() {
    let (one, other) = tokio::join!(Shop::open(), Shop::open());
    for shop in [&one, &other] {
        let member = shop.member("alice").await;
        assert_eq!((member.orders().await.len(), member.lines().await.len()), (0, 0));
        member.put(&plenty(0).0, 1).await;
        member.notified(&member.buy(&member.confirm().await).await).await;
    }
    one.place.servers.remove().await.unwrap();
    holds(&other.verify().await);
}

#[tokio::test]
async fn databases_are_made_by_as_many_as_come_at_once() {
    let place = Place::new();
    let making: Vec<_> = (0..32).map(|_| place.servers.create()).collect();
    for made in join_all(making).await {
        made.unwrap();
    }
    place.servers.exist().await.unwrap();
    let nothing: Servers = servers(&testkit::namespace());
    let absent = nothing.exist().await.unwrap_err().to_string();
    assert!(absent.contains(nothing.namespace().as_str()) && absent.starts_with("POSTGRES_URL"), "{absent}");
}

#[tokio::test]
async fn a_server_that_is_missing_is_named_without_its_password() {
    for (at, name) in NAMES.iter().enumerate() {
        let proxy = Proxy::in_front_of(&testkit::url(name)).await;
        proxy.settle(Mode::Refuse).await;
        let mut urls = NAMES.map(testkit::url);
        urls[at] = proxy.url().to_owned();
        let place = Place::at(urls);
        let launch = place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(place.path());
        let (code, out, err) = ended(launch).await;
        assert!(code == 1 && !out.contains("shop listening"), "{name}: {out}{err}");
        let told = err.lines().find(|line| line.starts_with("shop: ")).unwrap_or_else(|| panic!("{name}: {err}"));
        assert!(told.contains(name) && !told.contains("onceward:") && !told.contains(":onceward"), "{told}");
    }
}

/// A shop whose servers are each behind a proxy.
async fn behind_proxies() -> (Shop, [Proxy; 4]) {
    let mut proxies = Vec::new();
    for name in NAMES {
        proxies.push(Proxy::in_front_of(&testkit::url(name)).await);
    }
    let proxies: [Proxy; 4] = proxies.try_into().unwrap();
    let place = Place::at(proxies.each_ref().map(|proxy| proxy.url().to_owned()));
    (Shop::on(place, []).await, proxies)
}

#[tokio::test]
async fn readiness_names_what_is_down_and_what_is_silent() {
    let (shop, proxies) = behind_proxies().await;
    let visitor = shop.visitor();
    let expected: [&[&str]; 4] = [
        &["carts", "logins", "sessions", "tokens"],
        &["coordinator", "orders", "stock", "users", "wallet"],
        &["notify"],
        &["broker"],
    ];
    for (proxy, expected) in proxies.iter().zip(expected) {
        for mode in [Mode::Refuse, Mode::Stall] {
            proxy.settle(mode.clone()).await;
            let named = testkit::eventually(SOON, async || {
                let asked = Instant::now();
                let ready = reply(visitor.json("GET", "/readyz")).await;
                assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
                match ready.status {
                    503 => Ok(ready.json()["detail"].as_str().unwrap().to_owned()),
                    other => Err(other),
                }
            });
            let named = named.await;
            let named: BTreeSet<_> = named.strip_prefix("down: ").unwrap().split(", ").collect();
            assert_eq!(named, expected.iter().copied().collect(), "{mode:?}");
            proxy.settle(Mode::Pass).await;
            testkit::eventually(SOON, async || {
                let ready = reply(visitor.json("GET", "/readyz")).await;
                if ready.status == 200 { Ok(()) } else { Err(ready.text) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn silent_servers_are_told_within_10_s_and_the_shop_goes_on_after_them() {
    let (shop, proxies) = behind_proxies().await;
    let member = shop.member("alice").await;
    member.put(&plenty(0).0, 1).await;
    let order = member.buy(&member.confirm().await).await;
    member.notified(&order).await;
    for silent in [&proxies[..1], &proxies[1..], &proxies[..]] {
        member.put(&plenty(0).0, 1).await;
        let confirm = member.confirm().await;
        for proxy in silent {
            proxy.settle(Mode::Stall).await;
        }
        let form = ["csrf", "order_token"].map(|field| (field, confirm[field].as_str().unwrap()));
        let pages = ["/", "/cart", "/orders", "/wallet", "/account", &order].map(|path| member.html("GET", path));
        let asked = Instant::now();
        let submit = member.html("POST", "/checkout").form(&form);
        let answers = join_all(pages.into_iter().chain([submit]).map(reply)).await;
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        let told = answers.iter().filter(|answer| answer.status != 200);
        for answer in told.clone() {
            answer.page(503);
            assert_ne!(answer.header("retry-after"), "");
        }
        assert!(told.count() >= 3, "{answers:?}");
        for proxy in silent {
            proxy.settle(Mode::Pass).await;
        }
        // The form that was not answered can be sent again, and is one order.
        let sent = testkit::eventually(SOON, async || {
            let answer = reply(member.json("POST", "/checkout").form(&form)).await;
            if answer.status == 303 { Ok(answer.location().to_owned()) } else { Err(answer.text) }
        })
        .await;
        assert_eq!(member.buy(&confirm).await, sent);
        member.notified(&sent).await;
        assert_eq!(member.lines().await, []);
    }
    assert_eq!(member.orders().await.len(), 4);
    holds(&shop.verify().await);
}

#[tokio::test]
async fn a_start_that_waits_for_a_silent_server_can_be_stopped() {
    let proxy = Proxy::in_front_of(&testkit::url("POSTGRES_URL")).await;
    let mut urls = NAMES.map(testkit::url);
    urls[1] = proxy.url().to_owned();
    proxy.settle(Mode::Stall).await;
    let place = Place::at(urls);
    let launch = place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(place.path());
    let mut child = launch.start();
    child.wait_for_line(|line| line.starts_with("mini-qq listening on "), READY).await;
    let asked = Instant::now();
    assert_eq!(child.terminate(SOON).await, Exit::Code(0));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

/// The session that holds the claim on a namespace.
async fn holder(place: &Place) -> Option<i32> {
    let options: sqlx::postgres::PgConnectOptions = testkit::url("POSTGRES_URL").parse().unwrap();
    let database = format!("{}_tc", place.namespace());
    let mut postgres = PgConnection::connect_with(&options.database(&database)).await.unwrap();
    let holder = "select l.pid from pg_locks l join pg_database d on d.oid = l.database \
                  where l.locktype = 'advisory' and l.granted and d.datname = current_database()";
    query_scalar(holder).fetch_optional(&mut postgres).await.unwrap()
}

#[tokio::test]
async fn the_claim_is_taken_again_after_its_connection_was_lost() {
    let (mut shop, proxies) = behind_proxies().await;
    let mut known = holder(&shop.place).await.expect("a running shop has a claim");
    // After the second the server does not notice that the session is dead; the shop ends its own.
    for lost in [Mode::Refuse, Mode::BlackHole] {
        proxies[1].settle(lost).await;
        shop.child.wait_for_line(|line| line.contains("the claim on the namespace is lost"), SOON).await;
        proxies[1].settle(Mode::Pass).await;
        shop.child.wait_for_line(|line| line.contains("the namespace is claimed again"), SOON).await;
        let next = holder(&shop.place).await.expect("it is claimed again");
        assert_ne!(next, known);
        known = next;
    }
    let member = shop.member("bob").await;
    member.put(&plenty(0).0, 1).await;
    member.notified(&member.buy(&member.confirm().await).await).await;
    holds(&shop.verify().await);
}

#[tokio::test]
async fn a_shop_whose_claim_went_to_another_stops() {
    let (mut shop, proxies) = behind_proxies().await;
    proxies[1].settle(Mode::Refuse).await;
    let data = crate::support::folder();
    let direct = NAMES.iter().fold(shop.place.launch(), |launch, name| launch.env(name, testkit::url(name)));
    let mut second = direct.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path()).start();
    second.wait_for_line(|line| line.starts_with("shop listening on "), READY).await;
    proxies[1].settle(Mode::Pass).await;
    assert_eq!(shop.child.wait(SOON * 2).await, Exit::Code(1));
    let told = shop.child.stderr().join("\n");
    assert!(told.contains(shop.place.namespace()) && told.contains("another shop"), "{told}");
    assert!(second.terminate(SOON).await.success());
}

/// A row that is forgotten here would be tested embedded only.
#[test]
fn every_row_of_the_contract_is_here() {
    let rows = |main: &'static str| -> BTreeSet<&'static str> {
        main.lines().filter_map(|line| line.strip_prefix("mod ")).collect()
    };
    let own = BTreeSet::from(["servers;"]);
    let here = rows(include_str!("main.rs"));
    assert_eq!(here.difference(&own).copied().collect::<BTreeSet<_>>(), rows(include_str!("../contract/main.rs")));
    assert_eq!(rows(include_str!("../kill_services/main.rs")), rows(include_str!("../kill/main.rs")));
}
