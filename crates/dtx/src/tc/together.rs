//! The second phase of many committed transactions at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use onceward_backend::internal::mark;

use super::Tc;
use super::recovery::{ABREAST, put_off};
use super::silence::SOON;
use super::state::BranchStatus;
use super::store::Due;
use crate::DtxError;
use crate::coordinator::BranchInfo;

/// What one call per resource came to.
#[derive(Default)]
struct Ends {
    done: BTreeSet<(String, i64)>,
    /// Resources that did not answer: their branches are asked later.
    silent: HashSet<String>,
}

impl Ends {
    fn has(&self, xid: &str, branch: &BranchInfo) -> bool {
        self.done.contains(&(xid.to_owned(), branch.branch_id))
    }

    fn has_all(&self, xid: &str, branches: &[BranchInfo]) -> bool {
        branches.iter().all(|branch| self.has(xid, branch))
    }
}

impl Tc {
    /// Asks each resource once for the branches of all these committing transactions, then one by one for those that want
    /// it. What was answered is noted only after that, so a death in between repeats it, which is harmless.
    pub(super) async fn commit_together(&self, dues: Vec<Due>) -> Result<(), DtxError> {
        if dues.is_empty() {
            return Ok(());
        }
        let xids: Vec<_> = dues.iter().map(|due| due.xid.as_str()).collect();
        let mut branches = self.0.store.branches_of(&xids).await?;
        for branches in &mut branches {
            branches.retain(|branch| branch.status == BranchStatus::Registered);
        }
        let ends = self.ask_resources(&xids, &branches).await;
        let (ended, others): (Vec<_>, Vec<_>) =
            dues.into_iter().zip(branches).partition(|(due, branches)| ends.has_all(&due.xid, branches));
        let ended: Vec<_> = ended.iter().map(|(due, _)| due.xid.as_str()).collect();
        if !ended.is_empty() {
            self.0.store.end_committed(&ended).await?;
        }
        let ends = &ends;
        stream::iter(others)
            .for_each_concurrent(ABREAST, |(due, branches)| async move {
                if let Err(error) = self.commit_rest(&due, &branches, ends).await {
                    tracing::warn!(xid = due.xid, %error, "second phase failed");
                }
            })
            .await;
        Ok(())
    }

    async fn ask_resources(&self, xids: &[&str], branches: &[Vec<BranchInfo>]) -> Ends {
        let mut by_resource = BTreeMap::<&str, Vec<(&str, i64)>>::new();
        for (xid, branches) in xids.iter().zip(branches) {
            for branch in branches.iter().filter(|branch| !self.is_elsewhere(&branch.resource_id)) {
                by_resource.entry(&branch.resource_id).or_default().push((xid, branch.branch_id));
            }
        }
        let mut ends = Ends::default();
        let asked = by_resource.into_iter().enumerate().map(|(at, (id, branches))| async move {
            if at > 0 {
                mark("dtx.phase_two");
            }
            let answer = match self.resource(id) {
                Ok(resource) => self.0.silence.ask(id, SOON, resource.commit_together(&branches)).await,
                Err(missing) => Err(missing),
            };
            (id, branches, answer)
        });
        for (id, branches, answer) in join_all(asked).await {
            match answer {
                Ok(done) => ends.done.extend(done),
                Err(error) => {
                    branches.iter().for_each(|(xid, _)| put_off(xid, id, &error));
                    ends.silent.insert(id.to_owned());
                }
            }
        }
        ends
    }

    /// Asks for the branches that are not done yet, but not a resource that has just failed.
    async fn commit_rest(&self, due: &Due, branches: &[BranchInfo], ends: &Ends) -> Result<(), DtxError> {
        let (mut done, mut has_failed) = (Vec::new(), false);
        for branch in branches.iter().filter(|branch| !self.is_elsewhere(&branch.resource_id)) {
            if ends.has(&due.xid, branch) {
                done.push((branch.branch_id, BranchStatus::Done));
                continue;
            }
            if ends.silent.contains(&branch.resource_id) {
                has_failed = true;
                continue;
            }
            match self.second_phase(&due.xid, due.status, branch, SOON).await {
                Ok(end) => done.push((branch.branch_id, end)),
                Err(error) => {
                    has_failed = true;
                    put_off(&due.xid, &branch.resource_id, &error);
                }
            }
        }
        self.settle(&due.xid, due.status, due.tries, &done, has_failed).await?;
        Ok(())
    }
}
