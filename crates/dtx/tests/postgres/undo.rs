//! Undo where the table, the pool or the role is not what one would think.

use onceward_dtx::{At, AtOptions, DtxError, Options, RepairAction};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool, Postgres};

use crate::hazards::run;
use crate::world::World;

/// Runs the texts in a branch, then `between`, and rolls back.
async fn rolled_back(
    world: &World,
    at: &At<Postgres>,
    texts: &[&'static str],
    between: &'static str,
) -> Result<(), DtxError> {
    let work = async |_| {
        let branch = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
            for text in texts {
                tx.execute(*text).await?;
            }
            Ok::<_, DtxError>(())
        };
        at.branch(branch).await?;
        at.pool().execute(between).await?;
        Err(DtxError::NoTransaction)
    };
    world.dtx.run(Options::new("rolled back"), work).await
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_happens_where_the_pool_says_and_not_where_its_url_leads() {
    let world = World::new().await;
    let url = world.disk.url("tenants").await;
    let tables = "create schema tenant; create table tenant.t (id integer primary key, a integer); \
                  insert into tenant.t values (1, 1); create table t (id integer primary key, a integer)";
    let plain = PgPool::connect(&url).await.unwrap();
    plain.execute(tables).await.unwrap();
    let public = At::new("public", plain.clone(), &world.dtx, AtOptions::default()).await.unwrap();
    let pool = PgPoolOptions::new()
        .after_connect(|conn, _| Box::pin(async move { conn.execute("set search_path = tenant").await.map(drop) }))
        .connect(&url)
        .await
        .unwrap();
    let tenant = At::new("tenant", pool, &world.dtx, AtOptions::default()).await.unwrap();
    let answer = rolled_back(&world, &tenant, &["update t set a = 2"], "select 1").await;
    assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?}");
    let left: i32 = sqlx::query_scalar("select a from tenant.t").fetch_one(&plain).await.unwrap();
    assert_eq!(left, 1);
    // The same table through the other resource would be locked under another name.
    let foreign = run(&world, &public, "update tenant.t set a = 5").await;
    assert!(
        matches!(foreign, Err(DtxError::Refused { ref part, .. }) if part.contains("another resource")),
        "{foreign:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_made_anew_under_its_name_is_not_taken_for_the_old_one() {
    let world = World::new().await;
    let at = &world.at[0];
    at.pool().execute("create table log (id integer primary key)").await.unwrap();
    let rotate = "alter table log rename to log_old; create table log (id integer primary key)";
    let answer = rolled_back(&world, at, &["insert into log values (2)"], rotate).await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_became_too_narrow_parks_the_undo() {
    let world = World::new().await;
    let at = &world.at[0];
    at.pool().execute("create table narrow (id integer primary key, a text)").await.unwrap();
    at.pool().execute("insert into narrow values (1, 'long enough')").await.unwrap();
    let answer =
        rolled_back(&world, at, &["update narrow set a = 'b'"], "alter table narrow alter a type varchar(5)").await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_this_role_could_not_take_back_is_refused() {
    let world = World::new().await;
    let rights = Rights::new(&world, "select, insert").await;
    let answer = run(&world, &rights.at, "insert into audit values (1)").await;
    assert!(
        matches!(answer, Err(DtxError::Refused { ref part, .. }) if part.contains("may not take back")),
        "{answer:?}"
    );
    rights.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_policy_hides_since_is_not_taken_for_gone() {
    let world = World::new().await;
    let rights = Rights::new(&world, "all").await;
    let work = async |_| {
        let insert = async |mut tx: onceward_dtx::AtTransaction<Postgres>| {
            tx.execute("insert into audit values (1)").await?;
            Ok::<_, DtxError>(())
        };
        rights.at.branch(insert).await?;
        rights.owner.execute("alter table audit enable row level security").await?;
        Err::<(), _>(DtxError::NoTransaction)
    };
    let answer = world.dtx.run(Options::new("hidden"), work).await;
    assert!(matches!(answer, Err(DtxError::Parked { .. })), "{answer:?}");
    let parked = world.dtx.parked().await.unwrap();
    assert!(parked[0].reason.contains("policies hide rows"), "{parked:?}");
    rights.owner.execute("alter table audit disable row level security").await.unwrap();
    let branch = world.dtx.inspect(&parked[0]).await.unwrap().unwrap();
    world.dtx.repair(&branch.repair(RepairAction::Restore, "ann")).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from audit").fetch_one(&rights.owner).await.unwrap();
    assert_eq!(left, 0);
    rights.end().await;
}

/// A resource on a table `audit`, whose pool is a role with few rights.
struct Rights {
    owner: PgPool,
    at: At<Postgres>,
    role: String,
}

impl Rights {
    async fn new(world: &World, rights: &str) -> Self {
        let role = testkit::namespace();
        let url = world.disk.url("rights").await;
        let owner = PgPool::connect(&url).await.unwrap();
        let make = format!(
            "create table audit (id integer primary key); create role {role}; \
             grant {rights} on audit to {role}; grant create, usage on schema public to {role}"
        );
        owner.execute(AssertSqlSafe(make)).await.unwrap();
        let become_it = format!("set role {role}");
        let pool = PgPoolOptions::new()
            .after_connect(move |conn, _| {
                let text = AssertSqlSafe(become_it.clone());
                Box::pin(async move { conn.execute(text).await.map(drop) })
            })
            .connect(&url)
            .await
            .unwrap();
        let at = At::new("rights", pool, &world.dtx, AtOptions::default()).await.unwrap();
        Self { owner, at, role }
    }

    async fn end(self) {
        let end = format!("drop owned by {0}; drop role {0}", self.role);
        self.owner.execute(AssertSqlSafe(end)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_refer_to_each_other_come_back_however_many() {
    let world = World::new().await;
    let at = &world.at[0];
    let tree = "create table tree (id integer primary key, up integer references tree, a text, b text, c text, d text, \
                e text, f text, code text unique, up_code text references tree (code)); \
                insert into tree (id, up) select n, nullif(n - 1, 0) from generate_series(1, 7000) n; \
                update tree set code = id::text, up_code = up::text where id < 4";
    at.pool().execute(tree).await.unwrap();
    let sum = async || -> String {
        let text = "select md5(string_agg(t::text, ';' order by id)) from tree t";
        sqlx::query_scalar(text).fetch_one(at.pool()).await.unwrap()
    };
    let before = sum().await;
    for texts in [
        &["delete from tree"][..],
        &["update tree set code = code || 'x', up_code = up_code || 'x'"],
        &["delete from tree", "insert into tree (id) values (1)"],
    ] {
        let answer = rolled_back(&world, at, texts, "select 1").await;
        assert!(matches!(answer, Err(DtxError::NoTransaction)), "{answer:?} {:?}", world.dtx.parked().await);
        assert_eq!(sum().await, before);
    }
}
