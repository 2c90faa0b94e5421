//! The cases, in groups. Run them by [`conformance!`](crate::conformance!).

pub mod basics;
pub mod life;
pub mod merging;
pub mod model;
pub mod operations;
pub mod races;
pub mod taking;
