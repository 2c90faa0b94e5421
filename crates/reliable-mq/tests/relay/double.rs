//! A broker that answers as a test tells it to and remembers what it was given.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use onceward_reliable_mq::{
    Broker, BrokerCapabilities, Delivery, Durability, Envelope, Error, Health, MessageId, Outcome, Subscription,
    async_trait,
};

type Script = dyn Fn(&Envelope, usize) -> Outcome + Send + Sync;

pub struct Double {
    script: Box<Script>,
    down: AtomicBool,
    back: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    tries: HashMap<MessageId, usize>,
    accepted: Vec<Envelope>,
}

impl Double {
    /// `script` answers for a message and the number of its try, from 1.
    pub fn new(script: impl Fn(&Envelope, usize) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            down: AtomicBool::default(),
            back: AtomicBool::default(),
            seen: Mutex::default(),
        })
    }

    pub fn accepting() -> Arc<Self> {
        Self::new(|_, _| Outcome::Accepted)
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// It is reached again by the next probe of its health, before that is answered.
    pub fn come_back_at_the_next_probe(&self) {
        self.back.store(true, Ordering::SeqCst);
    }

    /// What was accepted, repeats included, in order.
    pub fn accepted(&self) -> Vec<Envelope> {
        self.seen.lock().unwrap().accepted.clone()
    }

    pub fn texts(&self) -> Vec<String> {
        self.accepted().iter().map(text).collect()
    }
}

pub fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.payload().to_vec()).unwrap()
}

pub fn rejected() -> Outcome {
    Outcome::Rejected { reason: "full".to_owned(), permanent: false }
}

pub fn unknown() -> Outcome {
    Outcome::Unknown { reason: "cut".to_owned() }
}

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Double").finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for Double {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities::new(Durability::Stored)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Outcome> {
        // Others run between hand-over and answer, as with a real broker.
        tokio::task::yield_now().await;
        if self.down.load(Ordering::SeqCst) {
            return vec![unknown(); batch.len()];
        }
        let mut seen = self.seen.lock().unwrap();
        let mut publish = |envelope: &Envelope| {
            let tries = seen.tries.entry(envelope.id.clone()).or_default();
            *tries += 1;
            let outcome = (self.script)(envelope, *tries);
            if outcome == Outcome::Accepted {
                seen.accepted.push(envelope.clone());
            }
            outcome
        };
        batch.iter().map(&mut publish).collect()
    }

    async fn health(&self) -> Health {
        if self.back.swap(false, Ordering::SeqCst) {
            self.set_down(false);
        }
        if self.down.load(Ordering::SeqCst) { Health::Down("told so".to_owned()) } else { Health::Up }
    }

    async fn subscribe(&self, _: &Subscription) -> Result<(), Error> {
        Err(Error::Unsupported("subscriptions"))
    }

    async fn routes(&self, topic: &str) -> Result<bool, Error> {
        Ok(topic == "topic")
    }

    async fn receive(&self, _: &str, _: usize) -> Result<Vec<Box<dyn Delivery>>, Error> {
        Err(Error::Unsupported("deliveries"))
    }
}
