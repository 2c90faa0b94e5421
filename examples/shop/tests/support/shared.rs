//! One shop for all tests that only visit it. Each takes users of its own for as long as it runs.

use std::ops::Deref;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use super::{Shop, Visitor};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

static RUNNING: tokio::sync::Mutex<Weak<Shared>> = tokio::sync::Mutex::const_new(Weak::new());

/// A shop that ends with the last test that holds it.
#[derive(Debug)]
pub struct Shared {
    shop: Shop,
    free: Mutex<Vec<&'static str>>,
    returned: Notify,
}

impl Deref for Shared {
    type Target = Shop;

    fn deref(&self) -> &Shop {
        &self.shop
    }
}

/// The shop that runs already, or a new one.
pub async fn shared() -> Arc<Shared> {
    let mut running = RUNNING.lock().await;
    if let Some(shared) = running.upgrade() {
        return shared;
    }
    let shop = Shop::open().await;
    let shared = Arc::new(Shared { shop, free: Mutex::new(USERS.to_vec()), returned: Notify::new() });
    *running = Arc::downgrade(&shared);
    shared
}

/// A user of the shop, signed in, with an empty cart; no other test is this user meanwhile.
#[derive(Debug)]
pub struct Member {
    visitor: Visitor,
    pub user: &'static str,
    shared: Arc<Shared>,
}

impl Deref for Member {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.free.lock().unwrap().push(self.user);
        self.shared.returned.notify_waiters();
    }
}

/// So many users at once.
pub async fn members<const N: usize>(shared: &Arc<Shared>) -> [Member; N] {
    let users: [&'static str; N] = loop {
        let returned = shared.returned.notified();
        tokio::pin!(returned);
        // Before the look, so that nobody returns between the look and the wait.
        returned.as_mut().enable();
        let taken = {
            let mut free = shared.free.lock().unwrap();
            free.len().checked_sub(N).map(|rest| free.split_off(rest))
        };
        match taken {
            Some(users) => break users.try_into().unwrap(),
            None => returned.await,
        }
    };
    // Made before anything can go wrong: each goes back when it is dropped.
    let members = users.map(|user| Member { visitor: shared.visitor(), user, shared: Arc::clone(shared) });
    for member in &members {
        member.login(member.user, "/").await.unwrap();
        member.empty_cart().await;
    }
    members
}

impl Shared {
    /// One user.
    pub async fn a_member(self: &Arc<Self>) -> Member {
        let [member] = members(self).await;
        member
    }
}
