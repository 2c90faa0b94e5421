/// All carts behind one lock. They never expire, which `capabilities` says.
#[derive(Debug, Default)]
struct OneLock(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    carts: HashMap<Owner, Record>,
    merges: HashMap<(MemberId, MergeId), MergeReport>,
    orders: HashMap<(Owner, OrderId), Taken>,
}

#[async_trait]
impl Store for OneLock {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full(Durability::Process).with_shared(false).with_expires(false)
    }

    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error> {
        Ok(self.all().carts.get(owner).map(|record| record.cart(owner.clone())))
    }

    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error> {
        let mut all = self.all();
        let mut record = all.carts.get(owner).cloned().unwrap_or_default();
        let applied = record.apply(batch, change, now())?;
        if applied.changed {
            all.carts.insert(owner.clone(), record);
        }
        Ok(applied)
    }

    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, _: MergeTtl) -> Result<Sealing, Error> {
        self.all().carts.entry(Owner::Guest(*guest)).or_default().seal(into, merge, now())
    }

    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error> {
        let mut all = self.all();
        let mark = (member.clone(), absorb.merge);
        if let Some(done) = all.merges.get(&mark) {
            return Ok(done.clone().replay());
        }
        let report = all.carts.entry(member.clone().into()).or_default().absorb(lines, &absorb.limits)?;
        all.merges.insert(mark, report.clone());
        Ok(report)
    }

    async fn tombstone(&self, guest: &GuestId, merge: MergeId, _: Duration) -> Result<(), Error> {
        self.promote(guest, merge, Stage::Tombstoned);
        Ok(())
    }

    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error> {
        self.promote(guest, merge, Stage::Settled);
        Ok(())
    }

    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error> {
        let all = self.all();
        let found = all.carts.iter().filter_map(|(owner, record)| {
            let (Owner::Guest(guest), Some(seal)) = (owner, record.sealed()) else { return None };
            let age = Duration::from_millis(now() - seal.since);
            let due = match seal.stage {
                Stage::Sealed => age >= sealed,
                Stage::Tombstoned => age >= tombstoned,
                _ => false,
            };
            due.then(|| Unfinished::new(*guest, seal.into.clone(), seal.stage, age))
        });
        Ok(found.take(limit as usize).collect())
    }

    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], _: Duration) -> Result<Taken, Error> {
        let mut all = self.all();
        let mark = (owner.clone(), order.clone());
        if let Some(done) = all.orders.get(&mark) {
            return Ok(done.replay());
        }
        let taken = all.carts.get_mut(owner).map(|record| record.take(lines)).transpose()?.unwrap_or_default();
        all.orders.insert(mark, taken);
        Ok(taken)
    }

    async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        let mut all = self.all();
        all.merges.retain(|(member, _), _| Owner::Member(member.clone()) != *owner);
        all.orders.retain(|(of, _), _| of != owner);
        Ok(all.carts.remove(owner).is_some())
    }

    async fn purge(&self, _: u32) -> Result<u64, Error> {
        Ok(0)
    }

    async fn health(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl OneLock {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().expect("no change panics")
    }

    fn promote(&self, guest: &GuestId, merge: MergeId, stage: Stage) {
        if let Some(record) = self.all().carts.get_mut(&Owner::Guest(*guest)) {
            record.promote(merge, stage, now());
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
