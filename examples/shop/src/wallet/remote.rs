//! Wallets in a process of their own, as the shop asks for them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::{BackendError, ErrorClass};
use onceward_dtx::propagate::WithTransaction;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::service::{Asked, Pass, Statement};
use super::{Charge, Entry, Wallets};
use crate::orders::OrderError;
use crate::stores::ORDER_TIMEOUT;

/// The shop's own connections to it are made within that time.
const CONNECT: Duration = Duration::from_secs(2);

/// Wallets behind a [`Service`](super::Service): what is charged there is a branch of the shop's global transaction.
pub struct RemoteWallets {
    http: Client,
    origin: Url,
    pass: Pass,
}

impl fmt::Debug for RemoteWallets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteWallets").field("origin", &self.origin.as_str()).finish_non_exhaustive()
    }
}

fn failed(class: ErrorClass, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackendError {
    BackendError::new("wallet", class, source)
}

/// Whether it was done is known only if it was never sent.
fn unanswered(error: reqwest::Error) -> BackendError {
    let class = if error.is_connect() { ErrorClass::Unavailable } else { ErrorClass::Unknown };
    failed(class, error.without_url())
}

impl RemoteWallets {
    /// The wallets of the process at `origin`.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(origin: Url, pass: Pass) -> Result<Self, BackendError> {
        let http = Client::builder().no_proxy().connect_timeout(CONNECT).timeout(ORDER_TIMEOUT).build();
        let http = http.map_err(|error| failed(ErrorClass::Refused, error))?;
        Ok(Self { http, origin, pass })
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.origin.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url).bearer_auth(self.pass.reveal())
    }

    /// What was answered with 200.
    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, BackendError> {
        let answer = request.send().await.map_err(unanswered)?;
        match answer.status() {
            StatusCode::OK => answer.json().await.map_err(|error| failed(ErrorClass::Corrupt, error.without_url())),
            StatusCode::SERVICE_UNAVAILABLE => Err(failed(ErrorClass::Transient, "busy")),
            status => Err(failed(ErrorClass::Refused, format!("answered {status}"))),
        }
    }
}

#[async_trait]
impl Wallets for RemoteWallets {
    async fn open(&self, user: &str) -> Result<(), BackendError> {
        self.read(self.request(Method::POST, &["wallets", user])).await
    }

    async fn charge(&self, charge: &Charge<'_>) -> Result<(), OrderError> {
        let asked = Asked { order: charge.order.to_owned(), user: charge.user.to_owned(), amount: charge.amount };
        let request = self.request(Method::POST, &["charges"]).json(&asked);
        // Whatever is not an answer that it was charged has the whole rolled back.
        let request = request.with_transaction().map_err(|error| failed(ErrorClass::Refused, error))?;
        let charged: bool = self.read(request).await?;
        if charged { Ok(()) } else { Err(OrderError::NoMoney) }
    }

    async fn of_user(&self, user: &str) -> Result<(i64, Vec<Entry>), BackendError> {
        let Statement { balance, ledger } = self.read(self.request(Method::GET, &["wallets", user])).await?;
        Ok((balance, ledger))
    }

    async fn all(&self) -> Result<(BTreeMap<String, i64>, Vec<Entry>), BackendError> {
        self.read(self.request(Method::GET, &["wallets"])).await
    }

    async fn health(&self) -> Result<(), BackendError> {
        self.read(self.request(Method::GET, &["health"])).await
    }
}
