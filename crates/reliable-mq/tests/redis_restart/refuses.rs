//! A server that answers, and takes nothing.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use onceward_backend::{conformance::block_on, redis::cmd};
use onceward_reliable_mq::{Broker, Health, Outcome};

use crate::{
    Space, bare,
    restart::{Service, WHILE, envelope, subscribed, up},
    set,
};

/// A batch is refused as a whole, and it is the server's fault: nothing is known, and the broker is blocked.
async fn refused(broker: &dyn Broker, why: &str) {
    let outcomes = broker.publish(&[envelope("a"), envelope("b")]).await;
    for outcome in &outcomes {
        assert!(matches!(outcome, Outcome::Unknown { reason } if reason.contains(why)), "{why}: {outcome:?}");
    }
    let health = broker.health().await;
    assert!(matches!(&health, Health::Blocked(told) if told.contains(why)), "{why}: {health:?}");
}

#[test]
fn out_of_memory_is_an_outage_in_which_consumers_go_on() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space, WHILE).await;
        broker.publish(&["0", "1", "2", "3"].map(envelope)).await;
        let service = Service::new(&broker).await;
        service.enqueue("while").await;
        set("maxmemory", "1").await;
        refused(&*broker, "OOM").await;
        for _ in 0..20 {
            service.relay.step().await.unwrap();
        }
        let mut held = broker.receive("queue", 4).await.unwrap().into_iter();
        held.next().unwrap().ack().await.unwrap();
        held.next().unwrap().release().await.unwrap();
        held.next().unwrap().retry(WHILE, "no good").await.unwrap();
        held.next().unwrap().reject("no good").await.unwrap();
        let depth = broker.depth("queue").await.unwrap();
        assert_eq!((depth.ready, depth.delayed, depth.dead), (1, 1, 1), "nothing of the batch was stored");
        assert!(broker.replay("queue", &envelope("3").id).await.is_err(), "a replay is a message more");
        set("maxmemory", "0").await;
        assert!(broker.replay("queue", &envelope("3").id).await.unwrap());
        service.drain().await;
        assert_eq!(broker.depth("queue").await.unwrap().ready, 3);
    });
}

#[test]
fn a_server_that_must_not_write_stores_nothing_and_takes_all_later() {
    block_on(async {
        let space = Space::fresh().await;
        let broker = subscribed(&space, WHILE).await;
        let later = async |stored: u64| {
            up(&*broker).await;
            assert_eq!(broker.publish(&[envelope(&format!("later-{stored}"))]).await, [Outcome::Accepted]);
            assert_eq!(broker.depth("queue").await.unwrap().ready, stored, "and nothing of what was refused");
        };

        let () = bare(cmd("REPLICAOF").arg("127.0.0.1").arg("1")).await;
        refused(&*broker, "read only replica").await;
        let () = bare(cmd("REPLICAOF").arg("NO").arg("ONE")).await;
        later(1).await;

        set("min-replicas-to-write", "1").await;
        refused(&*broker, "Not enough good replicas").await;
        set("min-replicas-to-write", "0").await;
        later(2).await;

        // A snapshot that cannot be written: a folder is in its place.
        set("save", "3600 1000000").await;
        let (_, folder): (String, String) = bare(cmd("CONFIG").arg("GET").arg("dir")).await;
        let snapshot = std::path::Path::new(&folder).join("dump.rdb");
        let _ = std::fs::remove_file(&snapshot);
        std::fs::create_dir_all(&snapshot).unwrap();
        let () = bare(cmd("BGSAVE").arg("SCHEDULE")).await;
        testkit::eventually(WHILE, async || match broker.health().await {
            Health::Blocked(_) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        refused(&*broker, "MISCONF").await;
        std::fs::remove_dir(&snapshot).unwrap();
        set("save", "").await;
        later(3).await;
    });
}

#[test]
fn a_server_that_loads_its_data_is_blocked_until_it_has_them() {
    block_on(async {
        let mut space = Space::fresh().await;
        let broker = subscribed(&space, WHILE).await;
        assert_eq!(broker.publish(&[envelope("before")]).await, [Outcome::Accepted]);
        // So much that loading takes a while.
        let fill = "for i = 1, 20000 do redis.call('HSET', KEYS[1], ARGV[1] .. i, i) end";
        for part in 0..12 {
            let () = bare(cmd("EVAL").arg(fill).arg(1).arg(space.key("much")).arg(part)).await;
        }
        space.service.stop().await;
        let (seen, up_again) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let watch = async {
            while !up_again.load(Ordering::SeqCst) {
                if let Health::Blocked(why) = broker.health().await {
                    let outcomes = broker.publish(&[envelope("while")]).await;
                    seen.lock().unwrap().push((why, outcomes));
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        let start = async {
            space.service.start().await;
            up_again.store(true, Ordering::SeqCst);
        };
        tokio::join!(watch, start);
        let seen = seen.into_inner().unwrap();
        assert!(seen.iter().any(|(why, _)| why.contains("loading")), "it was never seen to load: {seen:?}");
        // The last of them may have come when all was there.
        for (_, outcomes) in &seen[..seen.len() - 1] {
            assert!(matches!(&outcomes[0], Outcome::Unknown { reason } if reason.contains("loading")), "{outcomes:?}");
        }
        up(&*broker).await;
        assert_eq!(broker.publish(&[envelope("while")]).await, [Outcome::Accepted]);
        assert_eq!(broker.depth("queue").await.unwrap().ready, 2, "what it had, and what it takes now");
        // Whoever starts it next need not load all that again.
        let () = bare(cmd("UNLINK").arg(space.key("much"))).await;
        let () = bare(&cmd("BGREWRITEAOF")).await;
        testkit::eventually(WHILE, async || {
            let info: String = bare(cmd("INFO").arg("persistence")).await;
            let waits = ["aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"].iter().any(|line| info.contains(line));
            if waits { Err(info) } else { Ok(()) }
        })
        .await;
    });
}
