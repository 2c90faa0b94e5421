//! Databases that are not what they were given for: nothing is made in them, and no secret is told.

use std::path::Path;

use onceward_backend::sqlite;

use crate::scene::Scene;
use crate::tool::{run, run_with, url};

/// A SQLite file with a table of somebody else.
async fn foreign(path: &Path) -> Vec<u8> {
    let pool = sqlite::open(path).await.unwrap();
    sqlx::query("create table other (id integer primary key)").execute(&pool).await.unwrap();
    pool.close().await;
    std::fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_tables_is_refused_and_left_as_it_is() {
    let scene = Scene::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let bytes = foreign(&path).await;
    let (other, store) = (url(&path), url(&scene.world.disk.path().join("tc.db")));
    let untouched = || {
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["other.db"]);
    };
    let told = run(&["list", "--store", &other]).bad(2);
    untouched();
    assert!(told.contains("--store: not a coordinator's database") && told.contains("check that"), "{told}");
    let resource = format!("orders={other}");
    for args in [&["undo"][..], &["inspect", "orders", "x", "1"]] {
        let told = run(&[&["--store", &store, "--resource", &resource], args].concat()).bad(2);
        untouched();
        assert!(told.contains("--resource orders: no database with undo records"), "{told}");
    }
    // A resource's database is not a coordinator's, nor the other way round.
    let orders = url(&scene.world.disk.path().join("orders.db"));
    let told = run(&["list", "--store", &orders]).bad(2);
    assert!(told.contains("there are no tables of dtx;"), "{told}");
    let told = run(&["undo", "--store", &store, "--resource", &format!("orders={store}")]).bad(2);
    assert!(told.contains("there are no tables of dtx-at"), "{told}");

    let absent = folder.path().join("absent.db");
    let told = run(&["list", "--store", &url(&absent)]).bad(2);
    assert!(told.contains("there is no file") && !absent.exists(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_version_are_refused() {
    for (change, said) in [
        ("insert into onceward_migrations values ('dtx', 99, 'x')", "newer than this version"),
        ("delete from onceward_migrations where crate = 'dtx' and number = 2", "older than this version"),
        ("update onceward_migrations set checksum = 'x' where crate = 'dtx'", "another text"),
    ] {
        let scene = Scene::new().await;
        let store = scene.world.disk.path().join("tc.db");
        let pool = sqlite::open(&store).await.unwrap();
        sqlx::query(change).execute(&pool).await.unwrap();
        let told = run(&["list", "--store", &url(&store)]).bad(2);
        assert!(told.contains(said) && told.contains("of their version"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_databases_too() {
    let scene = Scene::new().await;
    let store = url(&scene.world.disk.path().join("tc.db"));
    let both = format!("{} {}", scene.resource("orders"), scene.resource("stock"));
    let env = [("DTX_STORE_URL", store.as_str()), ("DTX_RESOURCES", &both)];
    let undo = run_with(&["undo"], &env).good();
    assert_eq!(undo.lines().count(), 3, "{undo}");
    let undo = run_with(&["undo", "--resource", &scene.resource("stock")], &env).good();
    assert_eq!(undo.lines().count(), 2, "what is said at the call counts alone: {undo}");
    let told = run_with(&["undo"], &env[..1]).bad(2);
    assert!(told.contains("--resource NAME=URL"), "{told}");
    let told = run(&["list"]).bad(2);
    assert!(told.contains("--store URL, or DTX_STORE_URL"), "{told}");
}

#[test]
fn whatever_is_wrong_with_a_url_its_secret_is_not_told() {
    let secret = "hunter2";
    let urls = ["x://ann:hunter2@db/x", "hunter2", "postgres//ann:hunter2@db", "postgres://ann:hunter2@db:port/x", ""];
    for bad in urls {
        let pair = format!("wallet={bad}");
        for args in [
            &["list", "--store", bad][..],
            &["undo", "--store", bad, "--resource", bad],
            &["undo", "--store", bad, "--resource", &pair],
            &["undo", "--store", "x:y", "--resource", bad],
        ] {
            let ran = run(args);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
            assert!(!ran.err.contains(secret) && ran.err.contains("--"), "{args:?}: {}", ran.err);
        }
        let ran = run_with(&["--help"], &[("DTX_STORE_URL", bad), ("DTX_RESOURCES", &pair)]);
        assert!(!ran.out.contains(secret) && ran.code == 0, "{}", ran.out);
    }
    // A URL where none is expected: the error would quote it.
    let lost = "postgres://ann:hunter2@db/x";
    for args in [&["list", lost][..], &[lost], &["list", "--limit", lost], &["inspect", "a", "b", lost]] {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.contains(secret) && ran.err.contains("postgres://…"), "{args:?}: {}", ran.err);
    }
}

#[test]
fn each_command_has_help_with_an_example() {
    let help = run(&["--help"]).good();
    assert!(help.contains("sqlite:PATH") && help.contains("DTX_STORE_URL") && help.contains("DTX_RESOURCES"), "{help}");
    for command in ["list", "show", "locks", "waiters", "undo", "parked", "inspect", "repair", "rollback"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = run(&[command, "--help"]).good();
        assert!(help.contains(&format!("Example: onceward-dtx {command}")), "{help}");
    }
}
