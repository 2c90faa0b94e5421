//! Carts, beside the same script or statements by the bare driver.
//!
//! A young cart gets its first line. An old one has had more changes than it remembers, so that `Carts` hears that its
//! operation is too old to be told from a repeat, and sends it a second time with the version that it was told; the bare
//! side knows the version, and sends it once.

mod redis;
mod sql;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use onceward_cart_store::{Carts, Command, GuestId, MemberId, Owner, Sku, Store};

use crate::case::{Case, Client, Setting, Side};

/// Adds to young and old carts, and reads.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "cart add, young; Redis",
            vec![Side::new("plain redis", redis::young_bare), Side::new("Carts", redis::young)],
        ),
        Case::new(
            "cart add, old; Redis",
            vec![Side::new("plain redis", redis::old_bare), Side::new("Carts", redis::old)],
        ),
        Case::new("cart get; Redis", vec![Side::new("plain redis", redis::get_bare), Side::new("Carts", redis::get)]),
        Case::new(
            "cart add, young; PostgreSQL",
            vec![Side::new("plain sqlx", sql::young_bare), Side::new("Carts", sql::young)],
        ),
        Case::new(
            "cart add, old; PostgreSQL",
            vec![Side::new("plain sqlx", sql::old_bare), Side::new("Carts", sql::old)],
        ),
        Case::new("cart get; PostgreSQL", vec![Side::new("plain sqlx", sql::get_bare), Side::new("Carts", sql::get)]),
    ]
}

/// Adds the first line to a new cart.
#[derive(Debug)]
pub struct Young(Carts, Sku);

impl Young {
    /// On this store.
    ///
    /// # Panics
    /// Never: the sku is a good one.
    pub fn new(store: impl Store) -> Self {
        Self(Carts::new(Arc::new(store)), sku(0))
    }
}

#[async_trait]
impl Client for Young {
    async fn turn(&self, _: u64) -> u64 {
        let applied = self.0.add(&Owner::Guest(GuestId::random()), self.1.clone(), 1).await.unwrap();
        u64::from(applied.changed)
    }
}

/// Carts of one client that have five lines and more changes than they remember.
struct Old {
    carts: Carts,
    owners: Vec<Owner>,
}

const CARTS: usize = 32;
const LINES: usize = 5;
const CHANGES: usize = 8;

impl Old {
    /// Makes the carts of client number `client`.
    async fn seeded(store: impl Store, client: usize) -> Self {
        let carts = Carts::new(Arc::new(store));
        let name = |cart| Owner::Member(MemberId::new(format!("member-{client}-{cart}")).unwrap());
        let owners: Vec<_> = (0..CARTS).map(name).collect();
        for owner in &owners {
            for change in 0..CHANGES {
                carts.add(owner, sku(change % LINES), 1).await.unwrap();
            }
        }
        Self { carts, owners }
    }
}

/// Adds one piece to each cart, then takes one from each, and so on: no line ends or grows to its limit.
struct Adds(Old, Walk);

#[async_trait]
impl Client for Adds {
    async fn turn(&self, _: u64) -> u64 {
        let (cart, delta) = self.1.step();
        let add = Command::Add { item: sku(0).into(), delta };
        let applied = self.0.carts.apply(&self.0.owners[cart], &[add]).await.unwrap();
        u64::from(applied.changed)
    }
}

/// A client's way through its carts.
#[derive(Default)]
struct Walk(AtomicU64);

impl Walk {
    /// Which cart, and by how many pieces it changes.
    fn step(&self) -> (usize, i32) {
        let step = self.0.fetch_add(1, Ordering::Relaxed);
        (at(step), if (step / CARTS as u64).is_multiple_of(2) { 1 } else { -1 })
    }
}

/// Reads a cart.
struct Reads(Old);

#[async_trait]
impl Client for Reads {
    async fn turn(&self, turn: u64) -> u64 {
        let cart = self.0.carts.get(&self.0.owners[at(turn)]).await.unwrap();
        u64::from(cart.lines.len() == LINES)
    }
}

fn sku(number: usize) -> Sku {
    Sku::new(format!("speckled-mug-{number}")).unwrap()
}

/// Which of a client's carts.
fn at(turn: u64) -> usize {
    usize::try_from(turn % CARTS as u64).unwrap_or_default()
}

/// The carts that belong to one client, of those of all.
fn share<T: Clone>(all: &[T], setting: Setting) -> Vec<Vec<T>> {
    all.chunks(all.len() / setting.clients).map(<[T]>::to_vec).collect()
}
