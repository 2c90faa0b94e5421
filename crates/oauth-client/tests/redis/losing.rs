//! A store that loses the answer to one of its changes on the wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use onceward_backend::BackendError;
use onceward_oauth_client::{
    CodeLedger, Digest, FlowStore, TokenVault, async_trait,
    store::{Entry, RedisStore, Stored},
};
use testkit::{Mode, Proxy};

#[derive(Clone, Debug)]
pub struct Losing {
    pub store: RedisStore,
    pub proxy: Arc<Proxy>,
    pub changes: Arc<AtomicUsize>,
    /// Which change, counted from 1.
    pub loses: usize,
}

impl Losing {
    fn change(&self) -> &RedisStore {
        if self.changes.fetch_add(1, SeqCst) + 1 == self.loses {
            self.proxy.set(Mode::DropReplyTo(b"EVALSHA".to_vec()));
        }
        &self.store
    }
}

#[async_trait]
impl FlowStore for Losing {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        self.change().insert(id, body, ttl).await
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        self.store.load(id).await
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        self.change().replace(id, version, body, ttl).await
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        self.store.purge_flows(limit).await
    }
}

#[async_trait]
impl CodeLedger for Losing {
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError> {
        self.change().first_use(code, ttl).await
    }

    async fn purge_codes(&self, limit: u32) -> Result<u64, BackendError> {
        self.store.purge_codes(limit).await
    }
}

#[async_trait]
impl TokenVault for Losing {
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError> {
        self.store.load_tokens(account).await
    }

    async fn store_tokens_if(
        &self,
        account: &Digest,
        expected: Option<i64>,
        body: &[u8],
    ) -> Result<bool, BackendError> {
        self.change().store_tokens_if(account, expected, body).await
    }

    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError> {
        self.change().delete_tokens(account).await
    }
}
