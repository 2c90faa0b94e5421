//! Carts in Redis: one hash per cart, one script per method.

mod reply;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use onceward_backend::{Redis, RedisScript};

use super::{Absorb, Capabilities, Durability, Store};
use crate::cart::{Record, pack};
use crate::error::Error;
use crate::types::{
    Applied, Bought, Cart, Change, Command, GuestId, Limits, Line, MemberId, MergeId, MergeReport, MergeTtl, OnExcess,
    OrderId, Owner, Sealing, Taken, Unfinished, check_batch, stable_hash,
};
use reply::{Reply, corrupt};

/// Carts in Redis 7.0 or later, in one hash each. Cheap to clone.
///
/// A cart and all that belongs to it share a hash tag, so that every method is one script on one slot of a cluster: one
/// round trip, except `unfinished`, which asks one partition after the other. `apply` is never sent twice by this store;
/// all other scripts are safe to repeat.
///
/// Run the server with `appendonly yes`: with snapshots alone a crash loses all changes since the last one. With
/// `appendfsync everysec` acknowledged changes survive the death of the server's process; a power failure may take the last
/// seconds.
#[derive(Clone, Debug)]
pub struct RedisStore {
    redis: Redis,
    partitions: u16,
}

macro_rules! script {
    ($name:ident, $kind:ident, $file:literal) => {
        static $name: LazyLock<RedisScript> = LazyLock::new(|| {
            RedisScript::$kind(concat!(include_str!("redis/common.lua"), include_str!(concat!("redis/", $file))))
        });
    };
}

// A repeat that the service does not know of would not find an operation that was pushed out meanwhile.
script!(APPLY, once, "apply.lua");
script!(ABSORB, repeatable, "absorb.lua");
script!(TAKE, repeatable, "take.lua");
script!(SEAL, repeatable, "seal.lua");
script!(PROMOTE, repeatable, "promote.lua");
script!(UNFINISHED, repeatable, "unfinished.lua");
script!(DELETE, repeatable, "delete.lua");

impl RedisStore {
    /// Carts under the prefix of `redis`, in 256 partitions.
    pub fn new(redis: Redis) -> Self {
        Self { redis, partitions: 256 }
    }

    /// Sets in how many partitions (at least 1) the carts lie. Fixed once there are carts: another number does not find
    /// them.
    #[must_use]
    pub const fn with_partitions(mut self, partitions: u16) -> Self {
        self.partitions = if partitions == 0 { 1 } else { partitions };
        self
    }

    fn tag(&self, id: &str) -> String {
        let partition = stable_hash(id.as_bytes()) % u64::from(self.partitions);
        format!("{{p{partition:03}}}")
    }

    fn cart(&self, owner: &Owner) -> String {
        let id = owner.id();
        self.redis.key(&format!("cart:{}:{id}", self.tag(&id)))
    }

    fn marks(&self, owner: &Owner) -> String {
        let id = owner.id();
        self.redis.key(&format!("cartmark:{}:{id}", self.tag(&id)))
    }

    /// The lists of sealed and of tombstoned carts of a partition.
    fn lists(&self, tag: &str) -> [String; 2] {
        [self.redis.key(&format!("cartseal:{tag}")), self.redis.key(&format!("cartdone:{tag}"))]
    }

    fn merge_keys(&self, guest: &GuestId) -> [String; 3] {
        let owner = Owner::Guest(*guest);
        let [sealed, done] = self.lists(&self.tag(&owner.id()));
        [self.cart(&owner), sealed, done]
    }

    async fn run(&self, script: &RedisScript, keys: &[String], args: &[Vec<u8>]) -> Result<Reply, Error> {
        let args: Vec<_> = args.iter().map(Vec::as_slice).collect();
        Ok(Reply::new(self.redis.run(script, keys, &args).await?))
    }

    async fn promote(&self, guest: &GuestId, merge: MergeId, from: u8, ttl: Option<Duration>) -> Result<(), Error> {
        let ttl = ttl.map_or_else(Vec::new, |ttl| number(millis(ttl)));
        let args = [guest.as_bytes().to_vec(), merge.as_bytes().to_vec(), number(from), ttl];
        let args: Vec<_> = args.iter().map(Vec::as_slice).collect();
        let _: i64 = self.redis.run(&PROMOTE, &self.merge_keys(guest), &args).await?;
        Ok(())
    }
}

