//! The work behind the shop: messages on their way, second phases, sweeps.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use onceward_dtx::Dtx;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::stores::Delivery;

/// A worker is begun anew that often, and gets that long to come to an end. Longer than any of its steps takes.
const TURN: Duration = Duration::from_secs(20);
const END_OF_TURN: Duration = Duration::from_secs(10);

/// Begins the background work of a shop, on its tracker: messages, second phases, sweeps.
pub fn spawn(app: &Arc<App>, delivery: &Delivery, stop: &CancellationToken) {
    let (relay, sender) = (delivery.relay.clone(), Arc::clone(&delivery.sender));
    let stores = app.stores.clone();
    let workers: [Pin<Box<dyn Future<Output = ()> + Send>>; 5] = [
        Box::pin(in_turns("relay", stop.clone(), move |stop| {
            let relay = relay.clone();
            async move { relay.run(stop).await }
        })),
        Box::pin(in_turns("sender", stop.clone(), move |stop| {
            let sender = Arc::clone(&sender);
            async move { sender.run(stop).await }
        })),
        Box::pin(coordinate(app.stores.dtx.clone(), stop.clone())),
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

/// Drives second phases and deadlines until `stop`.
pub async fn coordinate(dtx: Dtx, stop: CancellationToken) {
    let work = move |stop| {
        let dtx = dtx.clone();
        async move { dtx.work(stop).await }
    };
    in_turns("coordinator", stop, work).await;
}

/// Runs a worker until `stop`, in turns: it is asked to come to an end and begun again, and dropped if it does not. A
/// statement has no time-out of its own, so on a wire that fell silent without a word it would wait until the system gives
/// the wire up, a quarter of an hour later. A dropped worker is like a killed one: the next takes its work up.
async fn in_turns<F: Future<Output = ()>>(
    name: &'static str,
    stop: CancellationToken,
    worker: impl Fn(CancellationToken) -> F,
) {
    while !stop.is_cancelled() {
        let turn = stop.child_token();
        let mut running = std::pin::pin!(worker(turn.clone()));
        if timeout(TURN, &mut running).await.is_ok() {
            continue;
        }
        turn.cancel();
        if timeout(END_OF_TURN, running).await.is_err() {
            tracing::warn!(worker = name, "a worker hangs on a store and is begun anew");
        }
    }
}

/// Removes old logins and sessions, once a minute.
async fn sweep_logins(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let (Err(_), _) | (_, Err(_)) = (app.oauth.purge(1_000).await, app.stores.sessions.purge().await) {
            tracing::warn!("old logins or sessions could not be removed");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_is_begun_anew_and_one_that_ends_is_not_dropped() {
        for hangs in [true, false] {
            let (begun, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let stop = CancellationToken::new();
            let worker = {
                let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                move |turn: CancellationToken| {
                    let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                    async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        turn.cancelled().await;
                        if hangs {
                            std::future::pending::<()>().await;
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                    }
                }
            };
            let turns = in_turns("test", stop.clone(), worker);
            let stopped = async {
                tokio::time::sleep(TURN * 3).await;
                stop.cancel();
            };
            tokio::join!(turns, stopped);
            let (begun, ended) = (begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
            assert!(begun >= 2 && ended == if hangs { 0 } else { begun }, "{hangs}: {begun} {ended}");
        }
    }
}
