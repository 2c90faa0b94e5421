//! In which global transaction work runs, by all ways and places.

use onceward_dtx::Propagation::{Mandatory, Never, NotSupported, Required, RequiresNew, Supports};
use onceward_dtx::{DtxError, Options, Propagation, Reason, Verdict, context};

use crate::world::{World, add};

const ALL: [Propagation; 6] = [Required, RequiresNew, Supports, NotSupported, Mandatory, Never];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Runs {
    Joined,
    Own,
    Alone,
    Refused,
}

fn expected(propagation: Propagation, inside: bool) -> Runs {
    match (propagation, inside) {
        (Required | Supports | Mandatory, true) => Runs::Joined,
        (RequiresNew, _) | (Required, false) => Runs::Own,
        (Mandatory, false) | (Never, true) => Runs::Refused,
        _ => Runs::Alone,
    }
}

/// One case of the table: adds 10 to the second database if it runs in a transaction.
async fn case(world: &World, propagation: Propagation, outer: Option<&str>, fail: bool) -> Result<(), DtxError> {
    let runs = expected(propagation, outer.is_some());
    let mut ran = false;
    let answer = world
        .dtx
        .run_with(propagation, Options::new("inner"), async |global| {
            ran = true;
            let xid = global.as_ref().map(|global| global.xid().to_owned());
            assert_eq!(context::current().map(|global| global.xid().to_owned()), xid);
            match runs {
                Runs::Joined => assert_eq!(xid.as_deref(), outer),
                Runs::Own => assert!(xid.is_some() && xid.as_deref() != outer),
                _ => assert_eq!(xid, None),
            }
            match add(&world.at[1], 10).await {
                Ok(()) => assert!(xid.is_some()),
                Err(DtxError::NoTransaction) => assert!(xid.is_none()),
                other => other?,
            }
            if fail { Err(DtxError::RollbackOnly("on purpose")) } else { Ok(()) }
        })
        .await;
    assert_eq!(ran, runs != Runs::Refused, "{propagation:?}");
    assert_eq!(context::current().map(|global| global.xid().to_owned()).as_deref(), outer, "it is back");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_one() {
    let world = World::new().await;
    let _worker = world.worker();
    let mut balance = 100;
    for propagation in ALL {
        for fail in [false, true] {
            let what = format!("{propagation:?} {fail}");
            let answer = case(&world, propagation, None, fail).await;
            match (expected(propagation, false), fail) {
                (Runs::Refused, _) => assert!(matches!(answer, Err(DtxError::NoTransaction)), "{what} {answer:?}"),
                (_, true) => assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{what} {answer:?}"),
                (runs, false) => {
                    answer.unwrap();
                    balance += if runs == Runs::Own { 10 } else { 0 };
                }
            }
            assert_eq!(world.balance(1, 1).await, Some(balance), "{what}");
        }
    }
    assert_eq!(balance, 120, "two of them have begun one");
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_of_one() {
    let world = World::new().await;
    let _worker = world.worker();
    let mut balances = [100, 100];
    for propagation in ALL {
        for fail in [false, true] {
            let runs = expected(propagation, true);
            let what = format!("{propagation:?} {fail}");
            let answer = world
                .dtx
                .run(Options::new("outer"), async |outer| {
                    add(&world.at[0], 1).await?;
                    match case(&world, propagation, Some(outer.xid()), fail).await {
                        Ok(()) => assert!(runs != Runs::Refused && !fail, "{what}"),
                        Err(DtxError::TransactionOpen { xid }) => {
                            assert_eq!((xid.as_str(), runs), (outer.xid(), Runs::Refused), "{what}");
                        }
                        Err(DtxError::RollbackOnly(_)) => assert!(fail, "{what}"),
                        Err(other) => panic!("{what} {other:?}"),
                    }
                    Ok::<_, DtxError>(())
                })
                .await;
            if runs == Runs::Joined && fail {
                assert!(
                    matches!(answer, Err(DtxError::RolledBack { reason: Reason::Nested, .. })),
                    "{what} {answer:?}"
                );
            } else {
                answer.unwrap();
                balances[0] += 1;
                balances[1] += if matches!(runs, Runs::Joined | Runs::Own) && !fail { 10 } else { 0 };
            }
            world.quiet().await;
            assert_eq!(world.balances().await[..2], balances, "{what}");
        }
    }
    assert_eq!(balances, [109, 140], "three are doomed by a failure, four have done their part");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_its_own_stays_when_the_one_around_it_fails() {
    let world = World::new().await;
    let _worker = world.worker();
    let answer = world
        .dtx
        .run(Options::new("order"), async |_| {
            add(&world.at[0], 1).await?;
            let note = async |_| add(&world.at[1], 1).await;
            world.dtx.run_with(RequiresNew, Options::new("note"), note).await?;
            Err::<(), _>(DtxError::RollbackOnly("on purpose"))
        })
        .await;
    assert!(matches!(answer, Err(DtxError::RollbackOnly(_))), "{answer:?}");
    world.quiet().await;
    assert_eq!(world.balances().await, [100, 101, 100]);
}

/// An error that is an answer.
#[derive(Debug)]
enum Outcome {
    SoldOut,
    Broken,
    Dtx(DtxError),
}

impl From<DtxError> for Outcome {
    fn from(error: DtxError) -> Self {
        Self::Dtx(error)
    }
}

fn rule(outcome: &Outcome) -> Verdict {
    if matches!(outcome, Outcome::SoldOut) { Verdict::Commit } else { Verdict::Rollback }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_may_commit() {
    let world = World::new().await;
    let _worker = world.worker();
    let answering = async |outcome: Outcome| {
        let work = async |_| {
            add(&world.at[0], 1).await?;
            Err::<(), _>(outcome)
        };
        world.dtx.run_ruled(Options::new("ruled"), work, rule).await
    };
    assert!(matches!(answering(Outcome::SoldOut).await, Err(Outcome::SoldOut)));
    assert_eq!(world.balance(0, 1).await, Some(101));
    assert!(matches!(answering(Outcome::Broken).await, Err(Outcome::Broken)));
    assert_eq!(world.balance(0, 1).await, Some(101));

    // Joined, it does not doom the whole, which decides by its own rule.
    for (outcome, doomed) in [(Outcome::SoldOut, false), (Outcome::Broken, true)] {
        let outer = world.dtx.run(Options::new("outer"), async |_| {
            assert!(answering(outcome).await.is_err());
            Ok::<_, DtxError>(())
        });
        let outer = outer.await;
        assert_eq!(matches!(outer, Err(DtxError::RolledBack { reason: Reason::Nested, .. })), doomed, "{outer:?}");
    }
    world.quiet().await;
    assert_eq!(world.balance(0, 1).await, Some(102));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ruled_commit_is_none_if_it_could_only_roll_back() {
    let world = World::new().await;
    let _worker = world.worker();
    let work = async |_| {
        add(&world.at[0], 1).await?;
        let nested = async |_| Err::<(), _>(DtxError::RollbackOnly("on purpose"));
        assert!(world.dtx.run(Options::new("nested"), nested).await.is_err());
        Err::<(), _>(Outcome::SoldOut)
    };
    let answer = world.dtx.run_ruled(Options::new("ruled"), work, rule).await;
    assert!(matches!(answer, Err(Outcome::Dtx(DtxError::RolledBack { reason: Reason::Nested, .. }))), "{answer:?}");
    assert_eq!(world.balance(0, 1).await, Some(100));
    world.quiet().await;
}
