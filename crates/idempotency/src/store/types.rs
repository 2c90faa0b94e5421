//! What goes into a store and comes back from it.

use std::time::Duration;

use crate::digest::hex;
use crate::{Fingerprint, Owner, TokenId};

/// What a store can do beyond what every store must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It lists running claims.
    pub running: bool,
    /// It has the literal mode: bare values under bare keys.
    pub bare: bool,
    /// It keeps a second digest and tells collisions.
    pub verified: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self { running: true, bare: true, verified: true };
    /// Only what every store must; add to it.
    pub const NONE: Self = Self { running: false, bare: false, verified: false };
}

/// Names one token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// What it is for.
    pub purpose: String,
    /// Whose it is. A store answers `Absent` to anybody else.
    pub user: String,
    /// Which one.
    pub id: TokenId,
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name.
    pub key: TokenKey,
    /// What it is bound to.
    pub fingerprint: Fingerprint,
    /// Its life.
    pub ttl: Duration,
    /// How long after its life it is still known, to be told expired.
    pub tombstone: Duration,
    /// Whether it supersedes the user's older ones.
    pub latest: bool,
}

/// A wish to spend a token.
#[derive(Clone, Debug)]
pub struct SpendToken {
    /// Its name.
    pub key: TokenKey,
    /// What the caller has in hand now.
    pub fingerprint: Fingerprint,
    /// Who asks; the same for all repeats of one attempt.
    pub owner: Owner,
    /// The process that asks, for people to read.
    pub holder: String,
    /// How long the claim is exclusive.
    pub lease: Duration,
    /// How long after its lease the claim can be taken over; never less than what is left of the token's life.
    pub tail: Duration,
    /// How long the result is kept by a store that completes at once.
    pub retention: Duration,
    /// Whether a newer token of the user counts instead.
    pub latest: bool,
    /// Whether the signature says that the life is over, for the case that the store knows nothing.
    pub(crate) outlived: bool,
}

/// A store's answer to [`SpendToken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    /// The asker holds the claim.
    Accepted {
        /// Counts every acceptance of this token.
        attempt: u32,
        /// An earlier attempt vanished while it held the claim.
        takeover: bool,
    },
    /// It was spent.
    AlreadySpent {
        /// What the completed attempt left.
        result: Vec<u8>,
    },
    /// Another attempt holds the claim.
    InFlight {
        /// When its lease ends unless it is renewed.
        retry_after: Duration,
    },
    /// A newer token of the user counts.
    Superseded,
    /// Its life is over.
    Expired,
    /// It is bound to something else.
    Mismatch,
    /// Not there, or not this user's.
    Absent,
}

/// Names one claim of one attempt. Enough to settle it from outside; useless to anybody once the attempt is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimRef {
    /// The token.
    pub key: TokenKey,
    /// The attempt.
    pub owner: Owner,
}

impl ClaimRef {
    /// The token's id.
    pub const fn id(&self) -> TokenId {
        self.key.id
    }

    /// Whose token it is.
    pub fn user(&self) -> &str {
        &self.key.user
    }

    /// What the token is for.
    pub fn purpose(&self) -> &str {
        &self.key.purpose
    }
}

/// A claim that is neither completed nor released.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningClaim {
    /// Which one.
    pub claim: ClaimRef,
    /// The process that made it.
    pub holder: String,
    /// How often the token was claimed.
    pub attempt: u32,
    /// Since it was made.
    pub running_for: Duration,
    /// Until its lease ends; zero means abandoned.
    pub lease_left: Duration,
}

impl RunningClaim {
    /// A listed claim, for stores.
    pub const fn new(
        claim: ClaimRef,
        holder: String,
        attempt: u32,
        running_for: Duration,
        lease_left: Duration,
    ) -> Self {
        Self { claim, holder, attempt, running_for, lease_left }
    }
}

/// The answer of the literal mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consume {
    /// The key held exactly this value and is deleted now.
    Consumed,
    /// The key holds another value: a newer page was opened.
    Different,
    /// There is no such key: spent, expired, or never issued. The literal mode cannot tell these apart.
    Absent,
}

/// Names one content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentKey {
    /// `SCOPE:DIGEST:HEX`, visible ASCII, at most 140 bytes.
    pub name: String,
    /// A digest by another function; `None` where digests are not verified.
    pub second: Option<Fingerprint>,
}

impl ContentKey {
    /// The name of the slot that this content has if another one sits in the first: both digests.
    pub fn collision_name(&self) -> Option<String> {
        self.second.map(|second| format!("{}+{}", self.name, hex(second.as_bytes())))
    }
}

/// A wish to be the first to process a content.
#[derive(Clone, Debug)]
pub struct ContentSlot {
    /// Its name.
    pub key: ContentKey,
    /// Who asks; the same for all repeats of one attempt.
    pub owner: Owner,
    /// The process that asks, for people to read.
    pub holder: String,
    /// How long the claim is exclusive.
    pub lease: Duration,
    /// How long after its lease the claim can be taken over.
    pub tail: Duration,
    /// How long a mark is remembered.
    pub retention: Duration,
    /// Marks as done at once instead of claiming.
    pub mark: bool,
}

/// A store's answer to [`ContentSlot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentAnswer {
    /// The asker is the first, or marked it first.
    First {
        /// Counts the claims of this content.
        attempt: u32,
        /// An earlier attempt vanished while it held the claim.
        takeover: bool,
        /// Another content with the same first digest is there; this one has a slot of its own.
        collided: bool,
    },
    /// It was processed.
    Done,
    /// Another attempt holds the claim.
    InFlight {
        /// When its lease ends unless it is renewed.
        retry_after: Duration,
    },
}

/// Names one claim on a content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentClaim {
    /// The content.
    pub key: ContentKey,
    /// Whether it sits in the slot named by both digests.
    pub collided: bool,
    /// The attempt.
    pub owner: Owner,
}

impl ContentClaim {
    /// The name of the slot that is claimed.
    pub fn slot_name(&self) -> String {
        match (self.collided, self.key.collision_name()) {
            (true, Some(name)) => name,
            _ => self.key.name.clone(),
        }
    }
}
