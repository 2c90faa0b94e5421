//! The load harness: the sides of a case take turns in one run, each round in a world of its own.

pub mod open_loop;
pub mod servers;
pub mod stats;
pub mod table;
pub mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::case::{Case, Setting, Side, World};
use stats::{Round, order, percentile, ratio, summary};
use table::{Measured, Row};
use usage::Usage;

/// How the cases are run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many clients work at once, each on connections of its own.
    pub clients: usize,
    /// How many rounds each side has.
    pub rounds: usize,
    /// How long a round is measured.
    pub measured: Duration,
    /// How long a side works before it is measured.
    pub warm_up: Duration,
    /// What random choices begin from.
    pub seed: u64,
    /// The processes of the servers, whose work is not others' work.
    pub servers: Vec<u32>,
}

/// How long a side may take beyond its time: a job in flight ends, a backlog is worked off.
const PATIENCE: Duration = Duration::from_secs(60);

impl Plan {
    /// Runs a case; `progress` hears a line after each round.
    ///
    /// # Errors
    /// A sentence, if a side failed or did not come to its end.
    pub async fn run(&self, case: &Case, progress: impl Fn(&str)) -> Result<Measured, String> {
        let clients = case.clients(self.clients);
        let setting = Setting { clients, span: self.warm_up + self.measured, seed: self.seed };
        let mut rounds: Vec<Vec<Round>> = case.sides.iter().map(|_| Vec::new()).collect();
        for (number, at) in order(self.rounds, case.sides.len()) {
            let side = &case.sides[at];
            let whole = async {
                let world = side.open(setting).await;
                let round = self.round(&world).await;
                world.close().await;
                round
            };
            let limit = setting.span + PATIENCE;
            let round =
                tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| Err(format!("not done within {limit:?}")));
            let round = round.map_err(|error| format!("{}: {}: {error}", case.name, side.name))?;
            progress(&format!(
                "{}, {clients} clients  {}/{}  {}: {:.0}/s, p50 {} µs",
                case.name,
                number + 1,
                self.rounds,
                side.name,
                round.rate,
                round.p50.as_micros()
            ));
            rounds[at].push(round);
        }
        let row = |(at, side): (usize, &Side)| {
            let mut ratios = vec![("", ratio(&rounds[at], &rounds[0]))];
            if let Some(rival) = case.rival.filter(|rival| at > *rival) {
                ratios.push((case.sides[rival].name, ratio(&rounds[at], &rounds[rival])));
            }
            Row { name: side.name, summary: summary(&rounds[at]), ratios }
        };
        let sides = case.sides.iter().enumerate().map(row).collect();
        Ok(Measured { case: case.name, clients, sides })
    }

    /// Warms a world up, and measures it.
    async fn round(&self, world: &World) -> Result<Round, String> {
        let turns = Arc::new(AtomicU64::new(0));
        work(world, &turns, self.warm_up).await?;
        world.settle().await;
        let before = Usage::now(&self.servers);
        let begun = Instant::now();
        let (units, mut latencies) = work(world, &turns, self.measured).await?;
        let worked = begun.elapsed().as_secs_f64();
        world.settle().await;
        let seconds = begun.elapsed().as_secs_f64();
        let after = Usage::now(&self.servers);
        if units == 0 {
            return Err("there was nothing to do".to_owned());
        }
        latencies.sort_unstable();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let units = units as f64;
        let usage = before.zip(after);
        Ok(Round {
            rate: units / seconds,
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            backlog: 1.0 - worked / seconds,
            cpu: usage.map(|(before, after)| before.ours(after).div_f64(units)),
            others: usage.map(|(before, after)| before.others(after)),
        })
    }
}

/// Lets all clients work for that long; answers the units done, and how long each turn took.
async fn work(world: &World, turns: &Arc<AtomicU64>, time: Duration) -> Result<(u64, Vec<Duration>), String> {
    let mut tasks = JoinSet::new();
    let end = Instant::now() + time;
    for client in &world.clients {
        let (client, turns) = (Arc::clone(client), Arc::clone(turns));
        tasks.spawn(async move {
            let (mut units, mut latencies) = (0, Vec::new());
            loop {
                let begun = Instant::now();
                if begun >= end {
                    break;
                }
                let done = client.turn(turns.fetch_add(1, Ordering::Relaxed)).await;
                if done == 0 {
                    break;
                }
                units += done;
                latencies.push(begun.elapsed());
            }
            (units, latencies)
        });
    }
    let (mut units, mut latencies) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (done, took) = done.map_err(|error| format!("a client failed: {error}"))?;
        units += done;
        latencies.extend(took);
    }
    Ok((units, latencies))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::case::Client;

    struct Counts {
        left: Mutex<u64>,
    }

    #[async_trait]
    impl Client for Counts {
        async fn turn(&self, _: u64) -> u64 {
            tokio::task::yield_now().await;
            let mut left = self.left.lock().unwrap();
            let done = (*left).min(3);
            *left -= done;
            done
        }
    }

    fn plan() -> Plan {
        let (measured, warm_up) = (Duration::from_secs(20), Duration::ZERO);
        Plan { clients: 4, rounds: 3, measured, warm_up, seed: 1, servers: Vec::new() }
    }

    fn side(name: &'static str, units: u64) -> Side {
        Side::new(name, move |setting| async move {
            World::new((0..setting.clients).map(|_| Counts { left: Mutex::new(units) }))
        })
    }

    #[tokio::test]
    async fn each_side_has_each_round_and_a_world_that_runs_out_ends_early() {
        let heard = Mutex::new(Vec::new());
        let case = Case::new("count", vec![side("a", 30), side("b", 60)]).at_most(2);
        let note = |line: &str| heard.lock().unwrap().push(line.split(':').next().unwrap().to_owned());
        let measured = plan().run(&case, note).await.unwrap();
        let heard = heard.into_inner().unwrap();
        let names = ["1/3  a", "1/3  b", "2/3  a", "2/3  b", "3/3  a", "3/3  b"]
            .map(|rest| format!("count, 2 clients  {rest}"));
        assert_eq!(heard, names);
        assert_eq!((measured.clients, measured.sides.len()), (2, 2));
        assert!(measured.sides.iter().all(|row| row.summary.rate.1 > 0.0));
        assert_eq!(measured.sides[0].ratios, [("", (1.0, 1.0, 1.0))]);
    }

    #[tokio::test]
    async fn the_backlog_counts() {
        let pause = Duration::from_millis(50);
        let slow = Side::new("slow", move |_| async move {
            World::new([Counts { left: Mutex::new(3) }]).rest(move || tokio::time::sleep(pause))
        });
        let measured = plan().run(&Case::new("count", vec![slow]), |_| {}).await.unwrap();
        let summary = &measured.sides[0].summary;
        assert!(summary.rate.2 <= 3.0 / pause.as_secs_f64() && summary.backlog > 0.5, "{summary:?}");
    }

    #[tokio::test]
    async fn nothing_to_do_and_a_panic_are_told() {
        let told = plan().run(&Case::new("count", vec![side("none", 0)]), |_| {}).await.unwrap_err();
        assert_eq!(told, "count: none: there was nothing to do");
        struct Breaks;
        #[async_trait]
        impl Client for Breaks {
            async fn turn(&self, _: u64) -> u64 {
                panic!("as asked")
            }
        }
        let breaks = Side::new("breaks", |_| async { World::new([Breaks]) });
        let told = plan().run(&Case::new("count", vec![breaks]), |_| {}).await.unwrap_err();
        assert!(told.contains("breaks: a client failed"), "{told}");
    }
}
