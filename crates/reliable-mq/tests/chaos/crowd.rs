//! The processes that are alive: begun, killed, paused and replaced.

use std::{ops::Range, time::Duration};

use onceward_backend::{
    internal::{begin, commit},
    sqlx::Transaction,
};
use testkit::{Child, Marks, Rng};
use tokio::time::{Instant, sleep};

use crate::{
    child::{LEASE, order},
    place::{KEYS, Place, Role},
    server::Server,
    tally::{ANYWHERE, Tally},
};

/// So many of each role are alive and not paused.
const ALIVE: usize = 2;
/// How long a pause is: past the lease.
const PAUSE: Duration = LEASE.saturating_add(Duration::from_millis(700));
/// The longest until a process comes by a fail point.
pub const SOON: Duration = Duration::from_secs(40);
/// How long a transaction is held open.
const HELD: Duration = Duration::from_millis(1500);
/// For so many customers: a relay that overlooks one finds it soon after, and it is to be seen before that.
const CUSTOMERS: u64 = 4;

pub struct Crowd<'a, D: Server> {
    place: &'a Place<D>,
    rng: Rng,
    alive: Vec<Process>,
    paused: Vec<(Process, Instant)>,
    pub tally: Tally,
}

struct Process {
    role: Role,
    child: Child,
    marks: Marks,
    /// Messages that it had handled when it was last looked at.
    handled: usize,
}

impl<'a, D: Server> Crowd<'a, D> {
    pub fn new(place: &'a Place<D>, rng: Rng) -> Self {
        let mut crowd = Self { place, rng, alive: Vec::new(), paused: Vec::new(), tally: Tally::default() };
        crowd.refill();
        crowd
    }

    /// Begins processes until enough of each role are alive.
    fn refill(&mut self) {
        for role in Role::ALL {
            while self.alive.iter().filter(|process| process.role == role).count() < ALIVE {
                let process = self.begin(role);
                self.alive.push(process);
            }
        }
    }

    fn begin(&mut self, role: Role) -> Process {
        self.tally.processes += 1;
        let number = self.tally.processes;
        let [number_text, seed] = [number, self.rng.next_u64()].map(|number| number.to_string());
        let child = Child::of(std::env::current_exe().unwrap())
            .args(["child", D::DIALECT.name(), role.name(), &number_text, &seed])
            .args(self.place.route().args())
            .start();
        Process { role, child, marks: Marks::of(self.place.folder(), number), handled: 0 }
    }

    /// Looks after those that are paused, and that nobody died by itself.
    fn look(&mut self) {
        let now = Instant::now();
        for (mut process, until) in std::mem::take(&mut self.paused) {
            if until > now {
                self.paused.push((process, until));
                continue;
            }
            process.child.signal("CONT");
            self.alive.push(process);
        }
        for Process { child, .. } in &mut self.alive {
            let exit = child.try_exit();
            assert!(exit.is_none(), "a process died by itself: {exit:?}\n{}", child.stderr().join("\n"));
        }
    }

