use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use onceward_backend::BackendError;
use tokio::time::Instant;

use super::{CodeLedger, Entry, FlowStore, Stored, TokenVault};
use crate::Digest;

/// Expired records are swept after so many inserts.
const SWEEP: u32 = 256;

/// Everything in this process: for tests, and for a service of one process that may forget at restart.
///
/// Expired records are swept as new ones come. A clone is the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    flows: HashMap<Digest, Flow>,
    codes: HashMap<Digest, Instant>,
    tokens: HashMap<Digest, Stored>,
    token_version: i64,
    inserts: u32,
}

#[derive(Debug)]
struct Flow {
    version: i64,
    body: Vec<u8>,
    written: Instant,
    expires: Instant,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No operation can panic half-way, so a poisoned map is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sweep(&mut self, now: Instant) {
        self.inserts += 1;
        if self.inserts >= SWEEP {
            self.inserts = 0;
            self.flows.retain(|_, flow| flow.expires > now);
            self.codes.retain(|_, expires| *expires > now);
        }
    }
}

#[async_trait]
impl FlowStore for MemoryStore {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.sweep(now);
        if inner.flows.contains_key(id) {
            return Ok(false);
        }
        let flow = Flow { version: 1, body: body.to_vec(), written: now, expires: now + ttl };
        inner.flows.insert(*id, flow);
        Ok(true)
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        let now = Instant::now();
        Ok(self.lock().flows.get(id).filter(|flow| flow.expires > now).map(|flow| Entry {
            version: flow.version,
            body: flow.body.clone(),
            age: now - flow.written,
            left: flow.expires - now,
        }))
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let now = Instant::now();
        let mut inner = self.lock();
        let Some(flow) = inner.flows.get_mut(id).filter(|flow| flow.version == version && flow.expires > now) else {
            return Ok(false);
        };
        *flow = Flow { version: version + 1, body: body.to_vec(), written: now, expires: now + ttl };
        Ok(true)
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        let now = Instant::now();
        let mut inner = self.lock();
        Ok(remove(&mut inner.flows, limit, |flow| flow.expires <= now))
    }
}

#[async_trait]
impl CodeLedger for MemoryStore {
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError> {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.sweep(now);
        if inner.codes.contains_key(code) {
            return Ok(false);
        }
        inner.codes.insert(*code, now + ttl);
        Ok(true)
    }

    async fn purge_codes(&self, limit: u32) -> Result<u64, BackendError> {
        let now = Instant::now();
        let mut inner = self.lock();
        Ok(remove(&mut inner.codes, limit, |expires| *expires <= now))
    }
}

#[async_trait]
impl TokenVault for MemoryStore {
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError> {
        Ok(self.lock().tokens.get(account).cloned())
    }

    async fn store_tokens_if(
        &self,
        account: &Digest,
        expected: Option<i64>,
        body: &[u8],
    ) -> Result<bool, BackendError> {
        let mut inner = self.lock();
        if inner.tokens.get(account).map(|stored| stored.version) != expected {
            return Ok(false);
        }
        inner.token_version += 1;
        let stored = Stored { version: inner.token_version, body: body.to_vec() };
        inner.tokens.insert(*account, stored);
        Ok(true)
    }

    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError> {
        Ok(self.lock().tokens.remove(account).is_some())
    }
}

fn remove<V>(map: &mut HashMap<Digest, V>, limit: u32, expired: impl Fn(&V) -> bool) -> u64 {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let old: Vec<Digest> = map.iter().filter(|(_, value)| expired(value)).map(|(id, _)| *id).take(limit).collect();
    for id in &old {
        map.remove(id);
    }
    u64::try_from(old.len()).unwrap_or(u64::MAX)
}
