//! Places at which a process can be told to wait, so that a demonstration can end it there.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use onceward_dtx::{Global, TransactionHook};
use tokio::io::{AsyncBufReadExt, BufReader};

/// A place to wait at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Point {
    /// In the wallet: the charge is committed in its database, and not answered.
    Charged,
    /// In the shop: all branches are committed in their databases, and nothing is decided.
    Undecided,
}

impl Point {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Undecided => "undecided",
        }
    }
}

/// Waits at one place, once: says `held NAME` and goes on with the next line of standard input. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hold(Option<Arc<(Point, AtomicBool)>>);

impl Hold {
    /// Waits at this place, or nowhere.
    pub fn new(point: Option<Point>) -> Self {
        Self(point.map(|point| Arc::new((point, AtomicBool::new(false)))))
    }

    /// Waits here if it was told to.
    pub async fn at(&self, point: Point) {
        let Some(told) = &self.0 else { return };
        if told.0 != point || told.1.swap(true, Ordering::SeqCst) {
            return;
        }
        {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "held {}", point.as_str()).and_then(|()| out.flush());
        }
        // The end of the input is a line too: whoever held it is gone.
        let _ = BufReader::new(tokio::io::stdin()).lines().next_line().await;
    }
}

#[async_trait]
impl TransactionHook for Hold {
    async fn before_commit(&self, _: &Global) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.at(Point::Undecided).await;
        Ok(())
    }
}
