#![doc = include_str!("../README.md")]

#[cfg(feature = "sql")]
#[cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports, reason = "used by the capture of one database")
)]
pub mod at;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
mod coordinator;
mod error;
#[cfg(feature = "layer")]
pub mod layer;
#[cfg(feature = "sql")]
mod list;
#[cfg(feature = "sql")]
mod participant;
#[cfg(feature = "sql")]
mod place;
#[cfg(feature = "http")]
pub mod propagate;
mod remote;
pub mod tc;
mod tm;

pub use async_trait::async_trait;
#[cfg(feature = "sql")]
pub use at::{At, AtConnection, AtDb, AtOptions, AtSavepoint, AtTransaction, BypassInfo, TableOptions, Watch};
pub use context::{Global, spawn};
pub use coordinator::repair::{Effect, ParkedBranch, ParkedRow, Repair, RepairAction, Repaired, RepairedRow, RowText};
pub use coordinator::rm::{self, ParkedInfo, UndoInfo};
pub use coordinator::{
    BranchInfo, Coordinator, LockInfo, NewBranch, Recovered, TransactionFilter, TransactionInfo, WaiterInfo,
};
pub use error::DtxError;
#[cfg(feature = "sql")]
pub use participant::BranchParticipant;
pub use remote::{Remote, RemoteError};
#[cfg(feature = "sql")]
pub use sqlx;
pub use tc::state::{BranchStatus, GlobalStatus, Reason};
pub use tc::store::memory::MemoryStore;
#[cfg(feature = "sql")]
pub use tc::store::sql::SqlStore;
pub use tc::{Tc, TcOptions};
pub use tm::{Dtx, DtxOptions, GlobalTransaction, LeftBehind, Options, Propagation, TransactionHook, Verdict};
