//! What the seam promises on each database, run by one file per database.

use onceward_backend::internal::{Sql, begin, commit};
use onceward_backend::sqlx::Pool;
use onceward_backend::{Conn, Db, Dialect, ErrorClass, Migrations};

const TABLES: Migrations = Migrations::new(
    "seam",
    &[
        (
            1,
            "-- values of each kind\ncreate table if not exists seam (id {key} not null primary key, n bigint, t {text}, b {bytes}, f boolean);\n",
        ),
        (
            2,
            "create table if not exists seam_serial (id {serial}, body {text});\ncreate table if not exists seam_more (id {key} not null primary key);\n",
        ),
    ],
);

/// Runs every case.
pub(crate) async fn run<D: Db>(pool: &Pool<D>) {
    migrations_run_once_and_race(pool).await;
    values_round_trip(pool).await;
    keys_are_compared_byte_by_byte(pool).await;
    insert_once_has_one_winner(pool).await;
    upsert_and_conflict(pool).await;
    serial_ids_are_not_reused(pool).await;
    the_clock_is_the_databases(pool).await;
    a_dropped_transaction_changes_nothing(pool).await;
}

async fn migrations_run_once_and_race<D: Db>(pool: &Pool<D>) {
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { TABLES.run(&pool).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut conn = pool.acquire().await.unwrap();
    let recorded: Vec<(i64,)> = Sql::<D>::new()
        .sql("select number from onceward_migrations where crate = ? order by number")
        .bind("seam")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(recorded, [(1,), (2,)]);
}

type Row = (String, Option<i64>, Option<String>, Option<Vec<u8>>, Option<bool>);

async fn values_round_trip<D: Db>(pool: &Pool<D>) {
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    let rows: [Row; 4] = [
        ("null".into(), None, None, None, None),
        ("max".into(), Some(i64::MAX), Some("🦀 \u{1F600} ümlaut".into()), Some(vec![0, 255, 7]), Some(true)),
        ("min".into(), Some(i64::MIN), Some(String::new()), Some(Vec::new()), Some(false)),
        ("long".into(), Some(0), Some("x".repeat(70_000)), Some(vec![9; 70_000]), Some(true)),
    ];
    for (id, n, t, b, f) in &rows {
        let statement = sql.sql("insert into seam (id, n, t, b, f) values (?, ?, ?, ?, ?)");
        let statement = statement.bind(id).bind(*n).bind(t.as_deref()).bind(b.as_deref()).bind(*f);
        assert_eq!(statement.execute(&mut conn).await.unwrap(), 1);
    }
    for row in rows {
        let read = sql.sql("select id, n, t, b, f from seam where id = ?").bind(&row.0);
        assert_eq!(read.fetch_optional::<Row>(&mut conn).await.unwrap(), Some(row));
    }
    let null = sql.sql("select n from seam where id = ?").bind("null").fetch_one::<(i64,)>(&mut conn).await;
    assert_eq!(null.unwrap_err().class(), ErrorClass::Corrupt);
    let none = sql.sql("select n from seam where id = ?").bind("absent").fetch_optional::<(i64,)>(&mut conn).await;
    assert_eq!(none.unwrap(), None);
    let count = sql.sql("select count(*) > 0 from seam").fetch_one::<(bool,)>(&mut conn).await;
    assert_eq!(count.unwrap(), (true,));
}

async fn keys_are_compared_byte_by_byte<D: Db>(pool: &Pool<D>) {
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    for id in ["case", "Case", "CASE", "case_", "case-"] {
        let insert = sql.sql("{insert_ignore} seam_more (id) values (?) {or_ignore}").bind(id);
        assert!(insert.insert_once(&mut conn).await.unwrap(), "{id} is a key of its own");
    }
}

async fn insert_once_has_one_winner<D: Db>(pool: &Pool<D>) {
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let sql = Sql::<D>::new();
                let mut tx = begin(&pool).await.unwrap();
                let insert = sql.sql("{insert_ignore} seam_more (id) values (?) {or_ignore}").bind("race");
                let won = insert.insert_once(&mut tx).await.unwrap();
                commit(tx).await.unwrap();
                won
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += u32::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn upsert_and_conflict<D: Db>(pool: &Pool<D>) {
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    for n in [1_i64, 2] {
        let upsert = sql.sql("insert into seam (id, n) values (?, ?) {upsert id: n}").bind("upsert").bind(n);
        upsert.execute(&mut conn).await.unwrap();
        let read = sql.sql("select n from seam where id = ?").bind("upsert");
        assert_eq!(read.fetch_one::<(i64,)>(&mut conn).await.unwrap(), (n,));
    }
    let again = sql.sql("insert into seam (id, n) values (?, ?)").bind("upsert").bind(3).execute(&mut conn).await;
    let error = again.unwrap_err();
    assert_eq!((error.class(), error.backend()), (ErrorClass::Conflict, D::DIALECT.name()));
    let missing = sql.sql("select n from seam_absent").fetch_optional::<(i64,)>(&mut conn).await;
    assert_eq!(missing.unwrap_err().class(), ErrorClass::Refused);
}

async fn serial_ids_are_not_reused<D: Db>(pool: &Pool<D>) {
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    let mut last = 0;
    for _ in 0..3 {
        sql.sql("insert into seam_serial (body) values (?)").bind("x").execute(&mut conn).await.unwrap();
        let (id,) = sql.sql("select max(id) from seam_serial").fetch_one::<(i64,)>(&mut conn).await.unwrap();
        assert!(id > last, "id {id} was given again after its row was deleted");
        last = id;
        sql.sql("delete from seam_serial").execute(&mut conn).await.unwrap();
    }
}

async fn the_clock_is_the_databases<D: Db>(pool: &Pool<D>) {
    let sql = Sql::<D>::new();
    let mut conn = pool.acquire().await.unwrap();
    let select = if D::DIALECT == Dialect::MySql { "select {now} from dual" } else { "select {now}" };
    let (now,) = sql.sql(select).fetch_one::<(i64,)>(&mut conn).await.unwrap();
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let apart = here.abs_diff(u128::try_from(now).unwrap());
    assert!(apart < 60_000_000, "microseconds since the epoch, {apart} µs from this machine's clock");
}

async fn a_dropped_transaction_changes_nothing<D: Db>(pool: &Pool<D>) {
    async fn insert<D: Db>(sql: &Sql<D>, conn: &mut impl Conn<D>) {
        sql.sql("insert into seam_more (id) values (?)").bind("dropped").execute(conn).await.unwrap();
    }
    let sql = Sql::<D>::new();
    let mut tx = begin(pool).await.unwrap();
    insert(&sql, &mut tx).await;
    drop(tx);
    let mut conn = pool.acquire().await.unwrap();
    let (count,) = sql
        .sql("select count(*) from seam_more where id = ?")
        .bind("dropped")
        .fetch_one::<(i64,)>(&mut conn)
        .await
        .unwrap();
    assert_eq!(count, 0);
}