#[async_trait]
impl Store for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::full(Durability::Backend)
    }

    async fn get(&self, owner: &Owner) -> Result<Option<Cart>, Error> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.cart(owner));
        let fields: HashMap<Vec<u8>, Vec<u8>> = self.redis.command(&command).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let mut record = Record::default();
        for (name, value) in fields {
            match name.as_slice() {
                META => pack::read_meta(&value, &mut record).map_err(corrupt)?,
                SEALED => record.seal = Some(pack::read_seal(&value).map_err(corrupt)?),
                _ => {
                    let line = pack::read_line(&name, &value).map_err(corrupt)?;
                    record.lines.insert(line.key.clone(), line);
                }
            }
        }
        Ok(Some(record.cart(owner.clone())))
    }

    async fn apply(&self, owner: &Owner, batch: &[Command], change: &Change) -> Result<Applied, Error> {
        check_batch(batch)?;
        let operation = change.operation;
        let mut args = vec![
            change.expect.map_or_else(Vec::new, number),
            operation.map_or_else(Vec::new, |operation| operation.id.as_bytes().to_vec()),
            number(operation.map_or(0, |operation| operation.seen_version)),
        ];
        args.extend(limits(&change.limits));
        args.push(if change.limits.on_excess == OnExcess::Reject { b"r".to_vec() } else { b"c".to_vec() });
        args.push(ttl(change.ttl));
        for command in batch {
            args.extend(command_args(command));
        }
        self.run(&APPLY, &[self.cart(owner)], &args).await?.applied()
    }

    async fn seal(&self, guest: &GuestId, into: &MemberId, merge: MergeId, ttl: MergeTtl) -> Result<Sealing, Error> {
        let args = [
            guest.as_bytes().to_vec(),
            merge.as_bytes().to_vec(),
            into.as_str().as_bytes().to_vec(),
            number(millis(ttl.sealed)),
            number(millis(ttl.tombstoned)),
        ];
        self.run(&SEAL, &self.merge_keys(guest), &args).await?.sealing()
    }

    async fn absorb(&self, member: &MemberId, lines: &[Line], absorb: &Absorb) -> Result<MergeReport, Error> {
        let owner = Owner::Member(member.clone());
        let mut args = vec![absorb.merge.as_bytes().to_vec(), number(millis(absorb.mark_ttl))];
        args.extend(limits(&absorb.limits));
        args.push(ttl(absorb.ttl));
        for line in lines {
            args.push(line.key.as_str().as_bytes().to_vec());
            args.push(pack::line(line));
        }
        let (kept, replayed) = self.run(&ABSORB, &[self.cart(&owner), self.marks(&owner)], &args).await?.once()?;
        let report = MergeReport::decode(&kept).map_err(corrupt)?;
        Ok(if replayed { report.replay() } else { report })
    }

    async fn tombstone(&self, guest: &GuestId, merge: MergeId, ttl: Duration) -> Result<(), Error> {
        self.promote(guest, merge, 1, Some(ttl)).await
    }

    async fn settle(&self, guest: &GuestId, merge: MergeId) -> Result<(), Error> {
        self.promote(guest, merge, 2, None).await
    }

    async fn unfinished(&self, sealed: Duration, tombstoned: Duration, limit: u32) -> Result<Vec<Unfinished>, Error> {
        let args = [number(millis(sealed)), number(millis(tombstoned)), number(limit)];
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for partition in 0..self.partitions {
            let keys = self.lists(&format!("{{p{partition:03}}}"));
            self.run(&UNFINISHED, &keys, &args).await?.unfinished(&mut found)?;
            if found.len() >= limit {
                break;
            }
        }
        found.sort_by_key(|merge| std::cmp::Reverse(merge.age));
        found.truncate(limit);
        Ok(found)
    }

    async fn take(&self, owner: &Owner, order: &OrderId, lines: &[Bought], mark_ttl: Duration) -> Result<Taken, Error> {
        let mut args = vec![order.as_str().as_bytes().to_vec(), number(millis(mark_ttl))];
        for line in lines {
            args.push(line.key.as_str().as_bytes().to_vec());
            args.push(number(line.quantity));
        }
        let (kept, replayed) = self.run(&TAKE, &[self.cart(owner), self.marks(owner)], &args).await?.once()?;
        let taken = Taken::decode(&kept).map_err(corrupt)?;
        Ok(if replayed { taken.replay() } else { taken })
    }

    async fn delete(&self, owner: &Owner) -> Result<bool, Error> {
        let [sealed, done] = self.lists(&self.tag(&owner.id()));
        let guest = match owner {
            Owner::Guest(guest) => guest.as_bytes().as_slice(),
            Owner::Member(_) => &[],
        };
        let keys = [self.cart(owner), self.marks(owner), sealed, done];
        Ok(self.redis.run::<i64>(&DELETE, &keys, &[guest]).await? == 1)
    }

    async fn purge(&self, _limit: u32) -> Result<u64, Error> {
        Ok(0)
    }

    async fn health(&self) -> Result<(), Error> {
        let _: redis::Value = self.redis.command(&redis::cmd("PING")).await?;
        Ok(())
    }
}

fn limits(limits: &Limits) -> [Vec<u8>; 2] {
    [number(limits.quantity()), number(limits.lines())]
}

fn command_args(command: &Command) -> [Vec<u8>; 4] {
    let (letter, key, value, price) = match command {
        Command::Add { item, delta } => {
            let price = item.price_hint.map_or_else(Vec::new, |hint| pack::price(hint).to_vec());
            (b'a', item.sku.as_str(), number(*delta), price)
        }
        Command::Set { key, quantity } => (b's', key.as_str(), number(*quantity), Vec::new()),
        Command::Check { key, checked } => (b'c', key.as_str(), number(u8::from(*checked)), Vec::new()),
        Command::CheckAll { checked } => (b'C', "", number(u8::from(*checked)), Vec::new()),
        Command::Remove { key } => (b'r', key.as_str(), Vec::new(), Vec::new()),
        Command::Clear => (b'x', "", Vec::new(), Vec::new()),
    };
    [vec![letter], key.as_bytes().to_vec(), value, price]
}

fn number(value: impl Into<i128>) -> Vec<u8> {
    value.into().to_string().into_bytes()
}

fn ttl(ttl: Option<Duration>) -> Vec<u8> {
    ttl.map_or_else(Vec::new, |ttl| number(millis(ttl)))
}

/// Within what Redis takes, and what a Lua number holds exactly.
fn millis(span: Duration) -> u64 {
    const LONGEST: u64 = 1 << 50;
    u64::try_from(span.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

const META: &[u8] = b"\x01";
const SEALED: &[u8] = b"\x02";
