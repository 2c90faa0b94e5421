//! The services that are alive: begun, killed, paused and replaced.

use std::time::Duration;

use testkit::{Child, Marks, Rng, Wire};
use tokio::time::{Instant, sleep};

use crate::child::{DEADLINE, LEASE};
use crate::marks::REPORTS;
use crate::place::Place;
use crate::tally::Tally;

/// So many are alive and not paused.
const ALIVE: usize = 2;
const CLIENTS: u64 = 3;
/// How long a pause is: past the lease and every deadline.
const PAUSE: Duration = LEASE.saturating_add(DEADLINE).saturating_add(Duration::from_millis(500));
/// The longest until a service comes by a fail point.
const SOON: Duration = Duration::from_secs(40);

/// Transfers that are acknowledged between two faults, at the least.
const ENOUGH: usize = 1;

pub struct Crowd<'a> {
    place: &'a Place,
    rng: Rng,
    alive: Vec<Service>,
    paused: Vec<Paused>,
    pub tally: Tally,
}

struct Service {
    child: Child,
    marks: Marks,
    /// Transfers of it that were acknowledged when it was last looked at.
    done: usize,
}

struct Paused {
    service: Service,
    until: Instant,
    how: Pause,
}

/// What stands still.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The process.
    Process,
    /// The transfer that came by, while the process goes on.
    Transfer,
}

impl<'a> Crowd<'a> {
    pub fn new(place: &'a Place, rng: Rng) -> Self {
        let mut crowd = Self { place, rng, alive: Vec::new(), paused: Vec::new(), tally: Tally::default() };
        crowd.refill();
        crowd
    }

    /// Begins services until enough are alive.
    fn refill(&mut self) {
        while self.alive.len() < ALIVE {
            let service = self.begin(CLIENTS);
            self.alive.push(service);
        }
    }

    fn begin(&mut self, clients: u64) -> Service {
        self.tally.services += 1;
        let (route, number) = (self.place.route(), self.tally.services);
        let [number_text, seed, clients] = [number, self.rng.next_u64(), clients].map(|number| number.to_string());
        let child = Child::of(std::env::current_exe().unwrap())
            .args(["child", &number_text, &seed, &clients])
            .args(route.args())
            .start();
        Service { child, marks: Marks::of(self.place.folder(), number), done: 0 }
    }

    /// Looks after those that are paused, and that nobody died by itself.
    fn look(&mut self) {
        let now = Instant::now();
        for mut paused in std::mem::take(&mut self.paused) {
            if paused.until > now {
                self.paused.push(paused);
                continue;
            }
            match paused.how {
                Pause::Process => paused.service.child.signal("CONT"),
                Pause::Transfer => paused.service.marks.release(),
            }
            self.alive.push(paused.service);
        }
        for Service { child, .. } in &mut self.alive {
            let exit = child.try_exit();
            assert!(exit.is_none(), "a service died by itself: {exit:?}\n{}", child.stderr().join("\n"));
        }
    }

    /// The first service that comes by a fail point; it stands there.
    async fn caught(&mut self, point: &'static str) -> Service {
        Marks::arm(self.place.folder(), point);
        self.held_at(point).await
    }

    /// The service that stands at an armed point, once there is one.
    async fn held_at(&mut self, point: &'static str) -> Service {
        let began = Instant::now();
        loop {
            self.look();
            if let Some(at) = self.alive.iter().position(|service| service.marks.is_held()) {
                let mut service = self.alive.swap_remove(at);
                service.child.wait_for_mark(point, SOON).await;
                return service;
            }
            assert!(began.elapsed() < SOON, "no service came by {point}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the first service that comes by a fail point.
    pub async fn kill_at(&mut self, point: &'static str) {
        let service = self.caught(point).await;
        self.kill_there(service, point).await;
    }

    /// Kills a service at one fail point, and another at a point that it comes by because of that.
    pub async fn kill_at_both(&mut self, first: &'static str, second: &'static str) {
        let service = self.caught(first).await;
        // Before the death: on a busy machine what comes of it may come sooner than the next line here.
        Marks::arm(self.place.folder(), second);
        self.kill_there(service, first).await;
        let service = self.held_at(second).await;
        self.kill_there(service, second).await;
    }

    /// The same behind a registration that the coordinators did not answer.
    pub async fn kill_unanswered_at(&mut self, point: &'static str, coordinators: &Wire) {
        let mut service = self.caught("dtx.before_register").await;
        coordinators.fall_silent();
        for next in REPORTS {
            Marks::arm(self.place.folder(), next);
            service.marks.release();
            self.alive.push(service);
            service = self.held_at(next).await;
            coordinators.speak();
            if next == point {
                break;
            }
        }
        self.kill_there(service, point).await;
    }

    async fn kill_there(&mut self, service: Service, point: &'static str) {
        self.bury(service).await;
        self.tally.killed(point);
        self.refill();
    }

    /// Pauses the first service that comes by a fail point, or its transfer.
    pub async fn pause_at(&mut self, point: &'static str, how: Pause) {
        let mut service = self.caught(point).await;
        if how == Pause::Process {
            service.child.signal("STOP");
            service.marks.release();
        }
        self.paused.push(Paused { service, until: Instant::now() + PAUSE, how });
        *self.tally.pauses.entry(point).or_default() += 1;
        self.refill();
    }

    /// Pauses any service, wherever it is.
    pub async fn pause(&mut self) {
        let mut service = self.any().await;
        service.child.signal("STOP");
        self.paused.push(Paused { service, until: Instant::now() + PAUSE, how: Pause::Process });
        *self.tally.pauses.entry("anywhere").or_default() += 1;
        self.refill();
    }

    /// Kills any service, wherever it is.
    pub async fn kill(&mut self) {
        let service = self.any().await;
        self.bury(service).await;
        self.tally.at_random += 1;
        self.refill();
    }

    /// Returns once one more transfer is acknowledged: whatever happened, the bank goes on.
    pub async fn works(&mut self) {
        let (began, mut more) = (Instant::now(), 0);
        while more < ENOUGH {
            self.look();
            for service in &mut self.alive {
                let lines = service.child.stdout();
                let done = lines.iter().filter(|line| line.starts_with("done ")).count();
                (more, service.done) = (more + done - service.done, done);
            }
            assert!(began.elapsed() < SOON, "no transfer was acknowledged any more");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn any(&mut self) -> Service {
        // The moment is what is tested.
        sleep(Duration::from_millis(self.rng.below(800))).await;
        self.look();
        let at = self.rng.below(self.alive.len() as u64);
        self.alive.swap_remove(usize::try_from(at).unwrap())
    }

    /// Kills it, and notes all that it has said.
    async fn bury(&mut self, mut service: Service) {
        service.child.kill();
        service.child.wait(SOON).await;
        service.child.stdout().iter().for_each(|line| self.tally.heard(line));
    }

    /// Nobody is paused any more and all work for a moment; then all are killed, and one begins that only clears up, until
    /// `is_quiet`.
    pub async fn end(mut self, is_quiet: impl AsyncFnOnce()) -> Tally {
        while !self.paused.is_empty() {
            sleep(Duration::from_millis(50)).await;
            self.look();
        }
        sleep(Duration::from_millis(500)).await;
        self.look();
        for service in std::mem::take(&mut self.alive) {
            self.bury(service).await;
        }
        let mut last = self.begin(0);
        is_quiet().await;
        assert!(last.child.try_exit().is_none(), "the last service died by itself");
        self.bury(last).await;
        self.tally
    }
}
