//! What is measured: cases, their sides, and the clients that work on one side's world.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

/// One client on connections of its own, which does one job over and over.
#[async_trait]
pub trait Client: Send + Sync + 'static {
    /// Does the job once and answers how many units that was; 0 if nothing is left to do. `turn` is a number that no other
    /// turn of this world has.
    async fn turn(&self, turn: u64) -> u64;
}

/// What a world is opened for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How many clients work at once.
    pub clients: usize,
    /// How long they will work, warm-up included: a world whose work runs out is seeded for that.
    pub span: Duration,
    /// What random choices begin from.
    pub seed: u64,
}

/// Runs once per call: what the clients left to do in the background.
type Rest = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A side's fresh data (a database, a key prefix) and its clients.
pub struct World {
    /// As many as were asked for.
    pub clients: Vec<Arc<dyn Client>>,
    rest: Option<Rest>,
    closing: Vec<BoxFuture<'static, ()>>,
    kept: Vec<Box<dyn Any + Send>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

impl World {
    /// A world of these clients.
    pub fn new<C: Client>(clients: impl IntoIterator<Item = C>) -> Self {
        let clients = clients.into_iter().map(|client| Arc::new(client) as Arc<dyn Client>).collect();
        Self { clients, rest: None, closing: Vec::new(), kept: Vec::new() }
    }

    /// Keeps something alive until the world is closed.
    #[must_use]
    pub fn keep(mut self, thing: impl Any + Send) -> Self {
        self.kept.push(Box::new(thing));
        self
    }

    /// What the clients leave to the background; waited for after they have stopped, and its time counts.
    #[must_use]
    pub fn rest<F>(mut self, rest: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.rest = Some(Box::new(move || Box::pin(rest())));
        self
    }

    /// What is to be done before what was kept is dropped.
    #[must_use]
    pub fn closing(mut self, closing: impl Future<Output = ()> + Send + 'static) -> Self {
        self.closing.push(Box::pin(closing));
        self
    }

    /// Waits for what the clients left to do.
    pub async fn settle(&self) {
        if let Some(rest) = &self.rest {
            rest().await;
        }
    }

    /// Removes the world's data.
    pub async fn close(self) {
        drop(self.clients);
        for closing in self.closing {
            closing.await;
        }
        drop(self.kept);
    }
}

/// One way to do the job of a case.
pub struct Side {
    /// What it is.
    pub name: &'static str,
    open: Box<dyn Fn(Setting) -> BoxFuture<'static, World> + Send + Sync>,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Side").field(&self.name).finish()
    }
}

impl Side {
    /// A side whose worlds are opened by `open`, equal ones each time.
    pub fn new<F>(name: &'static str, open: impl Fn(Setting) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = World> + Send + 'static,
    {
        Self { name, open: Box::new(move |setting| Box::pin(open(setting))) }
    }

    /// Opens a fresh world.
    pub async fn open(&self, setting: Setting) -> World {
        (self.open)(setting).await
    }
}

/// One job and the ways to do it.
#[derive(Debug)]
pub struct Case {
    /// Job and place, such as `cart get, redis`.
    pub name: &'static str,
    /// What is compared; the first one is what the others are measured against.
    pub sides: Vec<Side>,
    /// How many clients there are at most, if the job allows only so many.
    pub at_most: Option<usize>,
    /// A second side that those after it are measured against.
    pub rival: Option<usize>,
    /// Whether the work of a world runs out, so that a job cannot be repeated for as long as one likes.
    pub runs_out: bool,
}

impl Case {
    /// A case of any number of clients.
    pub fn new(name: &'static str, sides: Vec<Side>) -> Self {
        Self { name, sides, at_most: None, rival: None, runs_out: false }
    }

    /// Limits the clients.
    #[must_use]
    pub const fn at_most(mut self, clients: usize) -> Self {
        self.at_most = Some(clients);
        self
    }

    /// How many clients work if `wanted` are asked for.
    pub fn clients(&self, wanted: usize) -> usize {
        wanted.min(self.at_most.unwrap_or(usize::MAX))
    }

    /// Measures the sides after this one against it too.
    #[must_use]
    pub const fn rival(mut self, side: usize) -> Self {
        self.rival = Some(side);
        self
    }

    /// Says that a world's work runs out.
    #[must_use]
    pub const fn runs_out(mut self) -> Self {
        self.runs_out = true;
        self
    }
}
