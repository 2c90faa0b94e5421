//! Fail points of a build with the feature `failpoints`: the tests kill the shop at a named place.

/// Arms the fail point that `SHOP_MARK` names, as `NAME` or `NAME:COUNT` (the how-manieth time). Without the feature
/// there is none to arm.
pub fn arm() {
    #[cfg(feature = "failpoints")]
    {
        #[allow(clippy::disallowed_methods, reason = "a program may read its environment")]
        if let Ok(named) = std::env::var("SHOP_MARK") {
            armed::set(&named);
        }
    }
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static NAME: OnceLock<String> = OnceLock::new();
    static LEFT: AtomicU32 = AtomicU32::new(0);

    pub(super) fn set(named: &str) {
        let (name, count) = named.split_once(':').unwrap_or((named, "1"));
        LEFT.store(count.parse().unwrap_or(1), Ordering::SeqCst);
        let _ = NAME.set(name.to_owned());
        onceward_backend::internal::set_mark_hook(reached);
    }

    /// Prints `mark NAME` and never returns: whoever waits for the line kills or stops the process here.
    fn reached(name: &'static str) {
        if NAME.get().is_some_and(|armed| armed == name) && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
            println!("mark {name}");
            let _ = std::io::stdout().flush();
            let rest = || loop {
                std::thread::park();
            };
            // The rest of the shop goes on: a worker thread that blocked by itself could take the sockets of all with it.
            if tokio::runtime::Handle::try_current().is_ok() { tokio::task::block_in_place(rest) } else { rest() }
        }
    }
}
