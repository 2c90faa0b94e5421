//! Some lanes of the outbox, as one worker of a relay publishes them.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use onceward_backend::internal::{mark, random_unit};
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    Shared, Step,
    low_water::{LOOK, LowWater, Read},
    plan,
};
use crate::{
    Error,
    broker::{Health, Outcome},
    message::Envelope,
    store::{Budget, Lease, Queued, Reach, Verdict},
};

pub(super) struct Worker {
    number: usize,
    lanes: Vec<Lane>,
    /// How many messages of each lane it asks for.
    limit: usize,
    /// Waves in a row without any answer.
    silent: u32,
    /// Those of them after which the broker was up.
    ignored: u32,
    rest_until: Option<Instant>,
    looked: Instant,
}

/// What became of a batch.
struct Published {
    /// Whether the worker may go on.
    progress: bool,
    /// Lanes in which some of its messages stand as they stood.
    unsettled: HashSet<u32>,
}

struct Lane {
    number: u32,
    lease: Option<(Lease, Instant)>,
    water: LowWater,
}

impl Worker {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            lanes: Vec::new(),
            limit: plan::FIRST,
            silent: 0,
            ignored: 0,
            rest_until: None,
            looked: Instant::now(),
        }
    }

    pub(super) async fn step(&mut self, relay: &Shared) -> Result<Step, Error> {
        let mut step = Step::default();
        // Before it rests: another relay may reach the broker.
        let lanes = relay.share.lock().await.of(self.number, relay).await?;
        self.adopt(relay, lanes).await?;
        let rest = self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if !rest.is_zero() {
            step.wait(rest);
            return Ok(step);
        }
        if self.lanes.is_empty() {
            return Ok(step);
        }
        // Whose turn is first goes round, so that one lane's large messages do not use up the budget of all for ever.
        self.lanes.rotate_left(1);
        let leases = self.hold(relay).await?;
        if leases.is_empty() {
            return Ok(step);
        }
        // Retries first: until they are settled they block those behind them.
        let budget = self.budget(relay);
        let due = relay.store.due(&leases, budget).await?;
        self.learn(relay, budget, &due.ready);
        if let Some(next) = due.next {
            step.wait(next);
        }
        for lane in &mut self.lanes {
            // What is behind one of these in the order of its key stands wherever it stood. Said before they are settled: the
            // answer to that may be lost, and they are settled all the same.
            if due.ready.iter().any(|queued| queued.lane == lane.number && queued.envelope.key().is_some()) {
                lane.water.fall();
            }
        }
        let published = self.publish(relay, &leases, &due.ready, &mut step).await?;
        step.more |= published.progress && !due.ready.is_empty();
        if published.progress {
            self.publish_new(relay, &leases, &mut step).await?;
        }
        Ok(step)
    }

    async fn publish_new(&mut self, relay: &Shared, leases: &[Lease], step: &mut Step) -> Result<(), Error> {
        self.look(relay).await?;
        let after =
            |lease: &Lease| self.lanes.iter().find(|lane| lane.number == lease.lane).map(|lane| lane.water.after());
        let reach = |lease: &Lease| Reach { lease: lease.clone(), after: after(lease).unwrap_or(0) };
        let from: Vec<Reach> = leases.iter().map(reach).collect();
        let budget = self.budget(relay);
        let asked = Instant::now();
        let new = relay.store.fetch(&from, budget).await?;
        let took = asked.elapsed();
        self.learn(relay, budget, &new.queued);
        let published = self.publish(relay, leases, &new.queued, step).await?;
        step.more |= published.progress && plan::is_full(&new.queued, budget);
        let all = new.queued.iter().map(|queued| queued.envelope.payload().len()).sum::<usize>() < budget.bytes;
        for Reach { lease, after } in from {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.number == lease.lane) else { continue };
            if new.lost.contains(&lane.number) {
                lane.lease = None;
                step.more = true;
                continue;
            }
            let mine = new.queued.iter().filter(|queued| queued.lane == lane.number);
            lane.water.read(&Read {
                after,
                took,
                last: mine.clone().map(|queued| queued.sequence).max().unwrap_or(0),
                cut: !all || mine.count() >= budget.messages,
                settled: !published.unsettled.contains(&lane.number),
            });
        }
        Ok(())
    }

    fn budget(&self, relay: &Shared) -> Budget {
        Budget { messages: self.limit.min(relay.options.batch), bytes: relay.options.batch_bytes }
    }

    fn learn(&mut self, relay: &Shared, asked: Budget, read: &[Queued]) {
        // Nothing is no sign of what comes next.
        if !read.is_empty() {
            self.limit = plan::next_limit(read, asked, self.lanes.len(), relay.options.batch);
        }
    }

    /// Asks who writes, now and then, if a lane wants to know.
    async fn look(&mut self, relay: &Shared) -> Result<(), Error> {
        if self.looked.elapsed() < LOOK || !self.lanes.iter().any(|lane| lane.water.wants_writers()) {
            return Ok(());
        }
        if let Some(writers) = relay.store.writers().await? {
            self.lanes.iter_mut().for_each(|lane| lane.water.look(&writers));
        }
        self.looked = Instant::now();
        Ok(())
    }

    pub(super) async fn release(&mut self, relay: &Shared) -> Result<(), Error> {
        self.adopt(relay, BTreeSet::new()).await
    }

    /// Gives back what is no more among its lanes, and begins with what is new there. Between rounds, when all that it has
    /// read of a lane is settled, so that first deliveries stay in order.
    async fn adopt(&mut self, relay: &Shared, lanes: BTreeSet<u32>) -> Result<(), Error> {
        while let Some(at) = self.lanes.iter().position(|lane| !lanes.contains(&lane.number)) {
            if let Some((lease, _)) = &self.lanes[at].lease {
                relay.store.release(lease).await?;
            }
            let lane = self.lanes.remove(at);
            relay.share.lock().await.gone(self.number, lane.number);
        }
        for number in lanes {
            if !self.lanes.iter().any(|lane| lane.number == number) {
                self.lanes.push(Lane { number, lease: None, water: LowWater::new() });
            }
        }
        Ok(())
    }

    /// The leases of its lanes; without those that another relay was faster to take.
    async fn hold(&mut self, relay: &Shared) -> Result<Vec<Lease>, Error> {
        let mut leases = Vec::with_capacity(self.lanes.len());
        for lane in &mut self.lanes {
            match lane.hold(relay).await? {
                Some(lease) => leases.push(lease),
                None => relay.share.lock().await.gone(self.number, lane.number),
            }
        }
        self.lanes.retain(|lane| lane.lease.is_some());
        Ok(leases)
    }

    /// Publishes a batch and settles it.
    async fn publish(
        &mut self,
        relay: &Shared,
        leases: &[Lease],
        batch: &[Queued],
        step: &mut Step,
    ) -> Result<Published, Error> {
        let mut settled: Vec<(&Queued, Verdict)> = batch.iter().filter_map(flawed).collect();
        let mut failed: HashSet<&str> = HashSet::new();
        let mut progress = true;
        if !batch.is_empty() {
            mark("mq.fetched");
        }
        for wave in plan::waves(batch, relay.options.order) {
            let wave: Vec<&Queued> = wave
                .into_iter()
                .map(|index| &batch[index])
                .filter(|queued| queued.flaw.is_none())
                .filter(|queued| queued.envelope.key().is_none_or(|key| !failed.contains(key)))
                .collect();
            if wave.is_empty() {
                continue;
            }
            if !self.keep(relay, leases).await? {
                progress = false;
                break;
            }
            let (outcomes, outage) = self.publish_wave(relay, &wave).await;
            mark("mq.wave");
            for (&queued, outcome) in wave.iter().zip(&outcomes) {
                let verdict = plan::verdict(outcome, outage, queued.attempts, &relay.options, random_unit);
                let Some(verdict) = verdict else { continue };
                if verdict != Verdict::Sent && relay.options.order.is_kept() {
                    failed.extend(queued.envelope.key());
                }
                settled.push((queued, verdict));
            }
            if outage {
                self.rest(relay, step);
                progress = false;
                break;
            }
        }
        if settled.iter().any(|(_, verdict)| *verdict == Verdict::Sent) {
            mark("mq.published");
        }
        let report = relay.store.settle(leases, relay.options.history, &settled).await?;
        if !settled.is_empty() {
            mark("mq.settled");
        }
        for lane in self.lanes.iter_mut().filter(|lane| report.fenced.contains(&lane.number)) {
            lane.lease = None;
            progress = false;
        }
        count(&settled, step);
        // By place and not by id, which two may have.
        let done: HashSet<(u32, i64)> = settled.iter().map(|(queued, _)| (queued.lane, queued.sequence)).collect();
        let open =
            batch.iter().filter(|queued| !done.contains(&(queued.lane, queued.sequence))).map(|queued| queued.lane);
        Ok(Published { progress, unsettled: open.chain(report.fenced).collect() })
    }

    /// Renews these leases as needed; `false` if one of them is lost.
    async fn keep(&mut self, relay: &Shared, leases: &[Lease]) -> Result<bool, Error> {
        for lane in &mut self.lanes {
            let Some(lease) = leases.iter().find(|lease| lease.lane == lane.number) else { continue };
            if !lane.keep(relay).await? || lane.lease.as_ref().map(|(held, _)| held) != Some(lease) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn publish_wave(&mut self, relay: &Shared, wave: &[&Queued]) -> (Vec<Outcome>, bool) {
        let envelopes: Vec<Envelope> = wave.iter().map(|queued| queued.envelope.clone()).collect();
        let started = Instant::now();
        let span =
            tracing::info_span!("onceward.reliable_mq.publish", messages = wave.len(), trace_id = one_trace(wave));
        let publish = relay.broker.publish(&envelopes).instrument(span);
        let outcomes = tokio::time::timeout(relay.options.publish_timeout, publish).await.unwrap_or_default();
        let outcomes = plan::complete(outcomes, envelopes.len());
        metrics::histogram!("onceward_reliable_mq_publish_seconds").record(started.elapsed().as_secs_f64());
        if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown { .. })) {
            (self.silent, self.ignored) = (0, 0);
            return (outcomes, false);
        }
        self.silent = if plan::is_silent(&outcomes) { self.silent.saturating_add(1) } else { 0 };
        let probe = tokio::time::timeout(relay.options.publish_timeout, relay.broker.health()).await;
        let health = probe.unwrap_or_else(|_| Health::Down("no answer to the probe".to_owned()));
        self.ignored = plan::ignored(self.ignored, &outcomes, &health);
        let outage = plan::is_outage(&outcomes, &health, self.ignored);
        (outcomes, outage)
    }

    fn rest(&mut self, relay: &Shared, step: &mut Step) {
        let pause = relay.options.outage.delay(self.silent, 0.5 + random_unit() / 2.0);
        tracing::warn!(silent = self.silent, ?pause, "the broker does not answer");
        metrics::counter!("onceward_reliable_mq_outages_total").increment(1);
        self.rest_until = Some(Instant::now() + pause);
        step.wait(pause);
    }
}

