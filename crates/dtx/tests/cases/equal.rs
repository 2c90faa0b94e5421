//! Values that a unique index takes for equal, however they are written, have one lock.

use onceward_dtx::{At, DtxError, Options};
use sqlx::{Database, Executor};

use crate::disk::{Db, EQUAL, MAIL, MAIL_AGAIN};
use crate::world::World;

type Row = <Db as Database>::Row;

/// Runs one statement in a branch of a transaction of its own, whoever asks.
pub(crate) async fn apart(world: &World, text: &'static str) -> Result<Vec<Row>, DtxError> {
    let (dtx, at) = (world.dtx.clone(), world.at[0].clone());
    let run = async move { dtx.run(Options::new("apart"), async |_| one(&at, text).await).await };
    tokio::spawn(run).await.unwrap()
}

pub(crate) async fn one(at: &At<Db>, text: &'static str) -> Result<Vec<Row>, DtxError> {
    let mut tx = at.begin().await?;
    let rows = tx.fetch_all(text).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Deletes or changes `text` in a transaction that is still open while another one runs `other`.
async fn meets(world: &World, text: &'static str, other: &'static str) -> Option<String> {
    let mut met = None;
    let answer = world
        .dtx
        .run(Options::new("holder"), async |_| {
            one(&world.at[0], text).await?;
            match apart(world, other).await {
                Ok(_) => {}
                Err(DtxError::LockConflict { key, .. }) => met = Some(key),
                Err(unexpected) => panic!("{other}: {unexpected:?}"),
            }
            Err::<(), _>(DtxError::NoTransaction)
        })
        .await;
    world.dtx.recover().await.unwrap();
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{text}: {answer:?} {:?}", world.dtx.parked().await);
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_a_unique_index_takes_for_equal_have_one_lock() {
    let world = World::new().await;
    sqlx::raw_sql(MAIL).execute(world.at[0].pool()).await.unwrap();
    for (text, other, key) in EQUAL {
        let met = meets(&world, text, other).await;
        match key {
            "" => assert_eq!(met, None, "{text}; {other}"),
            key => assert!(met.as_ref().is_some_and(|met| met.starts_with(key)), "{text}; {other}: {met:?}"),
        }
        sqlx::raw_sql(MAIL_AGAIN).execute(world.at[0].pool()).await.unwrap();
    }
    world.quiet().await;
}
