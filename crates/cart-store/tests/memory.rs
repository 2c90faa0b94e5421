//! The contract, on carts in this process.

use onceward_cart_store::conformance::Fixture;
use onceward_cart_store::store::MemoryStore;

onceward_cart_store::conformance!(async || Fixture::new(MemoryStore::new()));
