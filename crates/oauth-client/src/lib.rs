#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod binder;
mod callback;
mod client;
mod clock;
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod digest;
mod ending;
mod error;
mod exchange;
mod flow;
mod http;
mod identity;
mod lease;
mod options;
mod pending;
pub mod provider;
mod random;
mod run;
mod seal;
pub mod store;
mod tokens;

pub use async_trait::async_trait;
pub use secrecy::SecretString;

pub use crate::{
    binder::BrowserBinder,
    client::{Builder, OAuthClient},
    clock::{Clock, SystemClock},
    digest::Digest,
    error::{Error, Failure, Protocol},
    flow::{Authorize, Finished, Login, MAX_ANSWER, MAX_DATA},
    identity::{Account, Identity, Profile},
    options::Options,
    provider::{Adapter, ClientAuth, Endpoints, Pkce, Provider},
    store::{CodeLedger, FlowStore, Stores, TokenVault},
};
