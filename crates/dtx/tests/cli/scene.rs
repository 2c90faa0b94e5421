//! A coordinator with a transaction of every kind, by a process that is alive and works on none of them.

use std::sync::Arc;
use std::time::Duration;

use onceward_dtx::{AtOptions, DtxError, GlobalTransaction, Options, ParkedInfo};

use crate::disk::{ACCOUNT, Disk};
use crate::tool::{Ran, run, url};
use crate::world::{NAMES, World, add};

const LONG: Duration = Duration::from_secs(600);

pub(crate) struct Scene {
    pub(crate) world: World,
    /// Is open and holds account 1 of `orders`.
    pub(crate) open: GlobalTransaction,
    /// Waits for that row.
    pub(crate) waiting: String,
    /// Is over.
    pub(crate) committed: String,
    /// Rolls back, which its resource `stock` fails to do.
    pub(crate) stuck: String,
    /// Was rolled back but for a branch in `wallet`, whose row somebody has overwritten with 5.
    pub(crate) parked: ParkedInfo,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let options = || AtOptions::default().with_lock_timeout(LONG);
        let world = World::open(Arc::new(Disk::new().await), options).await;
        for at in &world.at {
            sqlx::query(ACCOUNT).execute(at.pool()).await.unwrap();
            sqlx::query("insert into account values (1, 'ann', 100)").execute(at.pool()).await.unwrap();
        }
        let committed = fails(&world, "committed", 1, None).await;
        world.dtx.recover().await.unwrap();

        let open = world.dtx.begin(Options::new("open").with_timeout(LONG)).await.unwrap();
        open.scope(add(&world.at[0], 1)).await.unwrap();
        tokio::spawn({
            let (dtx, at) = (world.dtx.clone(), world.at[0].clone());
            async move { dtx.run(Options::new("waiting").with_timeout(LONG), async |_| add(&at, 10).await).await }
        });
        world.waiting(1).await;
        let waiting = world.dtx.waiters().await.unwrap().remove(0).xid;
        let foreign = "update undo_log set context = 'serializer=jackson'";
        let stuck = fails(&world, "stuck", 1, Some(foreign)).await;
        fails(&world, "parked", 2, Some("update account set balance = 5")).await;
        let parked = world.dtx.parked().await.unwrap().remove(0);
        Self { world, open, waiting, committed, stuck, parked }
    }

    pub(crate) fn resource(&self, name: &str) -> String {
        format!("{name}={}", url(&self.world.disk.path().join(format!("{name}.db"))))
    }

    /// Runs the program on the coordinator and all resources.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let store = url(&self.world.disk.path().join("tc.db"));
        let resources = NAMES.map(|name| self.resource(name));
        let mut all = vec!["--store", &store];
        resources.iter().for_each(|resource| all.extend(["--resource", resource]));
        all.extend(args);
        run(&all)
    }

    /// The words that name the parked branch.
    pub(crate) fn parked_branch(&self) -> [String; 3] {
        [self.parked.resource_id.clone(), self.parked.xid.clone(), self.parked.branch_id.to_string()]
    }
}

/// A transaction of one branch that fails after `meddle` has happened to its database; without that, it is committed.
async fn fails(world: &World, name: &str, at: usize, meddle: Option<&'static str>) -> String {
    let mut xid = String::new();
    let run = world.dtx.run(Options::new(name), async |global| {
        xid = global.xid().to_owned();
        add(&world.at[at], 7).await?;
        let Some(meddle) = meddle else { return Ok(()) };
        sqlx::query(meddle).execute(world.at[at].pool()).await?;
        Err(DtxError::NoTransaction)
    });
    assert_eq!(run.await.is_ok(), meddle.is_none());
    xid
}
