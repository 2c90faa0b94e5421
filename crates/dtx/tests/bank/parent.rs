//! What is done to the services, round by round.

use testkit::{Rng, Spoil, scale, seed};

use crate::auditor::Auditor;
use crate::crowd::{Crowd, Pause};
use crate::marks::{POINTS, REPORTS};
use crate::place::{Place, Store};
use crate::tally::Tally;

#[derive(Clone, Copy)]
enum Step {
    KillAt(&'static str),
    Kill,
    PauseAt(&'static str, Pause),
    Pause,
    Spoil(usize, Spoil),
}

pub async fn run(store: Store) {
    let mut rng = Rng::new(seed());
    let mut tally = Tally::default();
    for number in 0..scale() {
        tally.add(round(store, number, &mut rng).await);
    }
    tally.print();
    let points = POINTS.iter().chain(reports(store));
    for point in points {
        assert!(tally.kills.get(point).is_some_and(|&times| times as usize >= scale()), "{point} was not tested");
    }
    for told in [tally.done.len(), tally.back.len(), tally.paid.len()] {
        assert!(told >= scale(), "nothing was tested");
    }
}

/// A file has no wire that could lose what a registration was answered.
fn reports(store: Store) -> &'static [&'static str] {
    match store {
        Store::Server => &REPORTS,
        Store::File => &[],
    }
}

async fn round(store: Store, number: usize, rng: &mut Rng) -> Tally {
    let place = Place::new(store).await;
    let auditor = Auditor::new(&place.direct()).await;
    let mut crowd = Crowd::new(&place, rng.fork());
    for step in steps(store, number, place.wires.len(), rng) {
        match step {
            Step::Kill => crowd.kill().await,
            // It takes a branch that is registered and will never commit.
            Step::KillAt("dtx.guarded") => crowd.kill_at_both("dtx.registered", "dtx.guarded").await,
            Step::KillAt(point) if REPORTS.contains(&point) => crowd.kill_unanswered_at(point, &place.wires[2]).await,
            Step::KillAt(point) => crowd.kill_at(point).await,
            Step::Pause => crowd.pause().await,
            Step::PauseAt(point, how) => crowd.pause_at(point, how).await,
            Step::Spoil(wire, how) => {
                place.wires[wire].spoil(how, rng).await;
                *crowd.tally.spoils.entry(how).or_default() += 1;
            }
        }
        crowd.works().await;
    }
    let tally = crowd.end(async || auditor.quiet().await).await;
    auditor.audit(&tally).await;
    tally
}

/// Each fail point in turn, and among them at random what has no place of its own.
fn steps(store: Store, number: usize, wires: usize, rng: &mut Rng) -> Vec<Step> {
    let times = if store == Store::Server { 2 } else { 1 };
    let mut steps = Vec::new();
    for again in 0..times {
        let mut part: Vec<_> = POINTS.iter().chain(reports(store)).map(|&point| Step::KillAt(point)).collect();
        part.extend([Step::Kill; 3]);
        part.push(Step::Pause);
        for (more, how) in [(0, Pause::Process), (5, Pause::Transfer)] {
            // The rounds together come by all of them.
            part.push(Step::PauseAt(POINTS[(2 * number + again + more + 3) % POINTS.len()], how));
        }
        part.extend(Spoil::ALL.map(|how| Step::Spoil(usize::try_from(rng.below(wires as u64)).unwrap(), how)));
        rng.shuffle(&mut part);
        steps.extend(part);
    }
    steps
}
