//! Phase two: forget the undo of a branch, or apply it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use onceward_backend::internal::{begin, commit, mark};
use sqlx::Transaction;
use std::time::Duration;

use super::At;
use super::capture::AtDb;
use super::catalog::Table;
use super::image::{Change, Images, Kind, Row, Step, decode};
use super::locks::key_text;
use super::log::{Entry, hold_of};
use super::undo::{Beside, Net, RowId, Verdict, firsts, judge, named, nets};
use crate::coordinator::repair::{ParkedBranch, Repair, Repaired};
use crate::coordinator::rm::{ParkedInfo, Resource, UndoInfo, Undone};
use crate::{DtxError, place};

/// What taking a branch back came to, inside of its transaction.
enum Taken {
    Back,
    /// Nothing was changed, for this reason.
    Not(String),
}

#[async_trait]
impl<D: AtDb> Resource for At<D> {
    fn id(&self) -> &str {
        self.resource_id()
    }

    fn home(&self) -> Option<String> {
        self.0.home.clone()
    }

    async fn commit(&self, xid: &str, branch_id: i64) -> Result<(), DtxError> {
        let (log, name) = (&self.0.log, (xid, branch_id));
        mark("dtx.before_forget");
        if log.remove_plain(&mut self.0.undo_pool.acquire().await?, name).await? {
            return Ok(());
        }
        let mut tx = begin(&self.0.undo_pool).await?;
        let Some(Entry::Undo { context, .. }) = log.find(&mut tx, name).await? else {
            // Forgotten before: the undo record and what it held went together.
            return Ok(tx.rollback().await?);
        };
        if let Some(hold) = hold_of(&context)? {
            self.somebody_holds()?;
            for participant in &self.options().participants {
                participant.on_commit(&mut tx, xid, hold).await?;
            }
        }
        log.remove(&mut tx, name, &context).await?;
        commit(tx).await?;
        self.options().participants.iter().for_each(|participant| participant.committed());
        Ok(())
    }

    async fn commit_together(&self, branches: &[(&str, i64)]) -> Result<BTreeSet<(String, i64)>, DtxError> {
        mark("dtx.before_forget");
        self.0.log.remove_all_plain(&mut self.0.undo_pool.acquire().await?, branches).await
    }

    async fn rollback(&self, xid: &str, branch_id: i64) -> Result<Undone, DtxError> {
        let (log, name) = (&self.0.log, (xid, branch_id));
        loop {
            let mut tx = begin(&self.0.undo_pool).await?;
            D::ready_for_undo(&mut tx).await?;
            let (context, images, beside) = match log.find(&mut tx, name).await? {
                Some(Entry::Undo { context, images, beside }) => (context, images, beside),
                Some(Entry::Guard) => return Ok(Undone::Done),
                None if log.is_parked(&mut tx, name).await? => return Ok(Undone::Parked),
                None => {
                    // Its first phase never committed, or is undone. Whichever: it must not commit after this.
                    if !log.guard(&mut tx, name).await? {
                        // It committed between our two looks.
                        continue;
                    }
                    if log.is_parked(&mut tx, name).await? {
                        // It committed, and somebody else has parked it.
                        return Ok(Undone::Parked);
                    }
                    mark("dtx.guarded");
                    commit(tx).await?;
                    return Ok(Undone::Done);
                }
            };
            let hold = hold_of(&context)?.map(str::to_owned);
            if hold.is_some() {
                self.somebody_holds()?;
            }
            let beside = if beside > 0 { self.beside(&mut tx, xid).await? } else { Beside::default() };
            let refused = match self.take_back(&mut tx, name, &context, images, &beside).await {
                Ok(Taken::Back) => {
                    mark("dtx.taken_back");
                    self.discard(&mut tx, xid, hold.as_deref()).await?;
                    log.remove(&mut tx, name, &context).await?;
                    match commit(tx).await {
                        Ok(()) => return Ok(Undone::Done),
                        Err(error) => DtxError::from(error),
                    }
                }
                Ok(Taken::Not(reason)) => return self.park(tx, name, hold.as_deref(), &reason).await,
                Err(error) => {
                    // A trigger may have rolled back before us.
                    let _ = tx.rollback().await;
                    error
                }
            };
            if !refused.is_final_refusal() {
                return Err(refused);
            }
            // Nothing of the undo remains, and nothing will change that.
            let mut tx = begin(&self.0.undo_pool).await?;
            if matches!(log.find(&mut tx, name).await?, Some(Entry::Undo { .. })) {
                return self.park(tx, name, hold.as_deref(), &described(&refused)).await;
            }
            // Somebody else has ended it meanwhile.
        }
    }

