//! `shop serve`: everything in one process.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mini_qq::{Client, Config, Server};
use onceward_oauth_client::{OAuthClient, Provider, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, router};
use crate::cli::ServeArgs;
use crate::door::Door;
use crate::folder::{Folder, FolderError, Settings, WalletsLock};
use crate::hold::Hold;
use crate::home::{Home, Right};
use crate::servers::Taken;
use crate::session::Sessions;
use crate::stores::{Delivery, Opening, Stores};
use crate::workers;

/// Whatever keeps the shop from serving.
pub type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// What is in flight gets that long to end, twice: requests, then workers.
pub(crate) const DRAIN: Duration = Duration::from_secs(15);

/// A folder that is locked for longer is another shop's.
const MOMENT: Duration = Duration::from_millis(500);

/// A shop that was killed a moment ago gets that long to be gone.
const PREDECESSOR: Duration = Duration::from_secs(3);

/// Answers that were given get that long to be read.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Serves until SIGINT or SIGTERM, then drains.
///
/// # Errors
/// If the folder or the namespace is in use, an address is taken, or a store cannot be opened.
pub async fn run(args: &ServeArgs) -> Result<(), ServeError> {
    let home = args.backends.home(&args.data, &args.name.namespace)?;
    // First no more requests, then, once those in flight are answered, no more workers.
    let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
    // From here on a signal is a wish.
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let folder = free(&args.data).await?;
    if args.fresh {
        folder.clear()?;
    }
    let settings = folder.settings(args.seed)?;
    let _wallets = args.wallet_url.is_none().then(|| WalletsLock::take(&args.data)).transpose()?;

    let shop = listen(args.listen).await?;
    let shop_origin = format!("http://{}", shop.local_addr()?);
    let qq = listen(mini_qq_address(args)).await?;
    let qq_origin = format!("http://{}", qq.local_addr()?);

    let door = Door::default();
    let serving = axum::serve(shop, door.router()).with_graceful_shutdown(closed.clone().cancelled_owned());
    // Not on the tracker: what a client keeps open must not keep the shop from stopping.
    #[allow(clippy::disallowed_methods, reason = "a program may spawn")]
    let serving = tokio::spawn(async move { serving.await });

    let tasks = TaskTracker::new();
    let server = mini_qq(&folder, &settings, &shop_origin, &qq_origin)?;
    tasks.spawn({
        let stop = stop.clone();
        async move { server.serve(qq, stop.cancelled_owned()).await }
    });
    say(&format!("mini-qq listening on {qq_origin}"));

    let (right, stores, delivery) = tokio::select! {
        settled = settled(&home, &settings, args) => settled?,
        // Whatever it was doing or waiting for, the next start does again.
        _ = int.recv() => return Ok(()),
        _ = term.recv() => return Ok(()),
    };

    let oauth = OAuthClient::builder(settings.keys(), stores.logins.clone(), tasks.clone())
        .provider(
            Provider::qq(
                &settings.qq_client,
                SecretString::from(settings.qq_secret.clone()),
                format!("{shop_origin}/auth/qq/callback"),
            )
            .with_origin(&qq_origin)
            .with_name("mini-qq"),
        )
        .build()?;
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' {qq_origin}; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let app = Arc::new(App {
        sessions: Sessions::new(Arc::clone(&stores.sessions), settings.keys(), false),
        oauth,
        broker: Arc::clone(&delivery.broker),
        origin: shop_origin.clone(),
        policy: policy.parse()?,
        tasks: tasks.clone(),
        stores,
    });
    workers::spawn(&app, &delivery, &stop);

    door.open(router(&app));
    say(&format!("shop listening on {shop_origin}"));
    let mut kept = std::pin::pin!(right.keep());
    let taken = tokio::select! {
        _ = int.recv() => None,
        _ = term.recv() => None,
        taken = &mut kept => Some(taken),
    };
    tracing::info!("stopping");
    if !door.close(DRAIN).await {
        // A client that never reads its answer must not keep the shop from stopping.
        tracing::warn!("requests were still open after {DRAIN:?}");
    }
    closed.cancel();
    let aborted = serving.abort_handle();
    if timeout(LAST_BYTES, serving).await.is_err() {
        aborted.abort();
    }
    stop.cancel();
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("work was still going on after {DRAIN:?}; the next start takes it up");
    }
    taken.map_or(Ok(()), |taken| Err(taken.into()))
}

/// The folder, once nobody has it. A wallet that makes the first settings, or a shop that is dying, has it for a moment.
async fn free(data: &Path) -> Result<Folder, FolderError> {
    let until = Instant::now() + MOMENT;
    loop {
        match Folder::open(data) {
            Err(FolderError::Locked(_)) if Instant::now() < until => sleep(MOMENT / 10).await,
            opened => return opened,
        }
    }
}

/// The right to serve, and the stores with everything decided that the last process left.
async fn settled(home: &Home, settings: &Settings, args: &ServeArgs) -> Result<(Right, Stores, Delivery), ServeError> {
    // Two that recover would take each other's work for a dead one's.
    let right = home.claim(PREDECESSOR).await?;
    let right = right.ok_or_else(|| Taken(args.name.namespace.to_string()))?;
    let opening =
        Opening { order_token_ttl: args.order_token_ttl, wallet: args.wallet_url.clone(), hold: Hold::new(args.hold) };
    let stores = home.open(settings, &opening).await?;
    let delivery = home.delivery(&stores).await?;
    stores.seed().await?;
    stores.recover().await?;
    Ok((right, stores, delivery))
}

fn mini_qq(folder: &Folder, settings: &Settings, shop: &str, origin: &str) -> Result<Server, mini_qq::Error> {
    let client = Client::new(&settings.qq_client, &settings.qq_secret, [format!("{shop}/auth/qq/callback")]);
    let data = folder.path().join("mini-qq");
    Server::new(Config::default().with_data_dir(data).with_origin(origin).with_client(client))
}

/// The next port, or a free one where the shop's is free.
fn mini_qq_address(args: &ServeArgs) -> SocketAddr {
    let port = match args.listen.port() {
        0 => 0,
        port => port.checked_add(1).unwrap_or(0),
    };
    args.mini_qq_listen.unwrap_or(SocketAddr::new(args.listen.ip(), port))
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// A line that scripts wait for.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more; that does not stop a shop.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
