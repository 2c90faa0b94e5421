//! `shop serve`: everything in one process.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mini_qq::{Client, Config, Server};
use onceward_oauth_client::{OAuthClient, Provider, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, router};
use crate::cli::ServeArgs;
use crate::door::Door;
use crate::folder::{Folder, Settings};
use crate::session::Sessions;
use crate::stores::{Delivery, Stores};

/// Whatever keeps the shop from serving.
pub type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// What is in flight gets that long to end, twice: requests, then workers.
const DRAIN: Duration = Duration::from_secs(15);

/// Answers that were given get that long to be read.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Serves until SIGINT or SIGTERM, then drains.
///
/// # Errors
/// If the folder is in use, an address is taken, or a store cannot be opened.
pub async fn run(args: &ServeArgs) -> Result<(), ServeError> {
    args.backends.check()?;
    // First no more requests, then, once those in flight are answered, no more workers.
    let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
    // Before anything can be interrupted half way: from here on a signal is a wish.
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let folder = Folder::open(&args.data)?;
    if args.fresh {
        folder.clear()?;
    }
    let settings = folder.settings(args.seed)?;

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

    let stores = Stores::open(folder.path(), &settings, args.order_token_ttl).await?;
    let delivery = Delivery::open(folder.path(), &stores).await?;
    stores.seed().await?;
    stores.recover().await?;

    let oauth = OAuthClient::builder(settings.keys(), Stores::oauth(folder.path()).await?, tasks.clone())
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
        sessions: Sessions::new(stores.web.clone(), settings.keys(), false),
        oauth,
        origin: shop_origin.clone(),
        policy: policy.parse()?,
        tasks: tasks.clone(),
        stores,
    });
    spawn_workers(&app, &delivery, &stop);

    door.open(router(&app));
    say(&format!("shop listening on {shop_origin}"));
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
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
    Ok(())
}

fn spawn_workers(app: &Arc<App>, delivery: &Delivery, stop: &CancellationToken) {
    let (relay, consumer) = (delivery.relay.clone(), delivery.consumer.clone());
    let (stores, dtx) = (app.stores.clone(), app.stores.dtx.clone());
    let workers: [Pin<Box<dyn Future<Output = ()> + Send>>; 5] = [
        Box::pin({
            let stop = stop.clone();
            async move { relay.run(stop).await }
        }),
        Box::pin({
            let stop = stop.clone();
            async move { consumer.run(stop).await }
        }),
        Box::pin({
            let stop = stop.clone();
            async move { dtx.work(stop).await }
        }),
        Box::pin({
            let stop = stop.clone();
            async move { stores.sweep(stop).await }
        }),
        Box::pin(sweep_logins(Arc::clone(app), stop.clone())),
    ];
    for worker in workers {
        app.tasks.spawn(worker);
    }
}

/// Removes old logins and sessions, once a minute.
async fn sweep_logins(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let (Err(_), _) | (_, Err(_)) = (app.oauth.purge(1_000).await, app.sessions.purge().await) {
            tracing::warn!("old logins or sessions could not be removed");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
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

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// A line that scripts wait for.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more; that does not stop a shop.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
