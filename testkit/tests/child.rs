//! Child processes, with the shell as the child.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use std::path::Path;
use std::time::Duration;

use testkit::{Child, Exit};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Child {
    Child::of("sh").args(["-c", script]).start()
}

fn runs(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test]
async fn lines_of_both_streams_in_turn() {
    let mut child = shell("echo one; echo two >&2; echo three; read wait");
    child.wait_for_line(|line| line == "one", SOON).await;
    child.wait(SOON).await;
    assert_eq!(child.stdout(), ["one", "three"]);
    assert_eq!(child.stderr(), ["two"]);
}

#[tokio::test]
async fn a_line_is_offered_once() {
    let mut child = shell("echo tick; echo tick; exec sleep 100");
    child.wait_for_line(|line| line == "tick", SOON).await;
    child.wait_for_line(|line| line == "tick", SOON).await;
}

#[tokio::test]
async fn arguments_environment_and_directory() {
    let mut child = Child::of("sh")
        .args(["-c", "echo \"$1 $COLOUR ${HOME-none} $(pwd)\"", "sh"])
        .arg("first")
        .env("COLOUR", "blue")
        .env_remove("HOME")
        .dir("/")
        .start();
    child.wait_for_line(|line| line == "first blue none /", SOON).await;
}

#[tokio::test]
async fn waits_for_a_mark() {
    let mut child = shell("echo mark relay.sent; exec sleep 100");
    child.wait_for_mark("relay.sent", SOON).await;
    assert_eq!(child.try_exit(), None);
}

#[tokio::test]
#[should_panic(expected = "a clue")]
async fn a_missing_line_shows_the_last_ones() {
    let mut child = shell("echo a clue; exec sleep 100");
    child.wait_for_line(|line| line == "never", Duration::from_millis(300)).await;
}

#[tokio::test]
#[should_panic(expected = "exit Some(Code(3))")]
async fn a_child_that_ends_early_is_noticed_at_once() {
    let mut child = shell("exit 3");
    child.wait(SOON).await;
    child.wait_for_line(|_| false, Duration::from_secs(3600)).await;
}

#[tokio::test]
async fn terminates_with_its_own_exit_code() {
    let mut child = shell("trap 'echo draining; exit 7' TERM; echo ready; while :; do sleep 0.02; done");
    child.wait_for_line(|line| line == "ready", SOON).await;
    assert_eq!(child.terminate(SOON).await, Exit::Code(7));
    assert_eq!(child.stdout(), ["ready", "draining"]);
    assert!(!Exit::Code(7).success());
}

#[tokio::test]
#[should_panic(expected = "still running")]
async fn a_child_that_ignores_the_request_is_reported() {
    let mut child = shell("trap '' TERM; echo ready; exec sleep 100");
    child.wait_for_line(|line| line == "ready", SOON).await;
    child.terminate(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn kills_and_reaps() {
    let mut child = shell("exec sleep 100");
    let id = child.id();
    assert!(runs(id));
    child.kill();
    assert!(!runs(id), "reaped, so not even a zombie is left");
    assert_eq!(child.try_exit(), Some(Exit::Signal(9)));
    child.kill();
    child.signal("TERM");
}

#[tokio::test]
async fn stops_and_continues() {
    let mut child = shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done");
    child.wait_for_line(|line| line == "1", SOON).await;
    child.signal("STOP");
    testkit::eventually(SOON, async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        if stat.contains(") T ") { Ok(()) } else { Err(stat) }
    })
    .await;
    let stopped_at = child.stdout().len();
    child.signal("CONT");
    let wanted = (stopped_at + 3).to_string();
    child.wait_for_line(|line| line == wanted, SOON).await;
}

#[tokio::test]
async fn is_gone_with_its_guard() {
    let child = shell("exec sleep 100");
    let id = child.id();
    drop(child);
    assert!(!runs(id));
}

#[tokio::test]
async fn odd_bytes_and_long_output_do_not_block_it() {
    let mut child =
        shell("printf '\\377\\n'; i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo end");
    child.wait_for_line(|line| line == "end", Duration::from_secs(60)).await;
    assert_eq!(child.stdout().len(), 20_002);
    assert!(child.wait(SOON).await.success());
}
