//! The result as a Markdown table. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::stats::Summary;

/// A case with the summaries of its sides, the baseline first.
#[derive(Debug)]
pub struct Measured {
    /// Job and place.
    pub case: &'static str,
    /// How many clients worked.
    pub clients: usize,
    /// Name and summary of each side.
    pub sides: Vec<(&'static str, Summary)>,
}

/// One row per side.
pub fn table(measured: &[Measured]) -> String {
    let mut text = String::from(
        "| case | clients | side | per second (min..max) | ratio (min..max) | p50 µs | p99 µs | others |\n\
         |---|--:|---|--:|--:|--:|--:|--:|\n",
    );
    for Measured { case, clients, sides } in measured {
        for (at, (side, summary)) in sides.iter().enumerate() {
            let (rate, least, most) = summary.rate;
            let ratio = match summary.ratio {
                _ if at == 0 => "1".to_owned(),
                (ratio, least, most) => format!("**{ratio:.2}** ({least:.2}..{most:.2})"),
            };
            let (case, clients) = if at == 0 { (*case, clients.to_string()) } else { ("", String::new()) };
            let others = summary.others.map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", 100.0 * share));
            let (p50, p99) = (micros(summary.p50), micros(summary.p99));
            let _ = writeln!(
                text,
                "| {case} | {clients} | {side} | {rate:.0} ({least:.0}..{most:.0}) | {ratio} | {p50} | {p99} | {others} |"
            );
        }
    }
    text
}

fn micros(latency: Duration) -> u128 {
    latency.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_side_and_the_baseline_is_one() {
        let side = |rate: f64, ratio: f64, others| Summary {
            rate: (rate, rate - 1.0, rate + 1.0),
            p50: Duration::from_micros(120),
            p99: Duration::from_micros(990),
            ratio: (ratio, ratio - 0.1, ratio + 0.1),
            others,
        };
        let sides = vec![("bare", side(100.0, 1.0, Some(0.034))), ("ours", side(75.0, 0.75, None))];
        let text = table(&[Measured { case: "get", clients: 8, sides }]);
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| get | 8 | bare | 100 (99..101) | 1 | 120 | 990 | 3 % |",
                "|  |  | ours | 75 (74..76) | **0.75** (0.65..0.85) | 120 | 990 | ? |",
            ]
        );
        let columns = |row: &str| row.matches('|').count();
        assert!(text.lines().all(|row| columns(row) == columns(rows[0])), "{text}");
    }
}
