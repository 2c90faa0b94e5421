//! Constraints that the server would check at the end are checked before anybody hears of the branch.

use onceward_dtx::{DtxError, Options, TransactionFilter};
use sqlx::Executor;

use crate::world::World;

const TABLES: &str = "create table parent (id integer primary key); \
    create table child (id integer primary key, parent integer references parent (id) deferrable initially deferred)";

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_breaks_one_is_refused_unregistered() {
    let world = World::new().await;
    world.at[0].pool().execute(TABLES).await.unwrap();
    let answer = world
        .dtx
        .run(Options::new("orphan"), async |_| {
            let orphan = world.at[0].branch(async |mut tx| {
                tx.execute("insert into child values (1, 7)").await?;
                Ok::<_, DtxError>(())
            });
            let error = orphan.await.unwrap_err();
            let open = world.dtx.transactions(&TransactionFilter::default()).await?;
            assert!(open[0].branches.is_empty(), "{open:?}");
            Err::<(), _>(error)
        })
        .await;
    let Err(DtxError::Backend(error)) = answer else { panic!("{answer:?}") };
    assert!(format!("{error:?}").contains("child_parent_fkey"), "{error:?}");
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_may_break_and_mend_one_and_its_undo_too() {
    let world = World::new().await;
    world.at[0].pool().execute(TABLES).await.unwrap();
    let answer = world
        .dtx
        .run(Options::new("mended"), async |_| {
            let mended = world.at[0].branch(async |mut tx| {
                tx.execute("insert into child values (1, 7)").await?;
                tx.execute("insert into parent values (7)").await?;
                Ok::<_, DtxError>(())
            });
            mended.await?;
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    let left: i64 = sqlx::query_scalar("select (select count(*) from child) + (select count(*) from parent)")
        .fetch_one(world.at[0].pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
    world.quiet().await;
}
