//! One lane of the outbox, as one relay works on it.

use std::{collections::HashSet, time::Duration};

use onceward_backend::internal::{mark, random_unit};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Shared, Step, plan};
use crate::{
    Error,
    broker::{Health, Outcome},
    message::Envelope,
    store::{Lease, Queued, Verdict},
};

pub(super) struct Lane {
    number: u32,
    lease: Option<(Lease, Instant)>,
    /// Waves in a row without any answer.
    silent: u32,
    rest_until: Option<Instant>,
}

impl Lane {
    pub(super) fn new(number: u32) -> Self {
        Self { number, lease: None, silent: 0, rest_until: None }
    }

    pub(super) async fn step(&mut self, relay: &Shared, step: &mut Step) -> Result<(), Error> {
        let rest = self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if !rest.is_zero() {
            step.wait(rest);
            return Ok(());
        }
        let Some(lease) = self.hold(relay).await? else { return Ok(()) };
        // Retries first: until they are settled they block those behind them.
        let due = relay.store.due(&lease, relay.options.batch).await?;
        if let Some(next) = due.next {
            step.wait(next);
        }
        let progress = self.publish(relay, &lease, &due.ready, step).await?;
        step.more |= progress && !due.ready.is_empty();
        if !progress {
            return Ok(());
        }
        // From the start of the lane, every time: ids become visible out of order, and what is done is deleted, so
        // nothing can be skipped. The place for a low-water mark, once scans cost something, is the second argument.
        let new = relay.store.fetch(&lease, 0, relay.options.batch).await?;
        let progress = self.publish(relay, &lease, &new, step).await?;
        step.more |= progress && new.len() == relay.options.batch;
        Ok(())
    }

    pub(super) async fn release(&mut self, relay: &Shared) -> Result<(), Error> {
        match self.lease.take() {
            Some((lease, _)) => relay.store.release(&lease).await,
            None => Ok(()),
        }
    }

    /// The lease, taken or renewed as needed; `None` while another relay has the lane.
    async fn hold(&mut self, relay: &Shared) -> Result<Option<Lease>, Error> {
        let ttl = relay.options.lease;
        if let Some((lease, since)) = self.lease.take() {
            let asked = Instant::now();
            let since = if since.elapsed() < ttl / 3 {
                Some(since)
            } else {
                relay.store.renew(&lease, ttl).await?.then_some(asked)
            };
            if let Some(since) = since {
                self.lease = Some((lease.clone(), since));
                return Ok(Some(lease));
            }
            tracing::info!(lane = self.number, "the lease of a lane is lost");
        }
        let asked = Instant::now();
        let lease = relay.store.lease(self.number, &relay.owner, ttl).await?;
        self.lease = lease.clone().map(|lease| (lease, asked));
        Ok(lease)
    }

    /// Publishes a batch and settles it; `false` if the lane had better rest.
    async fn publish(
        &mut self,
        relay: &Shared,
        lease: &Lease,
        batch: &[Queued],
        step: &mut Step,
    ) -> Result<bool, Error> {
        let mut settled: Vec<(Queued, Verdict)> = Vec::with_capacity(batch.len());
        let mut failed: HashSet<&str> = HashSet::new();
        let mut progress = true;
        for wave in plan::waves(batch) {
            let wave: Vec<&Queued> = wave
                .into_iter()
                .map(|index| &batch[index])
                .filter(|queued| queued.envelope.key().is_none_or(|key| !failed.contains(key)))
                .collect();
            if wave.is_empty() {
                continue;
            }
            if self.hold(relay).await?.as_ref() != Some(lease) {
                progress = false;
                break;
            }
            let (outcomes, outage) = self.publish_wave(relay, &wave).await;
            for (&queued, outcome) in wave.iter().zip(&outcomes) {
                let verdict = plan::verdict(outcome, outage, queued.attempts, &relay.options.retry, random_unit());
                let Some(verdict) = verdict else { continue };
                if verdict != Verdict::Sent {
                    failed.extend(queued.envelope.key());
                }
                settled.push((queued.clone(), verdict));
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
        let report = relay.store.settle(lease, relay.options.history, &settled).await?;
        if report.fenced {
            self.lease = None;
            progress = false;
        }
        count(&settled, step);
        Ok(progress)
    }

    async fn publish_wave(&mut self, relay: &Shared, wave: &[&Queued]) -> (Vec<Outcome>, bool) {
        let envelopes: Vec<Envelope> = wave.iter().map(|queued| queued.envelope.clone()).collect();
        let started = Instant::now();
        let span = tracing::info_span!("onceward.reliable_mq.publish", lane = self.number, messages = wave.len());
        let publish = relay.broker.publish(&envelopes).instrument(span);
        let outcomes = tokio::time::timeout(relay.options.publish_timeout, publish).await.unwrap_or_default();
        let outcomes = plan::complete(outcomes, envelopes.len());
        metrics::histogram!("onceward_reliable_mq_publish_seconds").record(started.elapsed().as_secs_f64());
        if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown { .. })) {
            self.silent = 0;
            return (outcomes, false);
        }
        let all_silent = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unknown { .. }));
        self.silent = if all_silent { self.silent.saturating_add(1) } else { 0 };
        let probe = tokio::time::timeout(relay.options.publish_timeout, relay.broker.health()).await;
        let health = probe.unwrap_or_else(|_| Health::Down("no answer to the probe".to_owned()));
        let outage = plan::is_outage(&outcomes, &health, self.silent);
        (outcomes, outage)
    }

    fn rest(&mut self, relay: &Shared, step: &mut Step) {
        let pause = relay.options.outage.delay(self.silent, 0.5 + random_unit() / 2.0);
        tracing::warn!(lane = self.number, silent = self.silent, ?pause, "the broker does not answer");
        metrics::counter!("onceward_reliable_mq_outages_total").increment(1);
        self.rest_until = Some(Instant::now() + pause);
        step.wait(pause);
    }
}

fn count(settled: &[(Queued, Verdict)], step: &mut Step) {
    for (queued, verdict) in settled {
        let (word, id) = match verdict {
            Verdict::Sent => {
                step.sent += 1;
                ("sent", None)
            }
            Verdict::Retry { .. } => {
                step.retried += 1;
                ("retry", Some(&queued.envelope.id))
            }
            Verdict::Dead { .. } => {
                step.dead += 1;
                ("dead", Some(&queued.envelope.id))
            }
        };
        if let Some(id) = id {
            tracing::warn!(message_id = %id, attempt = queued.attempts + 1, outcome = word, "a message was not sent");
        }
        metrics::counter!("onceward_reliable_mq_messages_total", "outcome" => word).increment(1);
    }
}
