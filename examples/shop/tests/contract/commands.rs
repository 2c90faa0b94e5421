//! `shop serve` and `shop demo` as a script meets them.

use std::net::TcpListener;
use std::time::Duration;

use testkit::Exit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::place::{FRESH_IS_EMPTY, Place};
use crate::support::{READY, Shop, Visitor, ended, folder, host, plenty, program, reply, run};

const DRAIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn serve_says_where_it_listens_and_stops_when_asked() {
    for signal in ["TERM", "INT"] {
        let mut shop = Shop::open().await;
        let out = shop.child.stdout();
        let lines: Vec<_> = out.iter().filter(|line| line.contains("listening on")).collect();
        let expected = [format!("mini-qq listening on {}", shop.qq), format!("shop listening on {}", shop.origin)];
        assert_eq!(lines, expected.iter().collect::<Vec<_>>());
        assert_eq!(out.len(), 2, "logs go to standard error: {out:?}");
        assert_ne!(shop.origin, shop.qq);
        let authorize = shop.visitor().start("/").await.unwrap();
        assert!(authorize.starts_with(&shop.qq), "the printed origins are those in every redirect");
        // An open connection with nothing under way does not hold it up.
        let idle = TcpStream::connect(host(&shop.origin)).await.unwrap();
        shop.child.signal(signal);
        assert_eq!(shop.child.wait(DRAIN).await, Exit::Code(0), "{signal}");
        drop(idle);
    }
}

#[tokio::test]
async fn a_request_that_runs_is_answered_before_the_shop_stops() {
    let mut shop = Shop::open().await;
    let visitor = shop.visitor();
    let csrf = visitor.csrf().await.unwrap();
    let body = format!("csrf={csrf}&sku={}", plenty(0).0);
    let mut stream = TcpStream::connect(host(&shop.origin)).await.unwrap();
    let head = format!(
        "POST /cart/lines HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The shop asks for the body when the handler reads it: from then on the request runs.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    shop.child.signal("TERM");
    // Nobody else is let in meanwhile, and whoever balances load is told.
    testkit::eventually(READY, async || {
        let ready = reply(visitor.json("GET", "/readyz")).await;
        if ready.status == 503 { Ok(()) } else { Err(ready.status) }
    })
    .await;
    reply(visitor.json("GET", "/readyz")).await.problem(503);
    assert_eq!(reply(visitor.request("GET", "/healthz")).await.status, 200, "it lives");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // Without the guest's cookie it is refused; that it is answered is the point.
    assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(shop.child.wait(DRAIN).await, Exit::Code(0));
}

#[tokio::test]
async fn a_second_serve_on_a_folder_is_refused_by_name() {
    let shop = Shop::open().await;
    let data = shop.place.path().to_str().unwrap();
    for more in [&["--fresh"][..], &[]] {
        let launch = shop.place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data", data]).args(more);
        let (code, out, err) = ended(launch).await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(data), "{err}");
    }
    assert_eq!(reply(shop.visitor().request("GET", "/readyz")).await.status, 200, "the first one goes on");
}

#[tokio::test]
async fn mini_qq_takes_the_next_port() {
    // Two free ports in a row, which nobody else is given.
    let (listen, next) = loop {
        let port = crate::support::pinned_port();
        if TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            break (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
        }
    };
    let place = Place::new();
    // Without a command it serves.
    let mut child = place.launch().args(["--listen", &listen, "--data"]).arg(place.path()).start();
    child.wait_for_line(|line| line == format!("mini-qq listening on {next}"), READY).await;
    child.wait_for_line(|line| line == format!("shop listening on http://{listen}"), READY).await;
    assert!(child.terminate(DRAIN).await.success());
}

#[tokio::test]
async fn a_taken_port_is_refused_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let args = ["serve", "--listen", &address, "--mini-qq-listen", "127.0.0.1:0", "--data"];
    let (code, _, err) = ended(place.launch().args(args).arg(place.path())).await;
    assert!(code == 1 && err.contains(&address), "{code} {err}");
}

