//! Whether a branch can be taken back: each row compared once over all its steps. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Table;
use super::image::{Cell, Images, Kind, Row, Step};

/// A row by its table and key.
pub(crate) type RowId = (String, Vec<Cell>);

/// What a branch did to one row, over all its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    /// Before the first step; none if the row was not there.
    pub(crate) first: Option<Row>,
    /// After the last step; none if the row is gone.
    pub(crate) last: Option<Row>,
    /// Columns that any step changed, also if a later one changed them back: nobody else may have touched them.
    pub(crate) touched: BTreeSet<usize>,
    /// The step to read the row by.
    pub(crate) step: usize,
}

/// What a row is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the branch left it: it is taken back.
    Ours,
    /// As it was before the branch: nothing to do.
    Undone,
    /// Changed by somebody else.
    Dirty,
}

/// The net change of every row.
pub(crate) fn nets(images: &Images) -> BTreeMap<RowId, Net> {
    let mut nets = BTreeMap::<RowId, Net>::new();
    for (at, step) in images.steps.iter().enumerate() {
        for change in &step.changes {
            let Some(image) = change.any() else { continue };
            let mut touched = touched(change.before.as_ref(), change.after.as_ref());
            if step.kind == Kind::Update {
                // What the statement did not set was set by the database, which may do so again.
                touched.retain(|at| step.set.contains(at));
            }
            let id = (step.table.clone(), step.key_of(image));
            let net = nets.entry(id).or_insert_with(|| Net {
                first: change.before.clone(),
                last: None,
                touched: BTreeSet::new(),
                step: at,
            });
            net.last.clone_from(&change.after);
            net.touched.extend(touched);
        }
    }
    nets
}

/// Of each step, the rows that it was the first to touch.
pub(crate) fn firsts(nets: &BTreeMap<RowId, Net>, steps: usize) -> Vec<Vec<(&RowId, &Net)>> {
    let mut firsts = vec![Vec::new(); steps];
    for (id, net) in nets {
        if let Some(first) = firsts.get_mut(net.step) {
            first.push((id, net));
        }
    }
    firsts
}

fn touched(before: Option<&Row>, after: Option<&Row>) -> BTreeSet<usize> {
    match (before, after) {
        (Some(before), Some(after)) => {
            (0..before.len().max(after.len())).filter(|&at| before.get(at) != after.get(at)).collect()
        }
        (Some(row), None) | (None, Some(row)) => (0..row.len()).collect(),
        (None, None) => BTreeSet::new(),
    }
}

/// Compares a row of `table` as it is now with what the branch left and what it found.
pub(crate) fn judge(net: &Net, table: &Table, current: Option<&Row>) -> Verdict {
    // Neither what others may change, nor what undo itself counts up.
    let compared = |at: &&usize| !table.policies.contains_key(at);
    let same = |image: Option<&Row>| match (image, current) {
        (None, None) => true,
        (Some(image), Some(current)) => net.touched.iter().filter(compared).all(|&at| image.get(at) == current.get(at)),
        _ => false,
    };
    if same(net.last.as_ref()) {
        return Verdict::Ours;
    }
    if current.is_none() && table.server.partitioned {
        // It may lie in a partition that is none any more.
        return Verdict::Dirty;
    }
    if same(net.first.as_ref()) { Verdict::Undone } else { Verdict::Dirty }
}

/// The rows that parked branches of the same transaction changed.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    rows: BTreeSet<RowId>,
    /// A record that cannot be read may be of any row.
    any: bool,
}

impl Beside {
    pub(crate) fn add(&mut self, images: &Images) {
        self.rows.extend(nets(images).into_keys());
    }

    pub(crate) fn add_unreadable(&mut self) {
        self.any = true;
    }

    pub(crate) fn touches(&self, id: &RowId) -> bool {
        self.any || self.rows.contains(id)
    }
}

