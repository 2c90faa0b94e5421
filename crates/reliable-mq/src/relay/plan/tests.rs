use std::time::Duration;

use super::*;
use crate::{
    message::{Envelope, Message, MessageId},
    store::Place,
};

fn queued(n: usize, key: Option<&str>) -> Queued {
    let draft = Message::to("t");
    let message = key.map_or_else(|| draft.clone(), |key| draft.clone().key(key)).text("").unwrap();
    let id = MessageId::parse(n.to_string()).unwrap();
    Queued { envelope: Envelope::new(id, message, 0), lane: 0, place: Place::Hot, sequence: 1, attempts: 0, flaw: None }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reason: "cut".to_owned() }
}

fn policy(attempts: u32) -> RelayOptions {
    let retry = crate::relay::options::policy(Duration::from_millis(10), Duration::from_secs(1), attempts);
    RelayOptions::default().with_retry(retry)
}

#[test]
fn a_wave_never_holds_a_key_twice_and_keeps_the_order() {
    let keys = [Some("a"), None, Some("b"), Some("a"), Some("a"), None, Some("b")];
    let batch: Vec<Queued> = keys.iter().enumerate().map(|(n, key)| queued(n, *key)).collect();
    assert_eq!(waves(&batch, Order::Strict), [vec![0, 1, 2, 5], vec![3, 6], vec![4]]);
    assert!(waves(&[], Order::Strict).is_empty());
}

#[test]
fn keyless_messages_are_one_wave() {
    let batch: Vec<Queued> = (0..5).map(|n| queued(n, None)).collect();
    assert_eq!(waves(&batch, Order::Strict), [vec![0, 1, 2, 3, 4]]);
}

#[test]
fn without_strict_order_a_batch_is_one_wave() {
    let batch: Vec<Queued> = (0..3).map(|n| queued(n, Some("k"))).collect();
    for order in [Order::Relaxed, Order::None] {
        assert_eq!(waves(&batch, order), [vec![0, 1, 2]]);
        assert!(waves(&[], order).is_empty());
        let options = policy(12).with_order(order);
        let refused = verdict(&Outcome::Unroutable, false, 0, &options, || 0.5);
        assert!(matches!(refused, Some(Verdict::Retry { blocks, .. }) if blocks == (order == Order::Relaxed)));
    }
}

#[test]
fn a_read_that_used_up_its_budget_may_have_left_something() {
    let batch: Vec<Queued> = (0..3).map(|n| Queued { lane: u32::from(n == 2), ..queued(n, None) }).collect();
    let budget = |messages, bytes| Budget { messages, bytes };
    assert!(is_full(&batch, budget(2, 100)) && !is_full(&batch, budget(3, 100)));
    assert!(is_full(&batch, budget(3, 0)) && !is_full(&[], budget(1, 1)));
}

#[test]
fn of_large_messages_fewer_are_asked_for_next() {
    let read = |messages, bytes: usize| {
        let draft = Message::to("t").payload(vec![0; bytes]).unwrap();
        let large = |n| Queued {
            envelope: Envelope::new(MessageId::parse("id").unwrap(), draft.clone(), 0),
            ..queued(n, None)
        };
        (0..messages).map(large).collect::<Vec<_>>()
    };
    let asked = Budget { messages: 64, bytes: 800 };
    assert_eq!(next_limit(&read(16, 50), asked, 4, 250), 4, "of each lane, so that all together are one budget");
    assert_eq!(next_limit(&read(2, 500), asked, 4, 250), 1, "one may be larger than the budget");
    assert_eq!(next_limit(&read(10, 50), asked, 4, 250), 64);
    assert_eq!(next_limit(&read(64, 1), asked, 4, 250), 128);
    assert_eq!(next_limit(&read(64, 1), asked, 4, 100), 100);
}

#[test]
fn an_unreachable_broker_spends_nothing() {
    let down = Health::Down("refused".to_owned());
    assert!(is_outage(&[unknown(), unknown()], &down, 100));
    assert_eq!(verdict(&unknown(), true, 11, &policy(12), || 0.5), None);
}

#[test]
fn a_message_without_an_answer_among_answered_ones_spends_an_attempt() {
    assert!(!is_outage(&[Outcome::Accepted, unknown()], &Health::Down(String::new()), 1));
    assert!(matches!(verdict(&unknown(), false, 0, &policy(12), || 0.5), Some(Verdict::Retry { .. })));
}

#[test]
fn a_message_that_is_never_answered_cannot_block_its_lane_for_ever() {
    assert!(is_outage(&[unknown()], &Health::Up, PATIENCE - 1));
    assert!(!is_outage(&[unknown()], &Health::Up, PATIENCE));
}

#[test]
fn the_silence_of_an_outage_is_not_held_against_a_message() {
    let (down, wave) = (Health::Down("refused".to_owned()), [unknown()]);
    assert_eq!(ignored(2, &wave, &down), 0);
    assert_eq!(ignored(2, &wave, &Health::Up), 3);
    assert_eq!(ignored(2, &[Outcome::Accepted, unknown()], &Health::Up), 0);
}

#[test]
fn the_budget_ends_in_the_dead_letters() {
    let refused = Outcome::Rejected { reason: "full".to_owned(), permanent: false };
    for spent in 0..2 {
        let verdict = verdict(&refused, false, spent, &policy(3), || 0.5);
        assert!(matches!(verdict, Some(Verdict::Retry { .. })), "{spent}: {verdict:?}");
    }
    assert_eq!(
        verdict(&refused, false, 2, &policy(3), || 0.5),
        Some(Verdict::Dead { error: "rejected: full".to_owned() })
    );
    assert!(matches!(verdict(&Outcome::Unroutable, false, 0, &policy(3), || 0.5), Some(Verdict::Retry { .. })));
}

#[test]
fn what_no_repeat_can_mend_is_dead_at_once() {
    let refused = Outcome::Rejected { reason: "too large".to_owned(), permanent: true };
    assert!(matches!(verdict(&refused, false, 0, &policy(12), || 0.5), Some(Verdict::Dead { .. })));
}

#[test]
fn an_outcome_that_the_broker_left_out_is_never_taken_for_accepted() {
    assert_eq!(
        complete(vec![Outcome::Accepted], 3)[1..].iter().filter(|o| matches!(o, Outcome::Unknown { .. })).count(),
        2
    );
    assert_eq!(complete(vec![Outcome::Accepted; 5], 3).len(), 3);
}
