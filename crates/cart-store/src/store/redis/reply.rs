//! What the scripts answer.

use std::collections::VecDeque;
use std::time::Duration;

use onceward_backend::BackendError;
use redis::Value;

use crate::cart::pack;
use crate::error::{Error, Exceeded, LimitKind};
use crate::types::{Applied, Clamped, GuestId, LineKey, MergeId, Sealing, Unfinished};

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::Backend(BackendError::corrupt("redis", what))
}

/// The values of a reply, taken from the front. The first one says what became of the call.
pub(super) struct Reply(VecDeque<Value>);

impl Reply {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into())
    }

    pub(super) fn applied(mut self) -> Result<Applied, Error> {
        if self.outcome()? {
            return Ok(Applied::replay(self.int()?));
        }
        let (version, changed) = (self.int()?, self.int::<u8>()? == 1);
        let mut notes = Vec::new();
        while !self.0.is_empty() {
            notes.push(Clamped { key: self.key()?, asked: self.int()?, kept: self.int()? });
        }
        Ok(Applied::new(version, changed, notes))
    }

    pub(super) fn sealing(mut self) -> Result<Sealing, Error> {
        self.outcome()?;
        let merge = self.bytes()?.try_into().map_err(|_| corrupt("a merge id"))?;
        let stage = pack::stage_of(self.int()?).map_err(corrupt)?;
        let mut lines = Vec::new();
        while !self.0.is_empty() {
            lines.push(pack::read_line(&self.bytes()?, &self.bytes()?).map_err(corrupt)?);
        }
        lines.sort_by(|a, b| (a.added_at, &a.key).cmp(&(b.added_at, &b.key)));
        Ok(Sealing::new(MergeId::from_bytes(merge), lines, stage))
    }

    /// What is kept under a mark, and whether it was there before.
    pub(super) fn once(mut self) -> Result<(Vec<u8>, bool), Error> {
        let replayed = self.outcome()?;
        Ok((self.bytes()?, replayed))
    }

    pub(super) fn unfinished(mut self, found: &mut Vec<Unfinished>) -> Result<(), Error> {
        while !self.0.is_empty() {
            let stage = pack::stage_of(self.int()?).map_err(corrupt)?;
            let age = Duration::from_millis(self.int()?);
            let entry = self.bytes()?;
            let (guest, into) = entry.split_first_chunk().ok_or_else(|| corrupt("a merge"))?;
            let into = pack::member(into).map_err(corrupt)?;
            found.push(Unfinished::new(GuestId::from_bytes(*guest), into, stage, age));
        }
        Ok(())
    }

    /// Whether it was done before; refusals are errors.
    fn outcome(&mut self) -> Result<bool, Error> {
        match self.bytes()?.as_slice() {
            b"ok" => Ok(false),
            b"replayed" => Ok(true),
            b"conflict" => Err(Error::Conflict { current: self.int()? }),
            b"stale" => Err(Error::StaleOp { current: self.int()? }),
            b"sealed" => Err(Error::Sealed { into: pack::member(&self.bytes()?).map_err(corrupt)? }),
            b"unknown" => Err(Error::UnknownLine { key: self.key()? }),
            b"limit" => {
                let kind = if self.bytes()? == b"l" { LimitKind::Lines } else { LimitKind::Quantity };
                Err(Error::Limit(Exceeded::new(kind, self.int()?, self.int()?)))
            }
            _ => Err(corrupt("a cart")),
        }
    }

    fn key(&mut self) -> Result<LineKey, Error> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| corrupt("a line key"))?;
        LineKey::new(text).map_err(|_| corrupt("a line key"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        match self.0.pop_front() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(corrupt("a reply")),
        }
    }

    fn int<T: TryFrom<i64>>(&mut self) -> Result<T, Error> {
        match self.0.pop_front() {
            Some(Value::Int(int)) => T::try_from(int).map_err(|_| corrupt("a number")),
            _ => Err(corrupt("a reply")),
        }
    }
}
