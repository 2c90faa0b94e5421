//! A broker that is away for a while, and nothing played: RabbitMQ behind a wire that is cut, or the embedded broker's file
//! locked by somebody else.

use std::net::SocketAddr;
use std::path::PathBuf;

use onceward_backend::sqlite;
use reqwest::Url;
use sqlx::{Sqlite, Transaction};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Surprise;

/// The way to the broker.
#[derive(Debug)]
pub(super) enum Way {
    /// To RabbitMQ.
    Wire(Wire),
    /// To the file, and whoever has it.
    File(PathBuf, Option<Transaction<'static, Sqlite>>),
}

impl Way {
    /// Takes the broker away; says how.
    pub(super) async fn cut(&mut self) -> Result<&'static str, Surprise> {
        match self {
            Self::Wire(wire) => {
                wire.cut().await;
                Ok("the wire to RabbitMQ is cut: open connections are closed, new ones refused")
            }
            Self::File(file, lock) => {
                *lock = Some(sqlite::open(&*file).await?.begin_with("begin exclusive").await?);
                Ok("another connection holds an exclusive lock on broker.db")
            }
        }
    }

    /// Gives it back.
    pub(super) async fn mend(&mut self) -> Result<(), Surprise> {
        match self {
            Self::Wire(wire) => wire.lay().await,
            Self::File(_, lock) => match lock.take() {
                Some(lock) => Ok(lock.rollback().await?),
                None => Ok(()),
            },
        }
    }
}

/// A loopback port that leads to RabbitMQ while the wire is not cut.
#[derive(Debug)]
pub(super) struct Wire {
    url: String,
    address: SocketAddr,
    target: String,
    carrying: Option<JoinHandle<()>>,
}

impl Wire {
    pub(super) async fn to(url: &str) -> Result<Self, Surprise> {
        // Not quoted: it has a password in it.
        let mut url: Url = url.parse().map_err(|_| "AMQP_URL is no URL")?;
        let host = url.host_str().filter(|_| url.scheme() == "amqp");
        let host = host.ok_or("the wire is plain TCP: AMQP_URL must be an amqp:// one with a host")?;
        let target = format!("{host}:{}", url.port().unwrap_or(5672));
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        url.set_host(Some("127.0.0.1"))?;
        url.set_port(Some(address.port())).map_err(|()| "AMQP_URL has no port")?;
        let mut wire = Self { url: url.into(), address, target, carrying: None };
        wire.lay().await?;
        Ok(wire)
    }

    /// RabbitMQ by way of this wire.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn lay(&mut self) -> Result<(), Surprise> {
        if self.carrying.is_none() {
            let carrying = carry(TcpListener::bind(self.address).await?, self.target.clone());
            #[allow(clippy::disallowed_methods, reason = "a program may spawn")]
            let carrying = tokio::spawn(carrying);
            self.carrying = Some(carrying);
        }
        Ok(())
    }

    async fn cut(&mut self) {
        if let Some(carrying) = self.carrying.take() {
            carrying.abort();
            // Once it has ended, so have the listener and all connections.
            let _ = carrying.await;
        }
    }
}

/// Carries bytes both ways until it is dropped, and with it every connection.
async fn carry(listener: TcpListener, target: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let target = target.clone();
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
