//! `resend`: what failed and waits is due now.

use serde_json::json;

use crate::scene::Scene;
use crate::tool::each;

#[tokio::test]
async fn what_has_failed_is_sent_by_the_next_round_in_the_order_of_its_key() {
    let scene = Scene::new().await;
    scene.relay.step().await.unwrap();
    assert_eq!(scene.accepted("refused"), [""; 0], "it waits for an hour");
    let text = scene.run(&["resend", "--topic", "refused"]).good();
    assert!(text.ends_with("\n1 made due\n"), "{text}");
    scene.relay.step().await.unwrap();
    assert_eq!(scene.accepted("refused"), ["first"]);
    let order: Vec<_> = scene.broker.texts();
    let at = |text: &str| order.iter().position(|sent| sent == text).unwrap();
    assert!(at("first") < at("second"), "{order:?}");
    let attempts = scene.run(&["show", "failed", "--json"]).json();
    assert_eq!(each(&attempts["history"], "outcome"), ["failed", "sent"]);
    assert_eq!(attempts["message"]["attempts"], 2, "it kept its attempts");
    let told = scene.run(&["resend", "failed"]).bad(1);
    assert!(told.contains("failed is no failed message"), "{told}");
}

#[tokio::test]
async fn what_its_sender_delayed_is_left_to_its_time() {
    let scene = Scene::new().await;
    let told = scene.run(&["resend", "delayed"]).bad(1);
    assert!(told.contains("delayed is no failed message"), "{told}");
    let json = scene.run(&["resend", "--all", "--json"]).json();
    assert_eq!((&json["done"], each(&json["messages"], "message_id")), (&json!(1), vec!["failed"]));
    scene.relay.step().await.unwrap();
    assert_eq!(scene.accepted("later"), [""; 0]);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_nothing_is_chosen_by_nothing() {
    let scene = Scene::new().await;
    let text = scene.run(&["resend", "--key", "k", "--dry-run"]).good();
    assert!(text.ends_with("tried only: 1 would be made due\n"), "{text}");
    assert!(scene.run(&["resend"]).bad(2).contains("--all"));
    scene.relay.step().await.unwrap();
    assert_eq!(scene.accepted("refused"), [""; 0]);
}