#[tokio::test]
async fn fresh_starts_with_nothing_and_removes_nothing_else() {
    let shop = Shop::pinned(None).await;
    std::fs::write(shop.place.path().join("notes.txt"), "mine").unwrap();
    let (sku, _) = plenty(0);
    let member = shop.member("alice").await;
    member.put(&sku, 2).await;
    let stock = async |visitor: &Visitor| visitor.read(&format!("/p/{sku}")).await["stock"].as_i64().unwrap();
    let before = stock(&member).await;
    member.buy(&member.confirm().await).await;
    let Shop { mut child, place, origin, qq } = shop;
    assert!(child.terminate(DRAIN).await.success());

    let launch =
        place.launch().args(["serve", "--fresh", "--listen", host(&origin), "--mini-qq-listen", host(&qq), "--data"]);
    let mut child = launch.arg(place.path()).start();
    child.wait_for_line(|line| line.starts_with("shop listening on "), READY).await;
    assert_eq!(stock(&member).await, if FRESH_IS_EMPTY { before } else { before - 2 });
    reply(member.json("GET", "/account")).await.problem(401);
    // On servers too: a new folder has new keys and new identities.
    member.login("alice", "/").await.unwrap();
    assert_eq!((member.orders().await.len(), member.lines().await.len()), (0, 0));
    assert_eq!(std::fs::read_to_string(place.path().join("notes.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn a_seed_makes_a_catalogue_and_stays_with_the_data() {
    let mut shop = Shop::with(["--seed", "7"]).await;
    let seven = shop.visitor().read("/").await["products"].clone();
    let default = crate::support::shared().await.visitor().read("/").await["products"].clone();
    assert_ne!(seven, default);
    assert!(shop.child.terminate(DRAIN).await.success());

    let data = shop.place.path().to_str().unwrap().to_owned();
    let other = shop.place.launch().args(["serve", "--seed", "8", "--listen", "127.0.0.1:0", "--data", &data]);
    let (code, _, err) = ended(other).await;
    assert!(code == 1 && err.contains(&data) && err.contains('7'), "{code} {err}");

    for args in [&[][..], &["--seed", "7"][..]] {
        let launch = shop.place.launch().args(["serve", "--listen", "127.0.0.1:0", "--data", &data]).args(args);
        let mut child = launch.start();
        let line = child.wait_for_line(|line| line.starts_with("shop listening on "), READY).await;
        let visitor = Visitor::new(line.strip_prefix("shop listening on ").unwrap());
        assert_eq!(visitor.read("/").await["products"], seven, "{args:?}");
        assert!(child.terminate(DRAIN).await.success());
    }
}

#[tokio::test]
async fn a_part_of_the_backends_is_refused_with_the_missing_names() {
    const NAMES: [&str; 4] = ["REDIS_URL", "POSTGRES_URL", "MYSQL_URL", "AMQP_URL"];
    let folder = folder();
    for given in [&[0][..], &[1], &[3], &[0, 1, 2], &[1, 3]] {
        let mut launch = program().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
        for (at, name) in NAMES.iter().enumerate().filter(|(at, _)| given.contains(at)) {
            // Half of them as flags of the same names.
            let url = format!("x://user:secret-{at}@127.0.0.1:1/");
            let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
            launch = if at % 2 == 0 { launch.env(name, url) } else { launch.args([flag, url]) };
        }
        let (code, out, err) = ended(launch).await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(!err.contains("secret-"), "{err}");
        for (at, name) in NAMES.iter().enumerate() {
            let missing = err.lines().find(|line| line.contains("missing")).unwrap_or_else(|| panic!("{err}"));
            let listed = missing.split_once(':').map_or(missing, |_| missing.split("give").next().unwrap());
            assert_eq!(listed.contains(name), !given.contains(&at), "{name}: {err}");
        }
    }
    assert!(!folder.path().join("shop.json").exists(), "nothing was begun");
}

#[tokio::test]
async fn arguments_that_mean_nothing_are_refused() {
    for args in [
        ["serve", "--order-token-ttl", "5"],
        ["serve", "--order-token-ttl", "-1s"],
        ["serve", "--listen", "here"],
        ["serve", "--seed", "x"],
        ["demo", "--data", "x"],
        ["demo", "nothing", "else"],
        ["serve", "--namespace", "Shop"],
        ["verify", "--namespace", "a;drop"],
    ] {
        let (code, out, err) = run(args).await;
        assert!(code != 0 && out.is_empty() && !err.is_empty(), "{args:?}: {code} {out}");
    }
}

#[tokio::test]
async fn the_demonstration_succeeds() {
    let (code, out, err) = ended(Place::new().launch().arg("demo")).await;
    assert_eq!(code, 0, "{out}\n{err}");
    for word in ["alice", "303", "xid", "notified", "409", "kill -9", "is parked", "would do", "all invariants hold"] {
        assert!(out.contains(word), "{word} is not in {out}");
    }
}