/// A row in words, for the list of parked branches: the table and key, never a value.
pub(crate) fn named(step: &Step, key: &str) -> String {
    format!("row {}:{key} was changed from outside", step.table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::at::catalog::Policy;
    use crate::at::image::Change;

    fn row(values: &[u8]) -> Row {
        values.iter().map(|&value| Cell { kind: 1, bytes: vec![value] }).collect()
    }

    fn step(kind: Kind, before: Option<&[u8]>, after: Option<&[u8]>) -> Step {
        Step {
            kind,
            table: "t".to_owned(),
            relation: 0,
            columns: ["id", "a", "b"].map(str::to_owned).to_vec(),
            key: vec![0],
            set: vec![1, 2],
            changes: vec![Change { before: before.map(row), after: after.map(row) }],
        }
    }

    fn net(steps: Vec<Step>) -> Net {
        let nets = nets(&Images { steps });
        assert_eq!(nets.len(), 1);
        nets.into_values().next().unwrap()
    }

    #[test]
    fn first_before_and_last_after_over_all_steps() {
        let net = net(vec![
            step(Kind::Update, Some(&[1, 5, 5]), Some(&[1, 6, 5])),
            step(Kind::Update, Some(&[1, 6, 5]), Some(&[1, 5, 5])),
        ]);
        assert_eq!((net.first.clone(), net.last.clone()), (Some(row(&[1, 5, 5])), Some(row(&[1, 5, 5]))));
        assert_eq!(net.touched, BTreeSet::from([1]));
        // Changed there and back, and then by somebody else: not ours to overwrite.
        assert_eq!(judge(&net, &Table::default(), Some(&row(&[1, 9, 5]))), Verdict::Dirty);
    }

    #[test]
    fn a_column_that_the_branch_left_alone_may_change() {
        let net = net(vec![step(Kind::Update, Some(&[1, 5, 5]), Some(&[1, 6, 5]))]);
        assert_eq!(judge(&net, &Table::default(), Some(&row(&[1, 6, 9]))), Verdict::Ours);
        assert_eq!(judge(&net, &Table::default(), Some(&row(&[1, 5, 9]))), Verdict::Undone);
        assert_eq!(judge(&net, &Table::default(), Some(&row(&[1, 7, 5]))), Verdict::Dirty);
        assert_eq!(judge(&net, &Table::default(), None), Verdict::Dirty);
    }

    #[test]
    fn what_follows_by_itself_is_not_compared() {
        let mut touch = step(Kind::Update, Some(&[1, 5, 5]), Some(&[1, 6, 7]));
        touch.set = vec![1];
        let touched = net(vec![touch]);
        assert_eq!(judge(&touched, &Table::default(), Some(&row(&[1, 6, 9]))), Verdict::Ours);
        let inserted = net(vec![step(Kind::Insert, None, Some(&[1, 2, 3]))]);
        assert_eq!(judge(&inserted, &Table::default(), Some(&row(&[1, 2, 9]))), Verdict::Dirty);
        let lax = Table { policies: [(2, Policy::Volatile)].into(), ..Table::default() };
        assert_eq!(judge(&inserted, &lax, Some(&row(&[1, 2, 9]))), Verdict::Ours);
        assert_eq!(judge(&inserted, &lax, Some(&row(&[1, 9, 3]))), Verdict::Dirty);
        let counted = Table { policies: [(2, Policy::Monotonic)].into(), ..Table::default() };
        assert_eq!(judge(&inserted, &counted, Some(&row(&[1, 2, 9]))), Verdict::Ours);
    }

    #[test]
    fn rows_that_come_and_go() {
        let inserted = net(vec![step(Kind::Insert, None, Some(&[1, 2, 3]))]);
        assert_eq!(judge(&inserted, &Table::default(), Some(&row(&[1, 2, 3]))), Verdict::Ours);
        assert_eq!(judge(&inserted, &Table::default(), Some(&row(&[1, 2, 4]))), Verdict::Dirty);
        assert_eq!(judge(&inserted, &Table::default(), None), Verdict::Undone);
        let deleted = net(vec![step(Kind::Delete, Some(&[1, 2, 3]), None)]);
        assert_eq!(judge(&deleted, &Table::default(), None), Verdict::Ours);
        assert_eq!(judge(&deleted, &Table::default(), Some(&row(&[1, 2, 3]))), Verdict::Undone);
        assert_eq!(judge(&deleted, &Table::default(), Some(&row(&[1, 2, 9]))), Verdict::Dirty);
        let both = net(vec![step(Kind::Insert, None, Some(&[1, 2, 3])), step(Kind::Delete, Some(&[1, 2, 3]), None)]);
        assert_eq!(judge(&both, &Table::default(), None), Verdict::Ours);
        let replaced =
            net(vec![step(Kind::Delete, Some(&[1, 2, 3]), None), step(Kind::Insert, None, Some(&[1, 2, 4]))]);
        assert_eq!(judge(&replaced, &Table::default(), Some(&row(&[1, 2, 4]))), Verdict::Ours);
        assert_eq!(judge(&replaced, &Table::default(), Some(&row(&[1, 5, 4]))), Verdict::Dirty);
    }
}
