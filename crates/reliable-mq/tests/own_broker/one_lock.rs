/// All queues behind one lock. It keeps no dead letters, which `capabilities` says.
#[derive(Debug, Clone)]
struct OneLock {
    queues: Arc<Mutex<HashMap<String, Queue>>>,
    /// After this time a delivery that nobody settled comes back.
    visibility: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    topics: Vec<String>,
    items: Vec<Item>,
    leases: u64,
}

#[derive(Debug, Clone)]
struct Item {
    envelope: Envelope,
    ready: Instant,
    /// Of the delivery that has it; another one each time, 0 for none.
    lease: u64,
    deliveries: u32,
    failures: u32,
}

#[async_trait]
impl Broker for OneLock {
    fn capabilities(&self) -> BrokerCapabilities {
        let mut capabilities = BrokerCapabilities::new(Durability::Volatile);
        capabilities.dead_letters = false;
        capabilities
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let mut queues = self.queues();
        let publish = |envelope: &Envelope| {
            let mut outcome = Outcome::Unroutable;
            for queue in queues.values_mut().filter(|queue| queue.topics.iter().any(|topic| topic == envelope.topic()))
            {
                let item =
                    Item { envelope: envelope.clone(), ready: Instant::now(), lease: 0, deliveries: 0, failures: 0 };
                queue.items.push(item);
                outcome = Outcome::Accepted;
            }
            outcome
        };
        batch.iter().map(publish).collect()
    }

    async fn health(&self) -> Health {
        Health::Up
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<(), Error> {
        subscription.check()?;
        let mut queues = self.queues();
        let queue = queues.entry(subscription.queue().to_owned()).or_default();
        queue.topics.extend(subscription.topics().iter().cloned());
        Ok(())
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        Ok(self.queues().values().any(|queue| queue.topics.iter().any(|bound| bound == topic)))
    }

    async fn receive(&self, queue: &str, max: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        let (name, now) = (queue, Instant::now());
        let mut queues = self.queues();
        let Queue { items, leases, .. } = queues.get_mut(name).ok_or_else(|| Error::UnknownQueue(name.to_owned()))?;
        let ready = items.iter_mut().filter(|item| item.ready <= now).take(max);
        let lend = |item: &mut Item| {
            *leases += 1;
            (item.lease, item.ready) = (*leases, now + self.visibility);
            item.deliveries += 1;
            Box::new(Lent { broker: self.clone(), queue: name.to_owned(), item: item.clone() }) as Box<dyn Delivery>
        };
        Ok(ready.map(lend).collect())
    }

    async fn depth(&self, queue: &str) -> Result<Depth, Error> {
        let now = Instant::now();
        let queues = self.queues();
        let found = queues.get(queue).ok_or_else(|| Error::UnknownQueue(queue.to_owned()))?;
        let count = |wanted: &dyn Fn(&Item) -> bool| found.items.iter().filter(|item| wanted(item)).count() as u64;
        let ready = count(&|item| item.ready <= now);
        let leased = count(&|item| item.ready > now && item.lease > 0);
        Ok(Depth::new(ready, found.items.len() as u64 - ready - leased, leased, 0))
    }
}

impl OneLock {
    fn new(visibility: Duration) -> Self {
        Self { queues: Arc::default(), visibility }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery.
#[derive(Debug)]
struct Lent {
    broker: OneLock,
    queue: String,
    item: Item,
}

impl Lent {
    /// Takes the item off the queue, if it is still this delivery's, and puts back what it becomes.
    fn settle(&self, becomes: Option<Item>) -> Result<(), Error> {
        let mut queues = self.broker.queues();
        let items = queues.get_mut(&self.queue).map(|queue| &mut queue.items).ok_or(Error::LeaseLost)?;
        let at = items.iter().position(|item| item.lease == self.item.lease).ok_or(Error::LeaseLost)?;
        items.splice(at..=at, becomes);
        Ok(())
    }
}

#[async_trait]
impl Delivery for Lent {
    fn envelope(&self) -> &Envelope {
        &self.item.envelope
    }

    fn failures(&self) -> u32 {
        self.item.failures
    }

    fn deliveries(&self) -> u32 {
        self.item.deliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.settle(None)
    }

    async fn retry(self: Box<Self>, after: Duration, _reason: &str) -> Result<(), Error> {
        let (ready, failures) = (Instant::now() + after, self.item.failures + 1);
        self.settle(Some(Item { ready, failures, lease: 0, ..self.item.clone() }))
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.settle(Some(Item { ready: Instant::now(), lease: 0, ..self.item.clone() }))
    }

    async fn reject(self: Box<Self>, _reason: &str) -> Result<(), Error> {
        self.settle(None)
    }
}