    async fn undo_rows(&self) -> Result<Vec<UndoInfo>, DtxError> {
        let rows = self.0.log.all(&mut self.0.undo_pool.acquire().await?).await?;
        let info = |(xid, branch_id, age)| UndoInfo {
            resource_id: self.resource_id().to_owned(),
            xid,
            branch_id,
            age: place::age(age),
        };
        Ok(rows.into_iter().map(info).collect())
    }

    async fn parked(&self) -> Result<Vec<ParkedInfo>, DtxError> {
        let rows = self.0.log.parked(&mut self.0.undo_pool.acquire().await?).await?;
        let info = |(xid, branch_id, reason, age)| ParkedInfo {
            resource_id: self.resource_id().to_owned(),
            xid,
            branch_id,
            reason,
            age: place::age(age),
        };
        Ok(rows.into_iter().map(info).collect())
    }

    async fn inspect(&self, xid: &str, branch_id: i64) -> Result<Option<ParkedBranch>, DtxError> {
        self.inspect_parked(xid, branch_id).await
    }

    async fn repair(&self, repair: &Repair) -> Result<Repaired, DtxError> {
        self.repair_parked(repair).await
    }

    async fn bypassed(&self) -> Result<u64, DtxError> {
        self.count_bypasses().await
    }

    async fn sweep(&self, older: Duration) -> Result<u64, DtxError> {
        let micros = i64::try_from(older.as_micros()).unwrap_or(i64::MAX / 4);
        self.0.log.sweep(&mut self.0.undo_pool.acquire().await?, micros).await
    }
}

impl<D: AtDb> At<D> {
    /// Whoever was to release what a branch holds must be there when it ends: else that would stay for ever.
    fn somebody_holds(&self) -> Result<(), DtxError> {
        if !self.options().participants.is_empty() {
            return Ok(());
        }
        let problem = "the branch holds messages and no participant can end them: see AtOptions::with_participant";
        Err(DtxError::Resource { resource: self.resource_id().to_owned(), problem: problem.to_owned() })
    }

    /// Compares every row once, then takes all steps back from the last to the first; or changes nothing.
    async fn take_back(
        &self,
        tx: &mut Transaction<'static, D>,
        name: (&str, i64),
        context: &str,
        images: Vec<u8>,
        beside: &Beside,
    ) -> Result<Taken, DtxError> {
        let images = decode(&self.0.log.whole(tx, name, context, images).await?)?;
        let tables = match self.tables(tx, &images).await? {
            Ok(tables) => tables,
            Err(reason) => return Ok(Taken::Not(reason)),
        };
        let nets = nets(&images);
        let firsts = firsts(&nets, images.steps.len());
        let mut skipped = BTreeSet::new();
        for ((step, table), first) in images.steps.iter().zip(&tables).zip(&firsts) {
            for (id, net, row) in found::<D>(tx, table, step, first).await? {
                match judge(net, table, row.as_ref()) {
                    Verdict::Dirty => return Ok(Taken::Not(named(step, &key_text::<D>(table, &id.1)))),
                    _ if beside.touches(id) => {
                        // That one may have brought the value about, and may itself be taken back by a person.
                        let row = key_text::<D>(table, &id.1);
                        return Ok(Taken::Not(format!(
                            "a later branch is parked that may have changed row {}:{row}",
                            step.table
                        )));
                    }
                    Verdict::Ours => {}
                    Verdict::Undone => drop(skipped.insert(id.clone())),
                }
            }
        }
        let watched = tables.iter().any(|table| table.watched);
        if watched {
            D::mark(tx).await?;
        }
        for (step, table) in images.steps.iter().zip(&tables).rev() {
            let own = |change: &&Change| {
                let id = change.any().map(|image| (step.table.clone(), step.key_of(image)));
                id.is_some_and(|id| !skipped.contains(&id))
            };
            let changes: Vec<_> = step.changes.iter().filter(own).collect();
            if !D::take_back(tx, table, step, &changes).await? {
                return Err(DtxError::Corrupt("a row was not where its image says"));
            }
        }
        if watched {
            D::unmark(tx).await?;
        }
        // Where triggers have had their say once more, it is looked what they made of it.
        let triggered = images.steps.iter().zip(&tables).zip(&firsts).filter(|((_, table), _)| table.triggered);
        for ((step, table), first) in triggered {
            let own: Vec<_> = first.iter().copied().filter(|(id, _)| !skipped.contains(*id)).collect();
            for (_, net, row) in found::<D>(tx, table, step, &own).await? {
                let back = Net { last: net.first.clone(), ..net.clone() };
                if judge(&back, table, row.as_ref()) != Verdict::Ours {
                    return Err(DtxError::refused(
                        format!("the undo of {}, which a trigger changes", table.name),
                        "name the columns that it changes by TableOptions::with_volatile",
                    ));
                }
            }
        }
        Ok(Taken::Back)
    }

