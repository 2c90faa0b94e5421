//! `shop wallet`: the wallets in a process of their own.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::service::{Pass, Service};
use crate::cli::WalletArgs;
use crate::folder::{Folder, FolderError, Settings, WalletsLock};
use crate::hold::Hold;
use crate::serve::{DRAIN, ServeError, listen, say};
use crate::workers;

/// Serves until SIGINT or SIGTERM, then drains.
///
/// # Errors
/// If the folder cannot be used, an address is taken, or a store cannot be opened.
pub async fn run(args: &WalletArgs) -> Result<(), ServeError> {
    let home = args.backends.home(&args.data, &args.name.namespace)?;
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let pass = Pass::of(&settings(&args.data).await?.keys());
    let _wallets = WalletsLock::take(&args.data)?;
    let listener = listen(args.listen).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let stores = home.open_wallet().await?;
    // What the last one charged and could not end.
    stores.dtx.recover().await?;

    let (closed, stop, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
    tasks.spawn(workers::coordinate(stores.dtx.clone(), stop.clone()));
    let service = Service::new(stores.wallets, pass, Hold::new(args.hold));
    let serving = axum::serve(listener, service.router(&stores.dtx));
    let serving = tasks.spawn(serving.with_graceful_shutdown(closed.clone().cancelled_owned()).into_future());
    say(&format!("wallet listening on {origin}"));
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    tracing::info!("stopping");
    closed.cancel();
    let aborted = serving.abort_handle();
    if timeout(DRAIN, serving).await.is_err() {
        tracing::warn!("requests were still open after {DRAIN:?}");
        aborted.abort();
    }
    stop.cancel();
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("work was still going on after {DRAIN:?}; the next start takes it up");
    }
    Ok(())
}

/// The settings that shop and wallet share, made by whoever starts first.
async fn settings(data: &Path) -> Result<Settings, FolderError> {
    loop {
        match Settings::read(data) {
            Err(FolderError::Absent(_)) => {}
            read => return read,
        }
        match Folder::open(data) {
            Ok(folder) => return folder.settings(None),
            // By a shop that is about to make them.
            Err(FolderError::Locked(_)) => sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error),
        }
    }
}
