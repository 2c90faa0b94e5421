//! What is done to the processes, round by round.

use std::time::Duration;

use testkit::{Rng, Service, Spoil, scale, seed};
use tokio::time::sleep;

use crate::{
    auditor::Auditor,
    crowd::Crowd,
    place::{Place, Role},
    server::Server,
    tally::{POINTS, RELAY, Tally},
};

#[derive(Clone, Copy)]
enum Step {
    KillAt(&'static str),
    Kill(Role),
    PauseAt(&'static str),
    Pause,
    Spoil(usize, Spoil),
    Hold,
    Deafen,
    Restart,
    Crash,
    Alarm,
    Jump { is_back: bool },
}

/// Where the wires go.
const WIRES: [&str; 2] = ["broker", "database"];

/// The farthest that a clock is set forward.
const FORWARD: Duration = Duration::from_secs(3600);
/// And back: leases of the dead and pauses between attempts last longer by that.
const BACK: Duration = Duration::from_secs(2);

/// Answers how many tests that was.
pub async fn run<D: Server>() -> u32 {
    let mut rng = Rng::new(seed());
    let mut tally = Tally::default();
    for number in 0..scale() {
        tally.add(round::<D>(number, &mut rng).await);
    }
    tally.print();
    for point in POINTS {
        assert!(tally.kills.get(point).is_some_and(|&times| times >= scale()), "{point} was not tested");
    }
    assert!(tally.told.len() >= scale() && tally.dead > 0 && tally.repeats > 0, "nothing was tested");
    assert!(tally.crashes + tally.alarms >= scale(), "the servers were left alone");
    println!("test {}::nothing_is_lost_repeated_or_out_of_order ... ok", D::DIALECT.name());
    1
}

async fn round<D: Server>(number: usize, rng: &mut Rng) -> Tally {
    let place = Place::<D>::new().await;
    let auditor = Auditor::new(&place).await;
    let mut crowd = Crowd::new(&place, rng.fork());
    for step in steps::<D>(number, rng) {
        match step {
            Step::KillAt(point) => crowd.kill_at(point).await,
            Step::Kill(role) => crowd.kill(role).await,
            Step::PauseAt(point) => crowd.pause_at(point).await,
            Step::Pause => crowd.pause_any().await,
            Step::Spoil(wire, how) => {
                place.wires()[wire].spoil(how, rng).await;
                *crowd.tally.spoils.entry((WIRES[wire], how)).or_default() += 1;
            }
            Step::Hold => crowd.hold(true).await,
            Step::Deafen => {
                place.deafen(Duration::from_millis(100 + rng.below(200))).await;
                crowd.tally.deafened += 1;
            }
            Step::Restart => {
                let mut broker = Service::named("rabbitmq").await;
                broker.kill().await;
                broker.start().await;
                crowd.tally.restarts += 1;
            }
            Step::Crash => {
                let mut database = Service::named(D::SERVICE).await;
                database.kill().await;
                database.start().await;
                crowd.tally.crashes += 1;
            }
            Step::Alarm => {
                let mut broker = Service::named("rabbitmq").await;
                broker.alarm().await;
                place.is_held_back().await;
                // Shorter and longer than a broker may owe an answer.
                sleep(Duration::from_millis(rng.below(3_000))).await;
                broker.clear().await;
                crowd.tally.alarms += 1;
            }
            Step::Jump { is_back } => {
                let most = if is_back { BACK } else { FORWARD };
                let micros = i64::try_from(rng.below(u64::try_from(most.as_micros()).unwrap())).unwrap();
                D::jump(place.outbox.pool(), if is_back { -micros } else { micros }).await;
                *crowd.tally.jumps.entry(if is_back { "back" } else { "forward" }).or_default() += 1;
            }
        }
        crowd.works().await;
    }
    let mut tally = crowd.end(async || auditor.quiet().await).await;
    let evidence = auditor.gather().await;
    (tally.orders, tally.repeats, tally.dead) = (evidence.orders.len(), evidence.repeats(), evidence.dead.len());
    tally.retries = evidence.retries();
    tally.allowed = tally.explained();
    let mut wrong: Vec<String> = evidence.findings(tally.allowed).iter().map(ToString::to_string).collect();
    let lost = tally.told.iter().filter(|id| !evidence.orders.contains_key(*id));
    wrong.extend(lost.map(|id| format!("{id} was acknowledged and is not there")));
    assert!(wrong.is_empty(), "round {number}: {} findings, the first of them:\n{}", wrong.len(), first(&wrong));
    tally
}

/// Each fail point in turn, and among them at random what has no place of its own.
fn steps<D: Server>(number: usize, rng: &mut Rng) -> Vec<Step> {
    let mut steps: Vec<_> = POINTS.into_iter().map(Step::KillAt).collect();
    steps.extend(Role::ALL.map(Step::Kill));
    // The rounds together come by all of them.
    steps.push(Step::PauseAt(RELAY[number % RELAY.len()]));
    steps.push(Step::Pause);
    let spoils = Spoil::ALL.into_iter().zip(number..);
    steps.extend(spoils.map(|(how, number)| Step::Spoil(number % WIRES.len(), how)));
    steps.extend([Step::Hold, Step::Deafen, Step::Deafen]);
    steps.extend([false, true].map(|is_back| Step::Jump { is_back }));
    // These take long. Each database begins with another.
    steps.push(if (number + D::SERVICE.len()).is_multiple_of(2) { Step::Alarm } else { Step::Crash });
    if number % 5 == 4 {
        steps.push(Step::Restart);
    }
    rng.shuffle(&mut steps);
    steps
}

fn first(wrong: &[String]) -> String {
    wrong.iter().take(20).map(|finding| format!("  {finding}\n")).collect()
}