    /// The rows that the parked branches of a transaction changed.
    async fn beside(&self, tx: &mut Transaction<'static, D>, xid: &str) -> Result<Beside, DtxError> {
        let mut beside = Beside::default();
        for (branch_id, context, images) in self.0.log.parked_of(tx, xid).await? {
            let whole = self.0.log.whole(tx, (xid, branch_id), &context, images).await;
            match whole.and_then(|images| decode(&images)) {
                Ok(images) => beside.add(&images),
                Err(DtxError::Corrupt(_)) => beside.add_unreadable(),
                Err(error) => return Err(error),
            }
        }
        Ok(beside)
    }

    /// The table of each step as the catalogue has it now, or why images no longer fit it.
    async fn tables(
        &self,
        tx: &mut Transaction<'static, D>,
        images: &Images,
    ) -> Result<Result<Vec<Table>, String>, DtxError> {
        let mut tables = Vec::<Table>::with_capacity(images.steps.len());
        for step in &images.steps {
            let table = match tables.iter().find(|table| table.name == step.table) {
                Some(table) => usable::<D>(table.clone(), step),
                None => self.table_of(tx, step).await?,
            };
            match table {
                Ok(table) => tables.push(table),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(tables))
    }

    /// The table of a step. Not a planned one: nothing may have changed since that is not known here.
    pub(super) async fn table_of(
        &self,
        tx: &mut Transaction<'static, D>,
        step: &Step,
    ) -> Result<Result<Table, String>, DtxError> {
        Ok(usable::<D>(D::table(tx, &step.table, &self.options().tables).await?, step))
    }

    /// Puts the branch aside whole. What it held is dropped all the same: the decision is rollback.
    async fn park(
        &self,
        mut tx: Transaction<'static, D>,
        name: (&str, i64),
        hold: Option<&str>,
        reason: &str,
    ) -> Result<Undone, DtxError> {
        self.discard(&mut tx, name.0, hold).await?;
        self.0.log.park(&mut tx, name, reason).await?;
        commit(tx).await?;
        tracing::error!(resource = self.resource_id(), xid = name.0, branch = name.1, reason, "branch parked");
        Ok(Undone::Parked)
    }

    async fn discard(&self, tx: &mut Transaction<'static, D>, xid: &str, hold: Option<&str>) -> Result<(), DtxError> {
        if let Some(hold) = hold {
            for participant in &self.options().participants {
                participant.on_rollback(tx, xid, hold).await?;
            }
        }
        Ok(())
    }
}

/// Rows of a step as they are now.
async fn found<'a, D: AtDb>(
    tx: &mut Transaction<'static, D>,
    table: &Table,
    step: &Step,
    nets: &[(&'a RowId, &'a Net)],
) -> Result<Vec<(&'a RowId, &'a Net, Option<Row>)>, DtxError> {
    let keys: Vec<_> = nets.iter().map(|((_, key), _)| key.as_slice()).collect();
    let rows = D::current(tx, table, step, &keys).await?;
    let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (step.key_of(&row), row)).collect();
    Ok(nets.iter().map(|&(id, net)| (id, net, rows.remove(&id.1))).collect())
}

/// The table, or why images of a step no longer fit it.
fn usable<D: AtDb>(table: Table, step: &Step) -> Result<Table, String> {
    if !D::fits(&table, step) {
        return Err(format!("table {} has other columns than when it was changed", step.table));
    }
    if step.kind == Kind::Insert && table.incoming.iter().any(|incoming| incoming.on_delete) {
        return Err(format!("table {} has got a foreign key since that cascades", step.table));
    }
    Ok(table)
}

/// An error with its cause, for the list of parked branches.
pub(super) fn described(error: &DtxError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let answer = inner.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
        if let Some(code) = answer.and_then(|answer| answer.code()).filter(|code| code.starts_with("22")) {
            // The server's own words would quote the value.
            return format!("{text}: a value that its type does not take ({code})");
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
