//! Databases that are not what they were given for: nothing is made in them, and no secret is told.

use onceward_backend::{sqlite, sqlx};

use crate::scene::Scene;
use crate::tool::{run, run_with, url};

const COMMANDS: [&[&str]; 8] = [
    &["status"],
    &["list"],
    &["show", "x"],
    &["dead"],
    &["replay", "--all"],
    &["resend", "--all"],
    &["release", "x"],
    &["purge", "--older-than", "0s"],
];

#[tokio::test]
async fn a_database_without_the_tables_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let pool = sqlite::open(&path).await.unwrap();
    sqlx::query("create table other (id integer primary key)").execute(&pool).await.unwrap();
    pool.close().await;
    let bytes = std::fs::read(&path).unwrap();
    for args in COMMANDS {
        let told = run(&[&["--store", &url(&path)], args].concat()).bad(2);
        assert!(told.contains("--store: no database with an outbox") && told.contains("check that"), "{told}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{args:?}");
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["other.db"], "{args:?}");
    }
    let absent = folder.path().join("absent.db");
    let told = run(&["list", "--store", &url(&absent)]).bad(2);
    assert!(told.contains("there is no file") && !absent.exists(), "{told}");
}

#[tokio::test]
async fn tables_of_another_version_are_refused() {
    for (change, said) in [
        ("insert into onceward_migrations values ('reliable-mq', 99, 'x')", "newer than this version"),
        ("delete from onceward_migrations where number = 3", "older than this version"),
        ("update onceward_migrations set checksum = 'x'", "another text"),
    ] {
        let scene = Scene::new().await;
        scene.execute(change).await;
        let told = scene.run(&["list"]).bad(2);
        assert!(told.contains(said) && told.contains("of their version"), "{told}");
    }
}

#[tokio::test]
async fn the_environment_names_the_database_too() {
    let scene = Scene::new().await;
    let listed = run_with(&["dead"], &[("MQ_STORE_URL", &scene.url())]).good();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let told = run_with(&["dead", "--store", "sqlite:nowhere.db"], &[("MQ_STORE_URL", &scene.url())]).bad(2);
    assert!(told.contains("nowhere.db"), "what is said at the call counts alone: {told}");
    let told = run(&["list"]).bad(2);
    assert!(told.contains("--store URL, or MQ_STORE_URL"), "{told}");
}

#[test]
fn whatever_is_wrong_with_a_url_its_secret_is_not_told() {
    let secret = "hunter2";
    for bad in ["x://ann:hunter2@db/x", "hunter2", "postgres//ann:hunter2@db", "postgres://ann:hunter2@db:port/x", ""] {
        let ran = run(&["list", "--store", bad]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{bad}");
        assert!(!ran.err.contains(secret) && ran.err.contains("--store"), "{}", ran.err);
        let ran = run_with(&["--help"], &[("MQ_STORE_URL", bad)]);
        assert!(!ran.out.contains(secret) && ran.code == 0, "{}", ran.out);
    }
    // A URL where none is expected: the error would quote it.
    let lost = "postgres://ann:hunter2@db/x";
    for args in [&["list", lost][..], &[lost], &["list", "--limit", lost], &["replay", "--rate", lost]] {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.contains(secret) && ran.err.contains("postgres://…"), "{args:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_url_that_is_taken_for_a_message_is_not_told_either() {
    let scene = Scene::new().await;
    for command in ["show", "replay", "resend"] {
        let told = scene.run(&[command, "postgres://ann:hunter2@db/x"]).bad(1);
        assert!(!told.contains("hunter2") && told.contains("postgres://…"), "{told}");
    }
}

#[test]
fn each_command_has_help_with_an_example() {
    let help = run(&["--help"]).good();
    assert!(help.contains("sqlite:PATH") && help.contains("MQ_STORE_URL"), "{help}");
    for command in ["status", "list", "show", "dead", "replay", "resend", "release", "purge", "schema"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = run(&[command, "--help"]).good();
        assert!(help.contains(&format!("Example: onceward-mq {command}")), "{help}");
    }
}