impl Lane {
    /// The lease, renewed or taken as needed; `None` while another relay has the lane.
    async fn hold(&mut self, relay: &Shared) -> Result<Option<Lease>, Error> {
        if !self.keep(relay).await? {
            let asked = Instant::now();
            let lease = relay.store.lease(self.number, &relay.owner, relay.options.lease).await?;
            self.water = LowWater::new();
            self.lease = lease.map(|lease| (lease, asked));
        }
        Ok(self.lease.as_ref().map(|(lease, _)| lease.clone()))
    }

    /// Renews the lease after a third of it; `false` if there is none.
    async fn keep(&mut self, relay: &Shared) -> Result<bool, Error> {
        let ttl = relay.options.lease;
        let Some((lease, since)) = self.lease.take() else { return Ok(false) };
        let asked = Instant::now();
        if since.elapsed() < ttl / 3 {
            self.lease = Some((lease, since));
        } else if relay.store.renew(&lease, ttl).await? {
            self.lease = Some((lease, asked));
        } else {
            tracing::info!(lane = self.number, "the lease of a lane is lost");
        }
        Ok(self.lease.is_some())
    }
}

/// A message that cannot be sent at all.
fn flawed(queued: &Queued) -> Option<(&Queued, Verdict)> {
    Some((queued, Verdict::Dead { error: queued.flaw.clone()? }))
}

/// The trace that all of them belong to, if it is one.
fn one_trace<'w>(wave: &[&'w Queued]) -> Option<&'w str> {
    let trace = wave.first()?.envelope.trace_id();
    trace.filter(|_| wave.iter().all(|queued| queued.envelope.trace_id() == trace))
}

fn count(settled: &[(&Queued, Verdict)], step: &mut Step) {
    let (mut sent, mut retried, mut dead) = (0, 0, 0);
    for (queued, verdict) in settled {
        let outcome = match verdict {
            Verdict::Sent => {
                sent += 1;
                continue;
            }
            Verdict::Retry { .. } => {
                retried += 1;
                "retry"
            }
            Verdict::Dead { .. } => {
                dead += 1;
                "dead"
            }
        };
        let (message_id, attempt) = (&queued.envelope.id, queued.attempts + 1);
        tracing::warn!(%message_id, attempt, outcome, "a message was not sent");
    }
    for (outcome, count) in [("sent", sent), ("retry", retried), ("dead", dead)] {
        metrics::counter!("onceward_reliable_mq_messages_total", "outcome" => outcome).increment(count as u64);
    }
    step.sent += sent;
    step.retried += retried;
    step.dead += dead;
}
