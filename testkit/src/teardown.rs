//! Cleaning up from `Drop`, where nothing can be awaited.

use std::future::Future;
use std::time::Duration;

/// Runs `work` on a thread with a runtime of its own and waits for it, at most fifteen seconds.
///
/// What goes wrong is printed: a test that passed must not fail because its leftovers could not be removed; the next
/// run sweeps them.
pub(crate) fn blocking<E: std::fmt::Display>(what: &str, work: impl Future<Output = Result<(), E>> + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(15), work).await {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(_) => Err("took longer than 15 s".to_owned()),
            }
        })
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("{what}: {error}"),
        Err(_) => eprintln!("{what}: panicked"),
    }
}

/// `url` with its database replaced.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let authority = before.find("://").map_or(0, |at| at + 3);
    let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &before[..end])
}

#[cfg(all(test, any(feature = "mysql", feature = "postgres")))]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("mysql://u@127.0.0.1:1/old?a=b", "new"), "mysql://u@127.0.0.1:1/new?a=b");
        assert_eq!(with_database("mysql://u@127.0.0.1:1", "new"), "mysql://u@127.0.0.1:1/new");
        assert_eq!(with_database("mysql://127.0.0.1:1/?x=/y", "new"), "mysql://127.0.0.1:1/new?x=/y");
    }
}
