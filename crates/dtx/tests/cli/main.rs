//! The operator's program, run on databases that the library made.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests say what they expect by unwrapping and drive their own tasks"
)]

#[path = "../sqlite/disk.rs"]
#[allow(dead_code, unused_imports, reason = "it has more than is needed here")]
mod disk;
#[path = "../cases/world.rs"]
#[allow(dead_code, reason = "it has more than is needed here")]
mod world;

mod lists;
mod looking;
mod nowhere;
mod outside;
mod repair;
mod rollback;
mod scene;
#[cfg(any(feature = "test-mysql", feature = "test-postgres"))]
mod servers;
mod show;
mod tool;
