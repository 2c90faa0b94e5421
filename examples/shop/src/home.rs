//! Where a shop keeps what it keeps: in the files of its folder, or on servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use onceward_reliable_mq::{Broker, SqliteBrokerOptions};

use crate::folder::Settings;
use crate::servers::{Claim, Servers, Taken};
use crate::stores::{Delivery, Opening, Stores, StoresError, WalletStores, embedded, services};

/// Where the stores are.
#[derive(Clone, Debug)]
pub enum Home {
    /// In SQLite files under this folder.
    Folder(PathBuf),
    /// On servers.
    Servers(Box<Servers>),
}

/// The right to recover and to serve: in a folder its lock, which is the caller's; on servers the claim on the namespace.
#[derive(Debug)]
pub struct Right(Option<Claim>);

impl Right {
    /// Keeps it for as long as this is polled. Ends only when another shop has taken it.
    pub async fn keep(self) -> Taken {
        match self.0 {
            None => std::future::pending().await,
            Some(claim) => claim.keep().await,
        }
    }
}

impl Home {
    /// Makes what is missing, and claims the right to serve; `None` if another shop has it and does not end within
    /// `patience`.
    ///
    /// # Errors
    /// If a server does not answer.
    pub async fn claim(&self, patience: Duration) -> Result<Option<Right>, StoresError> {
        match self {
            Self::Folder(_) => Ok(Some(Right(None))),
            Self::Servers(servers) => {
                servers.create().await?;
                Ok(servers.claim(patience).await?.map(|claim| Right(Some(claim))))
            }
        }
    }

    /// Finds the stores without opening or making any.
    ///
    /// # Errors
    /// Names one that is not there.
    pub async fn exists(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Folder(folder) => Ok(Settings::stores_exist(folder)?),
            Self::Servers(servers) => Ok(servers.exist().await?),
        }
    }

    /// Opens the stores.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub async fn open(&self, settings: &Settings, opening: &Opening) -> Result<Stores, StoresError> {
        match self {
            Self::Folder(folder) => embedded::open(folder, settings, opening).await,
            Self::Servers(servers) => services::open(servers, settings, opening).await,
        }
    }

    /// Opens what the process of the wallets has, making what is missing.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open_wallet(&self) -> Result<WalletStores, StoresError> {
        match self {
            Self::Folder(folder) => embedded::wallet(folder).await,
            Self::Servers(servers) => {
                servers.create().await?;
                services::wallet(servers).await
            }
        }
    }

    /// The broker, to look at beside the process that serves.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn broker(&self) -> Result<Arc<dyn Broker>, StoresError> {
        match self {
            Self::Folder(folder) => Ok(Arc::new(embedded::broker(folder, SqliteBrokerOptions::default()).await?)),
            Self::Servers(servers) => {
                servers.meet_broker().await?;
                Ok(Arc::new(servers.broker().clone()))
            }
        }
    }

    /// Opens the way of messages. For the one process that may serve.
    ///
    /// # Errors
    /// If broker or stores do not answer.
    pub async fn delivery(&self, stores: &Stores) -> Result<Delivery, StoresError> {
        match self {
            Self::Folder(folder) => embedded::delivery(folder, stores).await,
            Self::Servers(servers) => {
                servers.meet_broker().await?;
                Delivery::open(stores, Arc::new(servers.broker().clone())).await
            }
        }
    }
}
