//! How a batch is to be carried out.

use std::time::Duration;

use super::{Limits, Operation};

/// How a batch is to be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Carry it out only at this version.
    pub expect: Option<u32>,
    /// Carry it out once under this name.
    pub operation: Option<Operation>,
    /// What the cart may hold.
    pub limits: Limits,
    /// How long the cart lives from then on; for ever if none.
    pub ttl: Option<Duration>,
}

impl Change {
    /// Sets the version to expect.
    #[must_use]
    pub const fn with_expect(mut self, version: Option<u32>) -> Self {
        self.expect = version;
        self
    }

    /// Sets the operation.
    #[must_use]
    pub const fn with_operation(mut self, operation: Option<Operation>) -> Self {
        self.operation = operation;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long the cart lives from then on.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }
}
