//! The proxy in front of a server that echoes lines.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test spawns its server and panics")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{Mode, Proxy, eventually};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const NOT_SOON: Duration = Duration::from_millis(150);

/// Answers each line with itself; counts the lines it got.
struct Echo {
    addr: SocketAddr,
    lines: Arc<AtomicUsize>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let lines = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let (reader, mut writer) = stream.into_split();
                    let mut reader = BufReader::new(reader).lines();
                    while let Ok(Some(line)) = reader.next_line().await {
                        counter.fetch_add(1, Ordering::SeqCst);
                        if writer.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, lines }
    }

    fn lines(&self) -> usize {
        self.lines.load(Ordering::SeqCst)
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(proxy: &Proxy) -> Self {
        Self(BufReader::new(TcpStream::connect(proxy.addr()).await.unwrap()))
    }

    async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    async fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.send(line).await;
        timeout(SOON, self.answer()).await.unwrap()
    }
}

#[tokio::test]
async fn passes_and_counts_round_trips() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    for n in 0..5 {
        assert_eq!(client.ask(&n.to_string()).await.unwrap(), n.to_string());
    }
    assert_eq!(proxy.round_trips(), 5);
    assert_eq!(proxy.connections(), 1);
    assert_eq!(proxy.bytes(), (10, 10));
    proxy.reset_counts();
    client.0.write_all(b"a\nb\n").await.unwrap();
    client.answer().await.unwrap();
    client.answer().await.unwrap();
    assert_eq!(proxy.round_trips(), 1, "two requests in one piece are one round trip");
}

#[tokio::test]
async fn a_closed_half_is_passed_on() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.send("last").await;
    client.0.shutdown().await.unwrap();
    let mut rest = String::new();
    timeout(SOON, client.0.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, "last\n");
    eventually(SOON, async || if proxy.open() == 0 { Ok(()) } else { Err("still open") }).await;
}

#[tokio::test]
async fn cuts_open_connections_only() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.ask("one").await.unwrap();
    proxy.cut();
    assert!(timeout(SOON, client.answer()).await.unwrap().is_err());
    assert_eq!(Client::connect(&proxy).await.ask("two").await.unwrap(), "two");
}

#[tokio::test]
async fn refuses_and_comes_back_on_the_same_port() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.ask("one").await.unwrap();
    proxy.settle(Mode::Refuse).await;
    assert!(timeout(SOON, client.answer()).await.unwrap().is_err());
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.settle(Mode::Pass).await;
    assert_eq!(Client::connect(&proxy).await.ask("two").await.unwrap(), "two");
}

#[tokio::test]
async fn stalls_without_losing_bytes() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut open = Client::connect(&proxy).await;
    open.ask("one").await.unwrap();
    proxy.set(Mode::Stall);
    open.send("two").await;
    let mut fresh = Client::connect(&proxy).await;
    fresh.send("three").await;
    assert!(timeout(NOT_SOON, open.answer()).await.is_err());
    assert_eq!(echo.lines(), 1);
    proxy.set(Mode::Pass);
    assert_eq!(timeout(SOON, open.answer()).await.unwrap().unwrap(), "two");
    assert_eq!(timeout(SOON, fresh.answer()).await.unwrap().unwrap(), "three");
}

#[tokio::test]
async fn a_black_hole_swallows_and_never_gives_back() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut open = Client::connect(&proxy).await;
    open.ask("one").await.unwrap();
    let mut quiet = Client::connect(&proxy).await;
    quiet.ask("two").await.unwrap();
    proxy.set(Mode::BlackHole);
    open.send("three").await;
    let mut fresh = Client::connect(&proxy).await;
    fresh.send("four").await;
    assert!(timeout(NOT_SOON, open.answer()).await.is_err(), "it stays open and says nothing");
    eventually(SOON, async || if proxy.bytes().0 == 19 { Ok(()) } else { Err("not read yet") }).await;
    proxy.set(Mode::Pass);
    open.send("five").await;
    assert_eq!(quiet.ask("six").await.unwrap(), "six", "a connection that lost nothing goes on");
    assert!(timeout(NOT_SOON, open.answer()).await.is_err());
    assert!(timeout(NOT_SOON, fresh.answer()).await.is_err());
    assert_eq!(echo.lines(), 3, "what vanished never arrived");
    proxy.cut();
    assert!(timeout(SOON, open.answer()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_stalled_connection_can_be_cut() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.ask("one").await.unwrap();
    proxy.set(Mode::Stall);
    client.send("two").await;
    proxy.cut();
    assert!(timeout(SOON, client.answer()).await.unwrap().is_err());
}

#[tokio::test]
async fn delays_latency_and_not_rate() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let mut client = Client::connect(&proxy).await;
    let start = Instant::now();
    client.ask("one").await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(199), "{:?}", start.elapsed());
    let start = Instant::now();
    for n in 0..20 {
        client.send(&n.to_string()).await;
    }
    for _ in 0..20 {
        client.answer().await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(2000), "20 pipelined requests: {:?}", start.elapsed());
}

#[tokio::test]
async fn drops_the_reply_after_the_server_has_acted() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.ask("one").await.unwrap();
    proxy.set(Mode::DropReplies);
    assert!(client.ask("two").await.is_err());
    assert_eq!(echo.lines(), 2, "the server got the request");
    assert!(Client::connect(&proxy).await.ask("three").await.is_err(), "the mode stays");
    proxy.set(Mode::Pass);
    assert_eq!(Client::connect(&proxy).await.ask("four").await.unwrap(), "four");
}

#[tokio::test]
async fn drops_the_reply_to_one_request() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    proxy.set(Mode::DropReplyTo(b"COMMIT".to_vec()));
    assert_eq!(client.ask("begin").await.unwrap(), "begin");
    assert!(client.ask("COMMIT 1").await.is_err());
    assert_eq!(echo.lines(), 2);
    assert_eq!(proxy.mode(), Mode::Pass);
    assert_eq!(Client::connect(&proxy).await.ask("COMMIT 2").await.unwrap(), "COMMIT 2");
}

#[tokio::test]
async fn cuts_before_one_request() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    proxy.set(Mode::CutBefore(b"COMMIT".to_vec()));
    client.ask("begin").await.unwrap();
    assert!(client.ask("COMMIT").await.is_err());
    assert_eq!(echo.lines(), 1, "the server never got the request");
    assert_eq!(proxy.mode(), Mode::Pass);
}

#[tokio::test]
async fn an_absent_target_closes_the_connection() {
    let holder = Proxy::start("127.0.0.1:1").await;
    holder.settle(Mode::Refuse).await;
    let proxy = Proxy::start(holder.addr()).await;
    assert!(Client::connect(&proxy).await.answer().await.is_err());
}

#[tokio::test]
async fn ends_with_its_guard() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(echo.addr).await;
    let mut client = Client::connect(&proxy).await;
    client.ask("one").await.unwrap();
    let addr = proxy.addr();
    drop(proxy);
    assert!(timeout(SOON, client.answer()).await.unwrap().is_err());
    eventually(SOON, async || match TcpStream::connect(addr).await {
        Err(_) => Ok(()),
        Ok(_) => Err("the port still listens"),
    })
    .await;
}

#[tokio::test]
async fn gives_the_url_through_itself() {
    let echo = Echo::start().await;
    let proxy = Proxy::in_front_of(&format!("echo://user:pw@{}/db", echo.addr)).await;
    assert_eq!(proxy.url(), format!("echo://user:pw@{}/db", proxy.addr()));
    assert_eq!(Client::connect(&proxy).await.ask("one").await.unwrap(), "one");
}
