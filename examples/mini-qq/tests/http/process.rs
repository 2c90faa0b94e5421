//! The program: its lines, its signals, and what survives a SIGKILL.

use std::path::Path;
use std::time::Duration;

use testkit::{Child, Exit};

use crate::site::*;

const SOON: Duration = Duration::from_secs(30);

struct Program {
    child: Child,
    origin: String,
}

async fn start(listen: &str, data: Option<&Path>, clients: &[&str]) -> Program {
    let mut launch = Child::of(env!("CARGO_BIN_EXE_mini-qq")).args(["--listen", listen]);
    if let Some(data) = data {
        launch = launch.arg("--data").arg(data);
    }
    for client in clients {
        launch = launch.args(["--client", client]);
    }
    let mut child = launch.start();
    let line = child.wait_for_line(|line| line.starts_with("mini-qq listening on "), SOON).await;
    let origin = line.strip_prefix("mini-qq listening on ").unwrap().to_owned();
    Program { child, origin }
}

fn shop() -> String {
    format!("shop:{SECRET}:{CALLBACK}")
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_answered() {
    let data = tempfile::tempdir().unwrap();
    let mut first = start("127.0.0.1:0", Some(data.path()), &[&shop()]).await;
    let origin = first.origin.clone();
    let browser = Browser::new(&origin);
    let used = browser.code(&asks("shop"), "alice").await;
    let tokens = json(get(&origin, "/oauth2.0/token", &with(exchange("shop", &used), "fmt", "json")).await).await;
    let access = text(&tokens["access_token"]);
    let me = [("access_token", access.as_str()), ("fmt", "json")];
    let before = json(get(&origin, "/oauth2.0/me", &me).await).await;
    let given = browser.code(&asks("shop"), "bob").await;
    let open = browser.page(&asks("shop")).await;
    first.child.kill();

    // The same port, and no client on the command line: the folder remembers it.
    let second = start(origin.strip_prefix("http://").unwrap(), Some(data.path()), &[]).await;
    assert_eq!(second.origin, origin);
    assert_eq!(json(get(&origin, "/oauth2.0/me", &me).await).await, before, "the token and the openid");
    let answer = json(get(&origin, "/oauth2.0/token", &with(exchange("shop", &given), "fmt", "json")).await).await;
    assert!(answer["access_token"].is_string(), "the code that was given: {answer}");
    let back = browser.send(&open, &[("user", "alice"), ("decision", "approve")]).await;
    let code = parameters(&location(&back))["code"].clone();
    let answer = json(get(&origin, "/oauth2.0/token", &with(exchange("shop", &code), "fmt", "json")).await).await;
    let again = text(&answer["access_token"]);
    let again = [("access_token", again.as_str()), ("fmt", "json")];
    assert_eq!(json(get(&origin, "/oauth2.0/me", &again).await).await, before, "the page that was open");
    let answer = json(get(&origin, "/oauth2.0/token", &with(exchange("shop", &used), "fmt", "json")).await).await;
    assert_eq!(answer["error"], 100_020, "a code spent before the kill stays spent");
    assert_eq!(json(get(&origin, "/oauth2.0/me", &me).await).await["error"], 100_015);
}

#[tokio::test]
async fn the_folder_holds_no_secret_in_the_clear() {
    let data = tempfile::tempdir().unwrap();
    let program = start("127.0.0.1:0", Some(data.path()), &[&shop()]).await;
    let code = Browser::new(&program.origin).code(&asks("shop"), "alice").await;
    let query = with(exchange("shop", &code), "fmt", "json");
    let tokens = json(get(&program.origin, "/oauth2.0/token", &query).await).await;
    let secrets = [SECRET.to_owned(), code, text(&tokens["access_token"]), text(&tokens["refresh_token"])];
    let mut files = 0;
    for file in std::fs::read_dir(data.path()).unwrap() {
        let kept = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!secrets.iter().any(|secret| kept.contains(secret)), "{kept}");
        files += usize::from(!kept.is_empty());
    }
    assert_eq!(files, 2);
    let log = program.child.stderr().join("\n");
    assert!(!secrets.iter().any(|secret| log.contains(secret)), "{log}");
}

#[tokio::test]
async fn it_ends_when_it_is_asked_to() {
    for signal in ["TERM", "INT"] {
        let mut program = start("127.0.0.1:0", None, &[]).await;
        assert_eq!(get(&program.origin, "/healthz", &[]).await.text().await.unwrap(), "ok");
        program.child.signal(signal);
        assert_eq!(program.child.wait(SOON).await, Exit::Code(0), "{signal}");
        assert_eq!(program.child.stdout().len(), 1);
    }
}

#[tokio::test]
async fn two_programs_do_not_share_a_folder() {
    let data = tempfile::tempdir().unwrap();
    let _first = start("127.0.0.1:0", Some(data.path()), &[]).await;
    let mut second =
        Child::of(env!("CARGO_BIN_EXE_mini-qq")).args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()).start();
    assert_eq!(second.wait(SOON).await, Exit::Code(1));
    let said = second.stderr().join("\n");
    assert!(said.contains("in use") && said.contains(&data.path().display().to_string()), "{said}");
}

#[tokio::test]
async fn there_are_no_default_credentials_and_bad_ones_are_refused() {
    let program = start("127.0.0.1:0", None, &[]).await;
    assert_eq!(Browser::new(&program.origin).ask(&asks("shop")).await.status(), 400);
    let mut help = Child::of(env!("CARGO_BIN_EXE_mini-qq")).arg("--help").start();
    assert!(help.wait(SOON).await.success());
    for word in ["--listen", "--data", "--client"] {
        assert!(help.stdout().join("\n").contains(word), "{word}");
    }
    for client in ["shop", "shop::http://127.0.0.1/cb", "shop:secret:/cb"] {
        let mut child =
            Child::of(env!("CARGO_BIN_EXE_mini-qq")).args(["--listen", "127.0.0.1:0", "--client", client]).start();
        assert!(matches!(child.wait(SOON).await, Exit::Code(1 | 2)), "{client}");
    }
}
