/// Everything behind one lock, and nothing is ever swept but by `purge`.
#[derive(Debug, Default)]
struct OneLock(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    flows: HashMap<Digest, Flow>,
    codes: HashMap<Digest, Instant>,
    tokens: HashMap<Digest, Stored>,
    /// Of all tokens ever written: a version that was deleted must not come back.
    writes: i64,
}

#[derive(Debug)]
struct Flow {
    version: i64,
    body: Vec<u8>,
    written: Instant,
    ends: Instant,
}

impl OneLock {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl FlowStore for OneLock {
    async fn insert(&self, id: &Digest, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let written = Instant::now();
        let flow = Flow { version: 1, body: body.to_vec(), written, ends: written + ttl };
        let mut all = self.all();
        let absent = !all.flows.contains_key(id);
        all.flows.entry(*id).or_insert(flow);
        Ok(absent)
    }

    async fn load(&self, id: &Digest) -> Result<Option<Entry>, BackendError> {
        let now = Instant::now();
        let all = self.all();
        let live = all.flows.get(id).filter(|flow| flow.ends > now);
        Ok(live.map(|flow| Entry {
            version: flow.version,
            body: flow.body.clone(),
            age: now - flow.written,
            left: flow.ends - now,
        }))
    }

    async fn replace(&self, id: &Digest, version: i64, body: &[u8], ttl: Duration) -> Result<bool, BackendError> {
        let written = Instant::now();
        let mut all = self.all();
        let Some(flow) = all.flows.get_mut(id).filter(|flow| flow.version == version && flow.ends > written) else {
            return Ok(false);
        };
        *flow = Flow { version: version + 1, body: body.to_vec(), written, ends: written + ttl };
        Ok(true)
    }

    async fn purge_flows(&self, limit: u32) -> Result<u64, BackendError> {
        let now = Instant::now();
        Ok(purge(&mut self.all().flows, limit, |flow| flow.ends <= now))
    }
}

#[async_trait]
impl CodeLedger for OneLock {
    async fn first_use(&self, code: &Digest, ttl: Duration) -> Result<bool, BackendError> {
        let mut all = self.all();
        let absent = !all.codes.contains_key(code);
        all.codes.entry(*code).or_insert(Instant::now() + ttl);
        Ok(absent)
    }

    async fn purge_codes(&self, limit: u32) -> Result<u64, BackendError> {
        let now = Instant::now();
        Ok(purge(&mut self.all().codes, limit, |ends| *ends <= now))
    }
}

#[async_trait]
impl TokenVault for OneLock {
    async fn load_tokens(&self, account: &Digest) -> Result<Option<Stored>, BackendError> {
        Ok(self.all().tokens.get(account).cloned())
    }

    async fn store_tokens_if(
        &self,
        account: &Digest,
        expected: Option<i64>,
        body: &[u8],
    ) -> Result<bool, BackendError> {
        let mut all = self.all();
        let fits = all.tokens.get(account).map(|stored| stored.version) == expected;
        if fits {
            all.writes += 1;
            let stored = Stored { version: all.writes, body: body.to_vec() };
            all.tokens.insert(*account, stored);
        }
        Ok(fits)
    }

    async fn delete_tokens(&self, account: &Digest) -> Result<bool, BackendError> {
        Ok(self.all().tokens.remove(account).is_some())
    }
}

fn purge<V>(map: &mut HashMap<Digest, V>, limit: u32, over: impl Fn(&V) -> bool) -> u64 {
    let doomed: Vec<_> = map.iter().filter(|(_, value)| over(value)).map(|(id, _)| *id).take(limit as usize).collect();
    doomed.iter().filter(|id| map.remove(id).is_some()).count() as u64
}
