//! Parked branches: shown to a person, and ended as the person decides.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use onceward_backend::ErrorClass;
use onceward_backend::internal::{begin, commit};
use sha2::{Digest, Sha256};
use sqlx::Transaction;

use super::At;
use super::capture::AtDb;
use super::catalog::Table;
use super::image::{Cell, Change, Images, Kind, Row, Step, decode};
use super::locks::key_text;
use super::log::Parked;
use super::phase_two::described;
use super::undo::{Net, RowId, firsts, nets};
use crate::coordinator::repair::{
    Effect, ParkedBranch, ParkedRow, Repair, RepairAction, Repaired, RepairedRow, RowText,
};
use crate::coordinator::rm::ParkedInfo;
use crate::tc::lock::hex;
use crate::{DtxError, place};

/// What a branch did, and how its rows are now.
struct Look {
    images: Images,
    nets: BTreeMap<RowId, Net>,
    /// The table of each step, or why it cannot be read by.
    tables: Vec<Result<Table, String>>,
    current: BTreeMap<RowId, Row>,
}

/// A forced change, of the step that it belongs to.
struct Forced<'a> {
    step: &'a Step,
    table: &'a Table,
    key: String,
    effect: Effect,
    change: Change,
}

impl<D: AtDb> At<D> {
    pub(super) async fn inspect_parked(&self, xid: &str, branch_id: i64) -> Result<Option<ParkedBranch>, DtxError> {
        let mut tx = begin(&self.0.undo_pool).await?;
        D::ready_for_undo(&mut tx).await?;
        let Some(parked) = self.0.log.parked_one(&mut tx, (xid, branch_id)).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let look = self.look(&mut tx, (xid, branch_id), &parked).await?;
        let fingerprint = fingerprint(&parked, &look);
        let (rows, problem) = match look {
            Ok(look) => (self.rows(&mut tx, &look).await?, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        tx.rollback().await?;
        let info = ParkedInfo {
            resource_id: self.resource_id().to_owned(),
            xid: xid.to_owned(),
            branch_id,
            reason: parked.reason,
            age: place::age(parked.age),
        };
        Ok(Some(ParkedBranch { info, rows, problem, fingerprint }))
    }

    /// All in one transaction, which holds the parked record: of two who repair, the second finds nothing.
    pub(super) async fn repair_parked(&self, repair: &Repair) -> Result<Repaired, DtxError> {
        let Repair { xid, branch_id, action, who, note, .. } = repair;
        let mut tx = begin(&self.0.undo_pool).await?;
        D::ready_for_undo(&mut tx).await?;
        let Some(parked) = self.0.log.parked_one(&mut tx, (xid, *branch_id)).await? else {
            return Err(DtxError::NotParked { xid: xid.clone(), branch_id: *branch_id });
        };
        let look = self.look(&mut tx, (xid, *branch_id), &parked).await?;
        let dangling = if repair.dry_run { self.0.log.dangling(&mut tx).await? } else { 0 };
        if fingerprint(&parked, &look) != repair.fingerprint {
            return Err(DtxError::RowsChanged { branch_id: *branch_id });
        }
        let rows = match (repair.action, &look) {
            (RepairAction::Restore, Ok(look)) => {
                if let Some(last) = self.0.log.last_parked(&mut tx, xid).await?.filter(|last| last != branch_id) {
                    // Values go back the way they came.
                    let part =
                        format!("to restore what branch {branch_id} changed before branch {last}, which is parked too");
                    return Err(DtxError::refused(part, "end that one first"));
                }
                self.restore(&mut tx, look).await?
            }
            (RepairAction::Restore, Err(problem)) => return Err(unrestorable(problem)),
            (RepairAction::Keep | RepairAction::Done, _) => Vec::new(),
        };
        D::check_deferred(&mut tx).await?;
        if repair.dry_run {
            if self.0.log.dangling(&mut tx).await? > dangling {
                return Err(unrestorable("a foreign key would point to no row"));
            }
            tx.rollback().await?;
        } else {
            self.0.log.repaired(&mut tx, (xid, *branch_id), [self.resource_id(), action.as_str(), who, note]).await?;
            commit(tx).await?;
        }
        Ok(Repaired { rows, status: None })
    }

    /// The rows of a parked branch, or why its record cannot be read.
    async fn look(
        &self,
        tx: &mut Transaction<'static, D>,
        name: (&str, i64),
        parked: &Parked,
    ) -> Result<Result<Look, String>, DtxError> {
        let whole = self.0.log.whole(tx, name, &parked.context, parked.images.clone()).await;
        let images = match whole.and_then(|images| decode(&images)) {
            Ok(images) => images,
            Err(unreadable @ DtxError::Corrupt(_)) => return Ok(Err(unreadable.to_string())),
            Err(error) => return Err(error),
        };
        let nets = nets(&images);
        let (mut tables, mut current) = (Vec::with_capacity(images.steps.len()), BTreeMap::new());
        for (step, first) in images.steps.iter().zip(firsts(&nets, images.steps.len())) {
            let keys: Vec<_> = first.iter().map(|((_, key), _)| key.as_slice()).collect();
            self.0.log.raw(tx, "savepoint onceward_look").await?;
            let table = match self.read(tx, step, &keys).await {
                Ok(Ok((table, rows))) => {
                    current.extend(rows.into_iter().map(|row| ((step.table.clone(), step.key_of(&row)), row)));
                    Ok(table)
                }
                Ok(Err(reason)) => Err(reason),
                Err(refused) if refused.is_final_refusal() => {
                    self.0.log.raw(tx, "rollback to onceward_look").await?;
                    Err(described(&refused))
                }
                Err(error) => return Err(error),
            };
            tables.push(table);
        }
        Ok(Ok(Look { images, nets, tables, current }))
    }

    async fn read(
        &self,
        tx: &mut Transaction<'static, D>,
        step: &Step,
        keys: &[&[Cell]],
    ) -> Result<Result<(Table, Vec<Row>), String>, DtxError> {
        match self.table_of(tx, step).await? {
            Ok(table) => {
                let rows = D::current(tx, &table, step, keys).await?;
                Ok(Ok((table, rows)))
            }
            Err(reason) => Ok(Err(reason)),
        }
    }

    async fn rows(&self, tx: &mut Transaction<'static, D>, look: &Look) -> Result<Vec<ParkedRow>, DtxError> {
        let mut rows = Vec::with_capacity(look.nets.len());
        for (id, net) in &look.nets {
            let (Some(step), Some(table)) = (look.images.steps.get(net.step), look.tables.get(net.step)) else {
                continue;
            };
            let now = look.current.get(id);
            let left =
                |at: &&usize| now.zip(net.last.as_ref()).is_some_and(|(now, last)| now.get(**at) != last.get(**at));
            let differs = net.touched.iter().filter(left).filter_map(|&at| step.columns.get(at).cloned());
            rows.push(ParkedRow {
                table: id.0.clone(),
                key: match table {
                    Ok(table) => key_text::<D>(table, &id.1),
                    Err(_) => self.texts(tx, &id.1).await?.into_iter().flatten().collect::<Vec<_>>().join("_"),
                },
                differs: differs.collect(),
                before: self.shown(tx, step, net.first.as_ref()).await?,
                after: self.shown(tx, step, net.last.as_ref()).await?,
                current: self.shown(tx, step, now).await?,
                problem: table.as_ref().err().cloned(),
            });
        }
        Ok(rows)
    }

    async fn shown(
        &self,
        tx: &mut Transaction<'static, D>,
        step: &Step,
        row: Option<&Row>,
    ) -> Result<Option<RowText>, DtxError> {
        let Some(row) = row else { return Ok(None) };
        Ok(Some(step.columns.iter().cloned().zip(self.texts(tx, row).await?).collect()))
    }

    /// Values as the database prints them; their bytes if their type is gone.
    async fn texts(&self, tx: &mut Transaction<'static, D>, row: &[Cell]) -> Result<Vec<Option<String>>, DtxError> {
        let values: Vec<_> = row.iter().filter(|cell| !cell.is_null()).collect();
        let mut texts = Vec::new();
        if !values.is_empty() {
            self.0.log.raw(tx, "savepoint onceward_look").await?;
            texts = match D::texts(tx, &values).await {
                Err(refused) if refused.is_final_refusal() => {
                    self.0.log.raw(tx, "rollback to onceward_look").await?;
                    values.iter().map(|cell| format!("\\x{}", hex(&cell.bytes))).collect()
                }
                texts => texts?,
            };
        }
        let mut texts = texts.into_iter();
        Ok(row.iter().map(|cell| if cell.is_null() { None } else { texts.next() }).collect())
    }

    /// Sets every row back to what it was, whatever it is now; the rows of a later step first, as undo does.
    async fn restore(&self, tx: &mut Transaction<'static, D>, look: &Look) -> Result<Vec<RepairedRow>, DtxError> {
        let mut forced = Vec::new();
        for (id, net) in &look.nets {
            let (Some(step), Some(table)) = (look.images.steps.get(net.step), look.tables.get(net.step)) else {
                continue;
            };
            let table = table.as_ref().map_err(|problem| unrestorable(problem))?;
            if let Some((effect, change)) = set_back(net, look.current.get(id)) {
                forced.push((net.step, Forced { step, table, key: key_text::<D>(table, &id.1), effect, change }));
            }
        }
        let watched = forced.iter().any(|(_, forced)| forced.table.watched);
        if watched {
            D::mark(tx).await?;
        }
        self.0.log.raw(tx, "savepoint onceward_look").await?;
        forced.sort_by_key(|(at, forced)| (Reverse(*at), forced.effect));
        match force::<D>(tx, &forced).await {
            Err(DtxError::Backend(taken)) if taken.class() == ErrorClass::Conflict => {
                // Rows that others have made since may hold values of unique keys: what goes makes room for what comes.
                self.0.log.raw(tx, "rollback to onceward_look").await?;
                forced.sort_by_key(|(at, forced)| (forced.effect != Effect::Deleted, Reverse(*at), forced.effect));
                force::<D>(tx, &forced).await?;
            }
            done => done?,
        }
        if watched {
            D::unmark(tx).await?;
        }
        let done = |forced: Forced<'_>| RepairedRow {
            table: forced.step.table.clone(),
            key: forced.key,
            effect: forced.effect,
        };
        Ok(forced.into_iter().map(|(_, forced)| done(forced)).collect())
    }
}

/// Makes changes in this order, neighbours of one step and kind together.
async fn force<D: AtDb>(tx: &mut Transaction<'static, D>, forced: &[(usize, Forced<'_>)]) -> Result<(), DtxError> {
    for rows in forced.chunk_by(|(a, one), (b, other)| (a, one.effect) == (b, other.effect)) {
        let [(_, Forced { step, table, effect, .. }), ..] = rows else { continue };
        let kind = match effect {
            Effect::Deleted => Kind::Insert,
            Effect::Updated => Kind::Update,
            Effect::Inserted => Kind::Delete,
        };
        let changes: Vec<_> = rows.iter().map(|(_, forced)| &forced.change).collect();
        let step = Step { kind, changes: Vec::new(), ..(*step).clone() };
        if !D::take_back(tx, table, &step, &changes).await? {
            return Err(DtxError::Moved { table: step.table });
        }
    }
    Ok(())
}

