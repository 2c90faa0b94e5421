//! Round trips to a database. The test program says which one by `Db` and `database`.

use testkit::CountedPool;

use crate::{Db, database};

#[tokio::test]
async fn round_trips_are_those_of_the_operation_alone() {
    let database = database().await;
    let counted = CountedPool::<Db>::connect(database.url()).await;
    let one = async || sqlx::query("select 1").execute(counted.pool()).await.unwrap();
    counted.trips(one()).await;
    assert_eq!(counted.trips(one()).await.1, 1);
    let transaction = async || {
        let mut tx = counted.pool().begin().await.unwrap();
        sqlx::query("select 1").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert_eq!(counted.trips(transaction()).await.1, 3);
    let twice = async || {
        one().await;
        one().await;
    };
    assert_eq!(counted.trips(twice()).await.1, 2);
}
