//! A TCP proxy on loopback whose wire can be spoilt while it runs.

mod pump;
mod socket;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// What the [`Proxy`] does with the bytes that pass. See [`Proxy::set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    Pass,
    /// Connecting is refused by the operating system, open connections are cut: the service is not running.
    Refuse,
    /// Connections are accepted and stay open, nothing is forwarded in either direction: the service or the network
    /// is frozen. What was written meanwhile is forwarded when another mode is set.
    Stall,
    /// Connections are accepted and stay open, and what is sent in either direction vanishes: the other side has gone
    /// without a word. A connection that has lost something stays silent in every later mode, until it is closed or cut.
    BlackHole,
    /// Each byte arrives this much later, in both directions: a round trip takes twice as long more.
    Delay(Duration),
    /// Forwards requests, and cuts a connection instead of forwarding the reply to a request that was sent in this
    /// mode: the server has done it and the client does not know. Stays until another mode is set.
    DropReplies,
    /// Like [`Mode::DropReplies`], once, for the first request that contains these bytes in one piece (a statement's
    /// text, say `COMMIT`); the mode is [`Mode::Pass`] from then on.
    DropReplyTo(Vec<u8>),
    /// Cuts the connection instead of forwarding the first piece of a request that contains these bytes: the server
    /// never gets it. The mode is [`Mode::Pass`] from then on.
    CutBefore(Vec<u8>),
}

/// A TCP proxy on a free loopback port in front of any address.
///
/// It starts in [`Mode::Pass`]; all connections are cut when it is dropped. It runs on the runtime that started it, so
/// a test that blocks its thread needs a multi-thread runtime.
///
/// ```no_run
/// # async fn example() {
/// use testkit::{Mode, Proxy};
/// let proxy = Proxy::in_front_of(&testkit::url("POSTGRES_URL")).await;
/// // connect to proxy.url() ..
/// proxy.set(Mode::DropReplyTo(b"COMMIT".to_vec())); // the outcome of the next commit is unknown
/// # }
/// ```
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    url: Option<String>,
    /// Dropped with the proxy: the tasks see it and end.
    _alive: watch::Sender<()>,
}

impl Proxy {
    /// A proxy in front of `target` (`host:port`).
    ///
    /// # Panics
    /// If no loopback port can be had.
    pub async fn start(target: impl fmt::Display) -> Self {
        let (alive, ended) = watch::channel(());
        let port = socket::Port::reserve();
        let addr = port.addr();
        let shared = Arc::new(Shared {
            target: target.to_string(),
            mode: watch::Sender::new(Mode::Pass),
            epoch: watch::Sender::new(0),
            listening: watch::Sender::new(true),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        });
        let listener = port.listen();
        spawn(pump::accept(Arc::clone(&shared), port, listener, ended));
        Self { shared, addr, url: None, _alive: alive }
    }

    /// A proxy in front of the service that `url` names; [`Proxy::url`] is the same URL through the proxy.
    ///
    /// # Panics
    /// If `url` has no `scheme://host:port`.
    pub async fn in_front_of(url: &str) -> Self {
        let (before, place, after) = split(url);
        let mut proxy = Self::start(place).await;
        proxy.url = Some(format!("{before}{}{after}", proxy.addr));
        proxy
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL given to [`Proxy::in_front_of`], with the proxy's address.
    ///
    /// # Panics
    /// If the proxy was started by [`Proxy::start`].
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_deref().expect("started by `in_front_of`")
    }

    /// Changes the mode, for open connections too.
    ///
    /// With [`Mode::Refuse`] and back the port stays reserved; returns at once, a connection attempt made right after
    /// may still meet the old mode. [`Proxy::settle`] waits for the change.
    pub fn set(&self, mode: Mode) {
        if mode == Mode::Refuse {
            self.shared.mode.send_replace(mode);
            self.cut();
        } else {
            self.shared.mode.send_replace(mode);
        }
    }

    /// [`Proxy::set`], and waits until connection attempts meet the new mode.
    ///
    /// # Panics
    /// If that takes longer than five seconds.
    pub async fn settle(&self, mode: Mode) {
        let refuse = mode == Mode::Refuse;
        self.set(mode);
        let mut listening = self.shared.listening.subscribe();
        let changed = listening.wait_for(|listening| *listening != refuse);
        timeout(Duration::from_secs(5), changed).await.expect("the listener follows the mode").expect("it lives");
        self.reset_counts();
    }

    /// The mode now; the modes that act once have gone back to [`Mode::Pass`] after they acted.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.shared.mode.borrow().clone()
    }

    /// Closes every open connection, on both sides. The mode stays, new connections are served by it.
    pub fn cut(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Round trips: runs of bytes from client to server before the other side answers. What a client sends ahead in one
    /// run counts once.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::SeqCst)
    }

    /// Bytes that came from clients and from the server.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.sent.load(Ordering::SeqCst), self.shared.received.load(Ordering::SeqCst))
    }

    /// Sets the counters of connections, round_trips and bytes to zero.
    pub fn reset_counts(&self) {
        for counter in [&self.shared.connections, &self.shared.round_trips, &self.shared.sent, &self.shared.received] {
            counter.store(0, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("target", &self.shared.target)
            .field("mode", &self.mode())
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}

struct Shared {
    target: String,
    mode: watch::Sender<Mode>,
    /// Grows with each cut; a connection ends when it differs from the one it began with.
    epoch: watch::Sender<u64>,
    /// What the accept loop has made of the mode.
    listening: watch::Sender<bool>,
    connections: AtomicU64,
    open: AtomicU64,
    round_trips: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

#[allow(clippy::disallowed_methods, reason = "a test tool; its tasks end with the guard")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// `url` in front of, at and behind its `host:port`.
pub(crate) fn split(url: &str) -> (&str, &str, &str) {
    let start = url.find("://").expect("a URL with a scheme") + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let start = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let place = &url[start..end];
    assert!(
        place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()),
        "the proxy needs a URL with host and port"
    );
    (&url[..start], place, &url[end..])
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_place_of_a_url() {
        assert_eq!(split("a://u:p@127.0.0.1:1/db?x=1"), ("a://u:p@", "127.0.0.1:1", "/db?x=1"));
        assert_eq!(split("redis://[::1]:6379"), ("redis://", "[::1]:6379", ""));
    }

    #[test]
    #[should_panic(expected = "host and port")]
    fn a_url_without_a_port_is_refused() {
        split("mysql://localhost/db");
    }
}
