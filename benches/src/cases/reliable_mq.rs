//! The outbox and the relay on PostgreSQL, beside the same statements and publishes by the bare drivers.

mod enqueue;
mod latency;
mod many;
pub mod open_loop;
mod relay;

use crate::case::{Case, Side};

/// Enqueueing in a transaction, and relaying what was enqueued.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "enqueue in a transaction; PostgreSQL",
            vec![
                Side::new("plain sqlx", enqueue::bare),
                Side::new("Outbox", enqueue::outbox),
                Side::new("the transaction without a message", enqueue::alone),
            ],
        ),
        Case::new(
            "enqueue, commit, wait for the broker; PostgreSQL",
            vec![
                Side::new("the transaction without a message", enqueue::alone),
                Side::new("until a broker in memory has it", latency::memory),
                Side::new("until RabbitMQ has confirmed it", latency::rabbitmq),
            ],
        ),
        Case::new(
            "500 enqueued in a transaction; PostgreSQL",
            vec![
                Side::new("one insert of arrays, plain sqlx", many::bare),
                Side::new("Outbox::enqueue_all", many::all),
                Side::new("Outbox::enqueue, 500 times", many::each),
            ],
        ),
        Case::new(
            "relay; PostgreSQL to a broker in memory",
            vec![
                Side::new("select 500, delete them, plain sqlx", relay::memory_bare),
                Side::new("Relay, history in batches", relay::memory_batches),
                Side::new("Relay, a history row each", relay::memory_rows),
                Side::new("Relay, history in batches, beside a writer that stays open", relay::memory_held),
            ],
        )
        .at_most(1)
        .runs_out(),
        Case::new(
            "relay; PostgreSQL to RabbitMQ",
            vec![
                Side::new("publish and confirm the same windows, plain lapin, no database", relay::rabbitmq_bare),
                Side::new(
                    "the same with topic, key, time and place, as a relay sends them",
                    relay::rabbitmq_bare_whole,
                ),
                Side::new("Relay, history in batches", relay::rabbitmq_batches),
                Side::new("Relay, a history row each", relay::rabbitmq_rows),
            ],
        )
        .at_most(1)
        .runs_out(),
    ]
}
