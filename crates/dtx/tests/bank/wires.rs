//! The wires to the databases at the server, and how they are spoilt.

use std::time::Duration;

use testkit::{Mode, Proxy, Rng};
use tokio::time::sleep;

const COMMIT: &[u8] = b"COMMIT";

pub struct Wire {
    proxy: Proxy,
}

/// What happens to a wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Spoil {
    /// Every connection is cut.
    Cut,
    /// Nothing passes for a while, then all of it does.
    Stall,
    /// What is sent for a while is lost, and the connections with it.
    Lose,
    /// A local commit, or one of the coordinators' own, is done and not answered.
    Unanswered,
    /// One does not arrive.
    Unheard,
}

impl Spoil {
    pub const ALL: [Self; 5] = [Self::Cut, Self::Stall, Self::Lose, Self::Unanswered, Self::Unheard];
}

impl Wire {
    pub async fn new(url: &str) -> Self {
        Self { proxy: Proxy::in_front_of(url).await }
    }

    pub fn url(&self) -> &str {
        self.proxy.url()
    }

    /// Nothing is answered from here on, and whoever asks is cut off.
    pub fn fall_silent(&self) {
        self.proxy.set(Mode::DropReplies);
    }

    pub fn speak(&self) {
        self.proxy.set(Mode::Pass);
    }

    /// Spoils it; it is whole again afterwards, except for a commit that may still be waited for.
    pub async fn spoil(&self, how: Spoil, rng: &mut Rng) {
        // The moment and the length are what is tested.
        let length = Duration::from_millis(200 + rng.below(1_000));
        match how {
            Spoil::Cut => self.proxy.cut(),
            Spoil::Stall => {
                self.proxy.set(Mode::Stall);
                sleep(length).await;
                self.proxy.set(Mode::Pass);
            }
            Spoil::Lose => {
                self.proxy.set(Mode::BlackHole);
                sleep(length).await;
                self.proxy.set(Mode::Pass);
                self.proxy.cut();
            }
            Spoil::Unanswered => self.proxy.set(Mode::DropReplyTo(COMMIT.to_vec())),
            Spoil::Unheard => self.proxy.set(Mode::CutBefore(COMMIT.to_vec())),
        }
    }
}
