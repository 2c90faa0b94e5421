//! A wire to a service, spoilt at random.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Mode, Proxy, Rng};

/// A wire to a service, and how it is spoilt.
#[derive(Debug)]
pub struct Wire {
    proxy: Proxy,
    word: &'static [u8],
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
    /// All of it takes longer for a while.
    Slow,
    /// A request with the wire's word in it is done and not answered.
    Unanswered,
    /// One does not arrive.
    Unheard,
    /// Nobody is there for a while.
    Gone,
}

impl Spoil {
    /// All that can happen.
    pub const ALL: [Self; 7] =
        [Self::Cut, Self::Stall, Self::Lose, Self::Slow, Self::Unanswered, Self::Unheard, Self::Gone];
}

impl Wire {
    /// A wire to the service of this URL. `word` is in requests whose outcome matters, such as `COMMIT`.
    pub async fn new(url: &str, word: &'static [u8]) -> Self {
        Self { proxy: Proxy::in_front_of(url).await, word }
    }

    /// That URL, over the wire.
    #[must_use]
    pub fn url(&self) -> &str {
        self.proxy.url()
    }

    /// Nothing is answered from here on, and whoever asks is cut off.
    pub fn fall_silent(&self) {
        self.proxy.set(Mode::DropReplies);
    }

    /// Whole again.
    pub fn speak(&self) {
        self.proxy.set(Mode::Pass);
    }

    /// Spoils it; it is whole again afterwards, except for a request that may still be waited for.
    pub async fn spoil(&self, how: Spoil, rng: &mut Rng) {
        // The moment and the length are what is tested.
        let length = Duration::from_millis(200 + rng.below(1_000));
        match how {
            Spoil::Cut => self.proxy.cut(),
            Spoil::Stall => self.set_for(length, Mode::Stall).await,
            Spoil::Slow => self.set_for(length, Mode::Delay(Duration::from_millis(5 + rng.below(50)))).await,
            Spoil::Gone => self.set_for(length, Mode::Refuse).await,
            Spoil::Lose => {
                self.set_for(length, Mode::BlackHole).await;
                self.proxy.cut();
            }
            Spoil::Unanswered => self.proxy.set(Mode::DropReplyTo(self.word.to_vec())),
            Spoil::Unheard => self.proxy.set(Mode::CutBefore(self.word.to_vec())),
        }
    }

    async fn set_for(&self, length: Duration, mode: Mode) {
        self.proxy.set(mode);
        sleep(length).await;
        self.proxy.set(Mode::Pass);
    }
}
