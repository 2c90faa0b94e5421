//! What an open loop shows: how long each message took, however long those before it did. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::stats::percentile;

/// How fast messages come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many producers take turns.
    pub producers: u32,
    /// Messages a second of all together.
    pub per_second: u32,
    /// For how long.
    pub span: Duration,
}

impl Pace {
    /// When this producer's messages are due, after the begin.
    pub fn of(self, producer: u32) -> impl Iterator<Item = Duration> {
        let due = move |n: u32| Duration::from_secs(1) * (n * self.producers + producer) / self.per_second;
        (0..).map(due).take_while(move |due| *due < self.span)
    }
}

/// How long one message took until its broker had acknowledged it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Since the commit was known to its producer.
    pub since_commit: Duration,
    /// Since its transaction was due to begin: a producer that is late counts, and so does the transaction.
    pub since_due: Duration,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// The broker.
    pub broker: &'static str,
    /// What became of each message.
    pub sent: Vec<Sent>,
    /// The share of all processors, 0 to 1, that others used; unknown where there is no `/proc`.
    pub others: Option<f64>,
}

/// Two rows for each run.
pub fn table(runs: &[Run]) -> String {
    let mut text = String::from(
        "| broker | messages | acknowledged after | p50 µs | p99 µs | max µs | others |\n|---|--:|---|--:|--:|--:|--:|\n",
    );
    for Run { broker, sent, others } in runs {
        let others = others.map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let mut row = |broker: &str, messages: &str, others: &str, after: &str, of: fn(&Sent) -> Duration| {
            let mut times: Vec<Duration> = sent.iter().map(of).collect();
            times.sort_unstable();
            let [p50, p99, max] = [50, 99, 100].map(|hundredths| percentile(&times, hundredths).as_micros());
            let _ = writeln!(text, "| {broker} | {messages} | {after} | {p50} | {p99} | {max} | {others} |");
        };
        row(broker, &sent.len().to_string(), &others, "its commit", |sent| sent.since_commit);
        row("", "", "", "its transaction was due", |sent| sent.since_due);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_producers_take_turns_at_the_pace() {
        let pace = Pace { producers: 2, per_second: 8, span: Duration::from_secs(1) };
        let of = |producer| pace.of(producer).map(|due| due.as_millis()).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec![0, 250, 500, 750], vec![125, 375, 625, 875]));
    }

    #[test]
    fn a_run_has_a_row_for_each_begin() {
        let sent =
            |n: u64| Sent { since_commit: Duration::from_micros(n), since_due: Duration::from_micros(n + 1_000) };
        let text = table(&[Run { broker: "memory", sent: (1..=200).map(sent).collect(), others: Some(0.021) }]);
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| memory | 200 | its commit | 100 | 198 | 200 | 2 % |",
                "|  |  | its transaction was due | 1100 | 1198 | 1200 |  |"
            ]
        );
    }
}
