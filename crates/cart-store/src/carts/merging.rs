//! Driving a merge through its steps, and finishing those that stopped on the way.

use std::time::Duration;

use onceward_backend::internal::mark;

use super::Carts;
use crate::error::Error;
use crate::store::Absorb;
use crate::types::{GuestId, MemberId, MergeId, MergeReport, Owner, Sealing, Stage, Unfinished};

/// What one step of the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeSweep {
    /// Merges that had stopped on the way and are done now.
    pub finished: u32,
    /// Finished merges that were looked at again.
    pub rechecked: u32,
    /// Merges that failed again and are left for the next step.
    pub failed: u32,
}

impl Carts {
    /// Merges a guest's cart into a member's: quantities add up, bounded by the limits, and the report names what was cut
    /// down. Safe to repeat and to run many times at once; has its effect once.
    ///
    /// Have no login fail over it: on an error sign the user in all the same. What was sealed is finished by
    /// [`finish_merges`](Self::finish_merges), what was not is merged at the next login. Give the browser a new guest id
    /// afterwards.
    ///
    /// # Errors
    /// [`Error::Sealed`] if the guest's cart was merged into another member's, and [`Error::Backend`].
    ///
    /// # Cancel safety
    /// A merge that is dropped on the way is finished by the sweeper.
    #[tracing::instrument(name = "onceward.cart.merge", level = "debug", skip_all)]
    pub async fn merge(&self, guest: &GuestId, member: &MemberId) -> Result<MergeReport, Error> {
        let sealing = self.seal(guest, member).await?;
        let report = self.absorb(member, &sealing).await?;
        if sealing.stage == Stage::Sealed {
            self.tombstone(guest, &sealing).await?;
        }
        metrics::counter!("onceward_cart_merges_total", "replayed" => if report.replayed { "yes" } else { "no" })
            .increment(1);
        Ok(report)
    }

    /// One step of the sweeper: finishes merges that stopped on the way at least a minute ago, and looks once more at those
    /// finished ten minutes ago, in case the member's store lost what it acknowledged. Call it at start and every half
    /// minute, from any number of processes.
    ///
    /// # Errors
    /// Those of listing; a merge that fails is counted, logged and left for the next step.
    #[tracing::instrument(name = "onceward.cart.finish_merges", level = "debug", skip_all)]
    pub async fn finish_merges(&self) -> Result<MergeSweep, Error> {
        let options = &self.options;
        let found = self.repeat(|| self.store.unfinished(options.finish_after, options.recheck_after, AT_ONCE)).await?;
        let mut sweep = MergeSweep::default();
        for merge in found {
            match self.finish(&merge).await {
                Ok(Stage::Sealed) => sweep.finished += 1,
                Ok(_) => sweep.rechecked += 1,
                Err(error) => {
                    sweep.failed += 1;
                    tracing::warn!(%error, age = ?merge.age, "a cart merge is left for the next sweep");
                }
            }
        }
        Ok(sweep)
    }

    /// Guest carts that have been sealed for at least `older_than` and are not merged yet, up to 1,000. With the sweeper at
    /// work there are none older than two minutes.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub async fn unfinished_merges(&self, older_than: Duration) -> Result<Vec<Unfinished>, Error> {
        let found = self.repeat(|| self.store.unfinished(older_than, Duration::MAX, LISTED)).await?;
        Ok(found.into_iter().filter(|merge| merge.stage == Stage::Sealed).collect())
    }

    /// Takes up a merge where it stopped; answers the stage at which it was found.
    async fn finish(&self, merge: &Unfinished) -> Result<Stage, Error> {
        let sealing = self.seal(&merge.guest, &merge.into).await?;
        self.absorb(&merge.into, &sealing).await?;
        match sealing.stage {
            Stage::Sealed => self.tombstone(&merge.guest, &sealing).await?,
            _ => self.repeat(|| self.store.settle(&merge.guest, sealing.merge)).await?,
        }
        Ok(sealing.stage)
    }

    async fn seal(&self, guest: &GuestId, member: &MemberId) -> Result<Sealing, Error> {
        let merge = MergeId::random();
        let sealing = self.repeat(|| self.store.seal(guest, member, merge, self.options.merge_ttl)).await?;
        mark("cart.sealed");
        Ok(sealing)
    }

    async fn absorb(&self, member: &MemberId, sealing: &Sealing) -> Result<MergeReport, Error> {
        if sealing.lines.is_empty() {
            return Ok(MergeReport::default());
        }
        let ttl = self.options.merge_ttl;
        // Forgotten before the guest's record is gone, a merge would count twice.
        let mark_ttl = self.options.mark_ttl.max(ttl.sealed.saturating_add(ttl.tombstoned).saturating_mul(2));
        let owner = Owner::Member(member.clone());
        let absorb = Absorb::new(sealing.merge, self.options.limits, mark_ttl).with_ttl(self.ttl(&owner));
        let report = self.repeat(|| self.store.absorb(member, &sealing.lines, &absorb)).await?;
        mark("cart.absorbed");
        Ok(report)
    }

    async fn tombstone(&self, guest: &GuestId, sealing: &Sealing) -> Result<(), Error> {
        self.repeat(|| self.store.tombstone(guest, sealing.merge, self.options.merge_ttl.tombstoned)).await?;
        mark("cart.tombstoned");
        Ok(())
    }
}

/// How many merges one step of the sweeper takes up.
const AT_ONCE: u32 = 100;
/// How many unfinished merges are listed.
const LISTED: u32 = 1_000;
