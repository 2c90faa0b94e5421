//! Updated rows as a branch of a global transaction, beside the same updates in a local transaction.
//!
//! The second phase is included: the worker runs beside the clients, and a round ends when every undo record is gone.

mod at;
mod coordinator;
mod far;
mod seata;
mod sqlite;

use std::time::Duration;

use crate::case::{Case, Side};

/// On SQLite, where one client is as many as can write, and on PostgreSQL, near and farther away.
pub fn cases() -> Vec<Case> {
    let (three, transfer) = (Job { statements: 3, ..Job::ONE }, Job { databases: 3, ..Job::ONE });
    let far = Duration::from_millis(5);
    vec![
        Case::new(
            "one-statement branch; SQLite",
            vec![
                Side::new("plain transaction", sqlite::plain),
                Side::new("AT, coordinator in memory", at::sqlite_memory),
                Side::new("AT, coordinator in a file", at::sqlite_file),
            ],
        )
        .at_most(1),
        postgres("one-statement branch; PostgreSQL", Job::ONE),
        postgres("one-statement branch; PostgreSQL 5 ms away", Job { trip: far, ..Job::ONE }),
        postgres("three-statement branch; PostgreSQL", three),
        postgres("three-statement branch; PostgreSQL 5 ms away", Job { trip: far, ..three }),
        postgres("one-statement branch, all on one row; PostgreSQL", Job { rows: 1, ..Job::ONE }),
        Case::new(
            "transfer over three databases; PostgreSQL",
            vec![
                Side::new("three plain transactions", move |setting| seata::plain(setting, transfer)),
                Side::new("AT, coordinator in memory", move |setting| at::postgres_memory(setting, transfer)),
                Side::new("AT, coordinator in PostgreSQL", move |setting| at::postgres_postgres(setting, transfer)),
            ],
        ),
        Case::new(
            "coordinator: begin, register, commit; SQLite",
            vec![
                Side::new("one row, committed by itself", coordinator::sqlite_row),
                Side::new("a global transaction, to its end", coordinator::sqlite),
            ],
        ),
        Case::new(
            "coordinator: begin, register, commit; PostgreSQL",
            vec![
                Side::new("one row, committed by itself", coordinator::postgres_row),
                Side::new("a global transaction, to its end", coordinator::postgres),
            ],
        ),
    ]
}

fn postgres(name: &'static str, job: Job) -> Case {
    Case::new(
        name,
        vec![
            Side::new("plain transaction", move |setting| seata::plain(setting, job)),
            Side::new("Seata's statement sequence", move |setting| seata::sequence(setting, job)),
            Side::new("AT, coordinator in memory", move |setting| at::postgres_memory(setting, job)),
            Side::new("AT, coordinator in PostgreSQL", move |setting| at::postgres_postgres(setting, job)),
        ],
    )
    .rival(1)
}

/// What one transaction does.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// In how many databases it works, one after the other: a transfer.
    databases: usize,
    /// How many statements it has in each; each changes one row.
    statements: u64,
    /// How many rows they take theirs from, by chance.
    rows: u64,
    /// How much longer a trip to the database takes than on this machine.
    trip: Duration,
}

impl Job {
    const ONE: Self = Self { databases: 1, statements: 1, rows: ROWS, trip: Duration::ZERO };

    /// The rows of this turn. Each statement has a part of the table to itself, so rows are locked in one order everywhere.
    fn ids(self, seed: u64, turn: u64) -> impl Iterator<Item = i64> + Send {
        let mut rng = testkit::Rng::new(seed ^ turn.rotate_left(32));
        let part = self.rows / self.statements;
        (0..self.statements).map(move |nth| i64::try_from(nth * part + rng.below(part)).unwrap_or_default())
    }
}

/// How many rows there are.
const ROWS: u64 = 10_000;
const UPDATE: &str = "update stock set quantity = quantity - 1 where id = $1";
const TABLE: &str = "create table stock (id bigint primary key, quantity bigint not null, name text not null)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_turn_ascend_and_differ_from_turn_to_turn() {
        let job = Job { statements: 3, ..Job::ONE };
        let turns: Vec<Vec<i64>> = (0..100).map(|turn| job.ids(1, turn).collect()).collect();
        assert!(
            turns.iter().all(|ids| ids.len() == 3 && ids.is_sorted_by(|a, b| a < b) && ids[2] < 10_000),
            "{turns:?}"
        );
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
        assert_eq!(Job { rows: 1, ..Job::ONE }.ids(1, 7).collect::<Vec<_>>(), [0]);
    }
}
