//! Each demonstration by its name, with the words that it has to show.

use crate::place::Place;
use crate::support::ended;

async fn shows(demo: &str, words: &[&str]) {
    let (code, out, err) = ended(Place::new().launch().args(["demo", demo])).await;
    assert_eq!(code, 0, "{out}\n{err}");
    for word in words {
        assert!(out.contains(word), "{word} is not in {out}");
    }
}

#[tokio::test]
async fn the_wallet_is_killed_after_it_has_charged() {
    shows("kill-wallet", &["rows stay locked in ledger, wallets", "the charge is undone", "2 × 303"]).await;
}

#[tokio::test]
async fn the_initiator_is_killed_before_it_decides() {
    shows("kill-order-tm", &["its process ended before the decision", "as before, no order", "2 × 303"]).await;
}

#[tokio::test]
async fn the_coordinator_is_killed_in_the_second_phase() {
    shows("kill-coordinator", &["nobody is there", "has read the decision", "2 × 303"]).await;
}

#[tokio::test]
async fn a_product_is_sold_out_in_the_middle() {
    shows("stock-short", &["409", "no order, the cart as it was", "taken back"]).await;
}

#[tokio::test]
async fn the_broker_is_gone_while_people_order() {
    let words =
        ["down: broker", "6 × 303", "none is notified", "6 messages wait", "0 attempts spent", "1 for each order"];
    shows("broker-down", &words).await;
}

#[tokio::test]
async fn a_message_that_no_handler_can_read_is_parked_alone() {
    let words = [
        "given up after 1 attempt: the payload cannot be read",
        "sent at attempt 1",
        "an order behind it",
        "parked again",
        "no dead letter is left",
    ];
    shows("poison-message", &words).await;
}
