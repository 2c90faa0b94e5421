//! Global transactions over PostgreSQL databases, with the coordinator in one of its own.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests say what they expect by unwrapping and drive their own tasks"
)]

#[path = "../cases/ahead.rs"]
mod ahead;
#[path = "../cases/apart.rs"]
mod apart;
#[path = "../cases/bank.rs"]
mod bank;
#[path = "../cases/behind.rs"]
mod behind;
#[path = "../cases/carried.rs"]
mod carried;
#[path = "../cases/conflict.rs"]
mod conflict;
#[path = "../cases/crash.rs"]
mod crash;
#[path = "../cases/defects.rs"]
mod defects;
#[path = "../cases/differential.rs"]
mod differential;
#[path = "../cases/equal.rs"]
mod equal;
#[path = "../cases/executor.rs"]
mod executor;
#[path = "../cases/global.rs"]
mod global;
#[path = "../cases/hand.rs"]
mod hand;
#[path = "../cases/held.rs"]
mod held;
#[path = "../cases/hooks.rs"]
mod hooks;
#[path = "../cases/joined.rs"]
mod joined;
#[path = "../cases/large.rs"]
mod large;
#[path = "../cases/leftovers.rs"]
mod leftovers;
#[path = "../cases/order.rs"]
mod order;
#[path = "../cases/parked.rs"]
mod parked;
#[path = "../cases/peers.rs"]
mod peers;
#[path = "../cases/propagation.rs"]
mod propagation;
#[path = "../cases/quoted.rs"]
mod quoted;
#[path = "../cases/repair.rs"]
mod repair;
#[path = "../cases/savepoint.rs"]
mod savepoint;
#[path = "../cases/script.rs"]
mod script;
#[path = "../cases/shrink.rs"]
mod shrink;
#[path = "../cases/together.rs"]
mod together;
#[path = "../cases/touched.rs"]
mod touched;
#[path = "../cases/turn.rs"]
mod turn;
#[path = "../cases/watch.rs"]
mod watch;
#[path = "../cases/world.rs"]
mod world;

mod clock;
mod deferred;
mod disk;
mod hazards;
mod plans;
mod random;
mod refused;
mod shapes;
mod store;
mod types;
mod undo;
mod watched;
mod wire;
