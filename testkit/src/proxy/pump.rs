//! Moves the bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::socket::Port;
use super::{Mode, Shared, spawn};

/// Accepts until the proxy is dropped; has no listener while the mode is [`Mode::Refuse`].
pub(super) async fn accept(shared: Arc<Shared>, port: Port, listener: TcpListener, mut ended: watch::Receiver<()>) {
    let mut mode = shared.mode.subscribe();
    let mut listener = Some(listener);
    loop {
        let refuse = *mode.borrow_and_update() == Mode::Refuse;
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(port.listen());
        }
        shared.listening.send_if_modified(|listening| std::mem::replace(listening, !refuse) == refuse);
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ended.changed() => return,
            _ = mode.changed() => {}
            accepted = accepted => {
                let Ok((client, _)) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let epoch = shared.epoch.subscribe();
                spawn(serve(Arc::clone(&shared), client, epoch, ended.clone()));
            }
        }
    }
}

/// One connection, from accept to the end of either side, a cut, or the drop of the proxy.
async fn serve(
    shared: Arc<Shared>,
    client: TcpStream,
    mut epoch: watch::Receiver<u64>,
    mut ended: watch::Receiver<()>,
) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(&shared);
    tokio::select! {
        () = forward(&shared, client) => {}
        _ = epoch.changed() => {}
        _ = ended.changed() => {}
    }
}

/// Counts a connection as closed however its task ends.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn forward(shared: &Shared, client: TcpStream) {
    passing(shared).await;
    let Ok(server) = TcpStream::connect(&shared.target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let link = Link::default();
    let up = Pipe { shared, link: &link, upward: true };
    let down = Pipe { shared, link: &link, upward: false };
    // A side that closes its half is passed on as such; a cut ends both at once.
    let (mut up, mut down) =
        (std::pin::pin!(up.run(from_client, to_server)), std::pin::pin!(down.run(from_server, to_client)));
    tokio::select! {
        end = &mut up => if end == End::Closed { down.await; },
        end = &mut down => if end == End::Closed { up.await; },
    }
}

/// What both directions of a connection know.
#[derive(Debug, Default)]
struct Link {
    /// The last bytes went to the server.
    upward: AtomicBool,
    /// A request was sent whose reply is to be dropped.
    armed: AtomicBool,
    /// Something vanished: from then on everything does, for what follows a gap would be another text.
    lost: AtomicBool,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The sender closed its half; the other direction may go on.
    Closed,
    /// The connection is to be closed in both directions.
    Cut,
}

struct Pipe<'a> {
    shared: &'a Shared,
    link: &'a Link,
    upward: bool,
}

impl Pipe<'_> {
    /// Reading and writing run side by side, so that a delay adds to the latency and not to the rate.
    async fn run(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> End {
        let (queue, pieces) = mpsc::channel(64);
        let (read, written) = tokio::join!(self.read(from, queue), write(self.shared, to, pieces));
        if read == End::Cut || written == End::Cut { End::Cut } else { End::Closed }
    }

    async fn read(&self, mut from: OwnedReadHalf, queue: mpsc::Sender<(Instant, Vec<u8>)>) -> End {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            passing(self.shared).await;
            let length = match from.read(&mut buffer).await {
                Ok(0) => return End::Closed,
                Ok(length) => length,
                Err(_) => return End::Cut,
            };
            // The mode may have become `Stall` while the read was waiting.
            passing(self.shared).await;
            let piece = &buffer[..length];
            if !self.admit(piece) {
                return End::Cut;
            }
            if self.vanishes() {
                continue;
            }
            let delay = match *self.shared.mode.borrow() {
                Mode::Delay(delay) => delay,
                _ => Duration::ZERO,
            };
            if queue.send((Instant::now() + delay, piece.to_vec())).await.is_err() {
                return End::Cut;
            }
        }
    }

    /// Counts a piece, and says whether it may pass.
    fn admit(&self, piece: &[u8]) -> bool {
        let counted = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if self.upward { self.admit_request(piece, counted) } else { self.admit_reply(counted) }
    }

    fn admit_request(&self, piece: &[u8], counted: u64) -> bool {
        self.shared.sent.fetch_add(counted, Ordering::SeqCst);
        if !self.link.upward.swap(true, Ordering::SeqCst) {
            self.shared.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let mode = self.shared.mode.borrow().clone();
        match &mode {
            Mode::DropReplies => self.link.armed.store(true, Ordering::SeqCst),
            Mode::DropReplyTo(wanted) if contains(piece, wanted) && self.once(&mode) => {
                self.link.armed.store(true, Ordering::SeqCst);
            }
            Mode::CutBefore(wanted) if contains(piece, wanted) => return !self.once(&mode),
            _ => {}
        }
        true
    }

    fn admit_reply(&self, counted: u64) -> bool {
        self.shared.received.fetch_add(counted, Ordering::SeqCst);
        self.link.upward.store(false, Ordering::SeqCst);
        !self.link.armed.load(Ordering::SeqCst)
    }

    fn vanishes(&self) -> bool {
        let lost = *self.shared.mode.borrow() == Mode::BlackHole;
        self.link.lost.fetch_or(lost, Ordering::SeqCst) || lost
    }

    /// Takes a mode that acts once; false if another connection was faster or the mode has changed.
    fn once(&self, taken: &Mode) -> bool {
        self.shared.mode.send_if_modified(|mode| {
            let ours = mode == taken;
            if ours {
                *mode = Mode::Pass;
            }
            ours
        })
    }
}

async fn write(shared: &Shared, mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>) -> End {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due).await;
        passing(shared).await;
        if to.write_all(&piece).await.is_err() {
            return End::Cut;
        }
    }
    // The reader has ended: its end of stream, or a cut that drops both halves.
    let _ = to.shutdown().await;
    End::Closed
}

/// Returns once the mode is not [`Mode::Stall`].
async fn passing(shared: &Shared) {
    let mut mode = shared.mode.subscribe();
    // The sender lives in `shared`.
    let _ = mode.wait_for(|mode| *mode != Mode::Stall).await;
}

fn contains(piece: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || piece.windows(wanted.len()).any(|window| window == wanted)
}
