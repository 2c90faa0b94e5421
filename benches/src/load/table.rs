//! The result as a Markdown table. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::stats::Summary;

/// A case with the results of its sides, the baseline first.
#[derive(Debug)]
pub struct Measured {
    /// Job and place.
    pub case: &'static str,
    /// How many clients worked.
    pub clients: usize,
    /// What each side did.
    pub sides: Vec<Row>,
}

/// A side's result.
#[derive(Debug)]
pub struct Row {
    /// The side.
    pub name: &'static str,
    /// What it did.
    pub summary: Summary,
    /// Median, least and greatest ratio to the baseline, and to others by name.
    pub ratios: Vec<(&'static str, (f64, f64, f64))>,
}

/// One row per side.
pub fn table(measured: &[Measured]) -> String {
    let mut text = String::from(
        "| case | clients | side | per second (min..max) | ratio (min..max) | p50 µs | p99 µs | cpu µs | backlog | others |\n\
         |---|--:|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for Measured { case, clients, sides } in measured {
        for (at, Row { name, summary, ratios }) in sides.iter().enumerate() {
            let (case, clients) = if at == 0 { (*case, clients.to_string()) } else { ("", String::new()) };
            let (rate, least, most) = summary.rate;
            let ratio = if at == 0 { "1".to_owned() } else { ratios.iter().map(ratio).collect::<Vec<_>>().join("; ") };
            let backlog = percent(summary.backlog);
            let others = summary.others.map_or_else(unknown, percent);
            let (p50, p99) = (micros(summary.p50), micros(summary.p99));
            let cpu = summary.cpu.map_or_else(unknown, micros);
            let _ = writeln!(
                text,
                "| {case} | {clients} | {name} | {rate:.0} ({least:.0}..{most:.0}) | {ratio} | {p50} | {p99} | {cpu} | {backlog} | {others} |"
            );
        }
    }
    text
}

fn ratio((to, (ratio, least, most)): &(&'static str, (f64, f64, f64))) -> String {
    let to = if to.is_empty() { String::new() } else { format!("to {to} ") };
    format!("{to}**{ratio:.2}** ({least:.2}..{most:.2})")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

fn unknown() -> String {
    "?".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_side_and_the_baseline_is_one() {
        let row = |name, rate: f64, others: Option<f64>, ratios| {
            let (p50, p99) = (Duration::from_micros(120), Duration::from_micros(990));
            let cpu = Some(Duration::from_micros(80)).filter(|_| others.is_some());
            Row {
                name,
                summary: Summary { rate: (rate, rate - 1.0, rate + 1.0), p50, p99, backlog: 0.25, cpu, others },
                ratios,
            }
        };
        let sides = vec![
            row("bare", 100.0, Some(0.034), vec![("", (1.0, 1.0, 1.0))]),
            row("peer", 50.0, None, vec![("", (0.5, 0.4, 0.6))]),
            row("ours", 75.0, None, vec![("", (0.75, 0.65, 0.85)), ("peer", (1.5, 1.4, 1.6))]),
        ];
        let text = table(&[Measured { case: "get", clients: 8, sides }]);
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| get | 8 | bare | 100 (99..101) | 1 | 120 | 990 | 80 | 25 % | 3 % |",
                "|  |  | peer | 50 (49..51) | **0.50** (0.40..0.60) | 120 | 990 | ? | 25 % | ? |",
                "|  |  | ours | 75 (74..76) | **0.75** (0.65..0.85); to peer **1.50** (1.40..1.60) | 120 | 990 | ? | 25 % | ? |",
            ]
        );
        let columns = |row: &str| row.matches('|').count();
        assert!(text.lines().all(|row| columns(row) == columns(rows[0])), "{text}");
    }
}