/// The change whose undo makes a row what it was, and what that does to the row; none if it is that already.
fn set_back(net: &Net, now: Option<&Row>) -> Option<(Effect, Change)> {
    match (&net.first, now) {
        (None, None) => None,
        (None, Some(now)) => Some((Effect::Deleted, Change { before: None, after: Some(now.clone()) })),
        (Some(first), None) => Some((Effect::Inserted, Change { before: Some(first.clone()), after: None })),
        (Some(first), Some(now)) => {
            let cell = |(at, cell)| if net.touched.contains(&at) { first.get(at).unwrap_or(cell) } else { cell };
            let before: Row = now.iter().enumerate().map(cell).cloned().collect();
            (before != *now).then(|| (Effect::Updated, Change { before: Some(before), after: Some(now.clone()) }))
        }
    }
}

fn unrestorable(problem: &str) -> DtxError {
    DtxError::refused(format!("to restore rows: {problem}"), "repair them by hand, then choose done")
}

/// Of everything that a decision was made on.
fn fingerprint(parked: &Parked, look: &Result<Look, String>) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(&parked.images);
    match look {
        Err(problem) => add(problem.as_bytes()),
        Ok(look) => {
            for id in look.nets.keys() {
                let Some(row) = look.current.get(id) else {
                    add(b"none");
                    continue;
                };
                for cell in row {
                    add(&cell.kind.to_be_bytes());
                    add(&cell.bytes);
                }
            }
            look.tables.iter().filter_map(|table| table.as_ref().err()).for_each(|problem| add(problem.as_bytes()));
        }
    }
    hex(&hash.finalize()[..16])
}