    /// The first process that comes by a fail point; it stands there.
    async fn caught(&mut self, point: &'static str) -> Process {
        Marks::arm(self.place.folder(), point);
        let began = Instant::now();
        loop {
            self.look();
            if let Some(at) = self.alive.iter().position(|process| process.marks.is_held()) {
                let mut process = self.alive.swap_remove(at);
                process.child.wait_for_mark(point, SOON).await;
                return process;
            }
            assert!(began.elapsed() < SOON, "no process came by {point}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the first process that comes by a fail point.
    pub async fn kill_at(&mut self, point: &'static str) {
        let process = self.caught(point).await;
        self.bury(process).await;
        *self.tally.kills.entry(point).or_default() += 1;
        self.refill();
    }

    /// Kills any process of this role, wherever it is.
    pub async fn kill(&mut self, role: Role) {
        let process = self.any(role).await;
        self.bury(process).await;
        *self.tally.at_random.entry(role).or_default() += 1;
        self.refill();
    }

    /// Pauses the first relay that comes by a fail point, until long after its lease.
    pub async fn pause_at(&mut self, point: &'static str) {
        let process = self.caught(point).await;
        self.pause(process, point);
    }

    /// Pauses any relay, wherever it is.
    pub async fn pause_any(&mut self) {
        let process = self.any(Role::Relay).await;
        self.pause(process, ANYWHERE);
    }

    fn pause(&mut self, mut process: Process, point: &'static str) {
        process.child.signal("STOP");
        if process.marks.is_held() {
            process.marks.release();
        }
        self.paused.push((process, Instant::now() + PAUSE));
        *self.tally.pauses.entry(point).or_default() += 1;
        self.refill();
    }

    /// A transaction that has enqueued for some customers stays open for long, while others enqueue behind it in their lanes;
    /// then the same customers order once more. If it is disturbed, lanes go to another relay meanwhile.
    pub async fn hold(&mut self, is_disturbed: bool) {
        let first = self.rng.below(KEYS - CUSTOMERS);
        let (tx, ids) = self.open(first..first + CUSTOMERS).await;
        if is_disturbed {
            self.kill(Role::Relay).await;
        }
        sleep(HELD).await;
        commit(tx).await.unwrap();
        let (tx, next) = self.open(first..first + CUSTOMERS).await;
        commit(tx).await.unwrap();
        self.tally.told.extend(ids.into_iter().chain(next));
        self.tally.held += 1;
    }

    /// A transaction with an order of each of these customers, without those that a producer is at, if not all are.
    async fn open(&mut self, customers: Range<u64>) -> (Transaction<'static, D>, Vec<String>) {
        let outbox = &self.place.outbox;
        let began = Instant::now();
        loop {
            let mut tx = begin(outbox.pool()).await.unwrap();
            let mut ids = Vec::new();
            for key in customers.clone() {
                ids.extend(order(outbox, &mut tx, key, 1, &mut self.rng).await.unwrap());
            }
            if !ids.is_empty() {
                return (tx, ids);
            }
            drop(tx);
            assert!(began.elapsed() < SOON, "no customer is ever free");
        }
    }

    /// Returns once one more message is handled: whatever happened, it goes on.
    pub async fn works(&mut self) {
        let (began, mut more) = (Instant::now(), 0);
        while more == 0 {
            self.look();
            for process in self.alive.iter_mut().filter(|process| process.role == Role::Consumer) {
                let lines = process.child.stdout();
                let handled = lines.iter().filter(|line| line.starts_with("handled ")).count();
                (more, process.handled) = (more + handled - process.handled, handled);
            }
            assert!(began.elapsed() < SOON, "nothing was handled any more");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn any(&mut self, role: Role) -> Process {
        // The moment is what is tested.
        sleep(Duration::from_millis(self.rng.below(500))).await;
        self.look();
        let of_role: Vec<usize> = (0..self.alive.len()).filter(|&at| self.alive[at].role == role).collect();
        self.alive.swap_remove(*self.rng.pick(&of_role))
    }

    /// Kills it, and notes all that it has said.
    async fn bury(&mut self, mut process: Process) {
        process.child.kill();
        process.child.wait(SOON).await;
        let lines = process.child.stdout();
        self.tally.told.extend(lines.iter().filter_map(|line| line.strip_prefix("order ")).map(str::to_owned));
    }

    /// Nobody is paused any more, no wire is spoilt, and the producers are gone; relays and consumers go on until `is_quiet`.
    pub async fn end(mut self, is_quiet: impl AsyncFnOnce()) -> Tally {
        self.place.wires().into_iter().for_each(testkit::Wire::speak);
        while !self.paused.is_empty() {
            sleep(Duration::from_millis(50)).await;
            self.look();
        }
        self.hold(false).await;
        let (producers, others) = std::mem::take(&mut self.alive)
            .into_iter()
            .partition::<Vec<_>, _>(|process| process.role == Role::Producer);
        self.alive = others;
        for producer in producers {
            self.bury(producer).await;
        }
        is_quiet().await;
        self.look();
        for process in std::mem::take(&mut self.alive) {
            self.bury(process).await;
        }
        self.tally
    }
}
