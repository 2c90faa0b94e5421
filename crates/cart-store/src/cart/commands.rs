//! What each command does to the lines.

use std::collections::BTreeMap;

use crate::error::{Error, Exceeded, LimitKind};
use crate::types::{Clamped, Command, Item, Limits, Line, LineKey, OnExcess};

pub(super) struct Done {
    pub(super) lines: BTreeMap<LineKey, Line>,
    pub(super) changed: bool,
    pub(super) notes: Vec<Clamped>,
}

pub(super) fn run(
    lines: &BTreeMap<LineKey, Line>,
    batch: &[Command],
    limits: &Limits,
    now: u64,
) -> Result<Done, Error> {
    let mut run = Run { lines: lines.clone(), changed: false, notes: Vec::new(), limits, now };
    for command in batch {
        run.command(command)?;
    }
    Ok(Done { lines: run.lines, changed: run.changed, notes: run.notes })
}

struct Run<'a> {
    lines: BTreeMap<LineKey, Line>,
    changed: bool,
    notes: Vec<Clamped>,
    limits: &'a Limits,
    now: u64,
}

impl Run<'_> {
    fn command(&mut self, command: &Command) -> Result<(), Error> {
        match command {
            Command::Add { item, delta } => self.add(item, i64::from(*delta)),
            Command::Set { key, quantity } => self.set(key, *quantity),
            Command::Check { key, checked } => {
                let line = self.lines.get_mut(key).ok_or_else(|| Error::UnknownLine { key: key.clone() })?;
                self.changed |= line.checked != *checked;
                line.checked = *checked;
                Ok(())
            }
            Command::CheckAll { checked } => {
                for line in self.lines.values_mut() {
                    self.changed |= line.checked != *checked;
                    line.checked = *checked;
                }
                Ok(())
            }
            Command::Remove { key } => {
                self.changed |= self.lines.remove(key).is_some();
                Ok(())
            }
            Command::Clear => {
                self.changed |= !self.lines.is_empty();
                self.lines.clear();
                Ok(())
            }
        }
    }

    fn add(&mut self, item: &Item, delta: i64) -> Result<(), Error> {
        let key = LineKey::of(&item.sku);
        let held = self.lines.get(&key).map_or(0, |line| line.quantity);
        if held == 0 && delta < 0 {
            return Err(Error::UnknownLine { key });
        }
        let total = u64::try_from(i64::from(held) + delta).unwrap_or(0);
        if total == 0 {
            self.lines.remove(&key);
            self.changed = true;
            return Ok(());
        }
        if held == 0 && !self.room(&key, total)? {
            return Ok(());
        }
        // A lowered limit does not take away what is there already.
        let most = self.limits.quantity().max(held);
        let kept = if delta < 0 { u32::try_from(total).unwrap_or(held) } else { self.bounded(&key, total, most)? };
        let line = self.lines.entry(key).or_insert_with_key(|key| Line::new(key.clone(), 0, self.now));
        self.changed |= line.quantity != kept;
        line.quantity = kept;
        if item.price_hint.is_some() {
            self.changed |= line.price_hint != item.price_hint;
            line.price_hint = item.price_hint;
        }
        Ok(())
    }

    fn set(&mut self, key: &LineKey, quantity: u32) -> Result<(), Error> {
        if !self.lines.contains_key(key) {
            return Err(Error::UnknownLine { key: key.clone() });
        }
        let kept = self.bounded(key, u64::from(quantity), self.limits.quantity())?;
        if kept == 0 {
            self.lines.remove(key);
            self.changed = true;
        } else if let Some(line) = self.lines.get_mut(key) {
            self.changed |= line.quantity != kept;
            line.quantity = kept;
        }
        Ok(())
    }

    /// Whether another line fits.
    fn room(&mut self, key: &LineKey, asked: u64) -> Result<bool, Error> {
        let most = u64::from(self.limits.lines());
        let got = self.lines.len() as u64 + 1;
        if got <= most {
            return Ok(true);
        }
        match self.limits.on_excess {
            OnExcess::Reject => Err(Error::Limit(Exceeded::new(LimitKind::Lines, most, got))),
            OnExcess::Clamp => {
                self.notes.push(Clamped { key: key.clone(), asked, kept: 0 });
                Ok(false)
            }
        }
    }

    fn bounded(&mut self, key: &LineKey, asked: u64, most: u32) -> Result<u32, Error> {
        match u32::try_from(asked) {
            Ok(asked) if asked <= most => Ok(asked),
            _ => match self.limits.on_excess {
                OnExcess::Reject => {
                    let limit = u64::from(self.limits.quantity());
                    Err(Error::Limit(Exceeded::new(LimitKind::Quantity, limit, asked)))
                }
                OnExcess::Clamp => {
                    self.notes.push(Clamped { key: key.clone(), asked, kept: most });
                    Ok(most)
                }
            },
        }
    }
}
