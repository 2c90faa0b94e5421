//! Order, medians, percentiles. Pure.

use std::time::Duration;

/// What one side did in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Units per second.
    pub rate: f64,
    /// Latency of half of the turns is at most this.
    pub p50: Duration,
    /// Latency of 99 of 100 turns is at most this.
    pub p99: Duration,
    /// The share of the round, 0 to 1, that went by after the last turn until the background had done its part.
    pub backlog: f64,
    /// Processor time of this program and the servers for each unit; unknown where there is no `/proc`.
    pub cpu: Option<Duration>,
    /// The share of all processors, 0 to 1, that neither this program nor the servers used; unknown where there is no `/proc`.
    pub others: Option<f64>,
}

/// A side's rounds put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Median, least and greatest rate.
    pub rate: (f64, f64, f64),
    /// Median of the rounds' p50.
    pub p50: Duration,
    /// Median of the rounds' p99.
    pub p99: Duration,
    /// Median share of the round that the backlog took.
    pub backlog: f64,
    /// Median processor time for each unit, if all rounds know it.
    pub cpu: Option<Duration>,
    /// The greatest share of any round.
    pub others: Option<f64>,
}

/// In which order the sides run: A B A B …, as (round, side).
pub fn order(rounds: usize, sides: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rounds).flat_map(move |round| (0..sides).map(move |side| (round, side)))
}

/// Median, least and greatest of the rates divided by the baseline's of the same round.
///
/// # Panics
/// If there is no round.
pub fn ratio(rounds: &[Round], baseline: &[Round]) -> (f64, f64, f64) {
    let ratios: Vec<_> = rounds.iter().zip(baseline).map(|(mine, base)| mine.rate / base.rate).collect();
    spread(&ratios)
}

/// Puts a side's rounds together.
///
/// # Panics
/// If there is no round.
pub fn summary(rounds: &[Round]) -> Summary {
    let rates: Vec<_> = rounds.iter().map(|round| round.rate).collect();
    let backlogs: Vec<_> = rounds.iter().map(|round| round.backlog).collect();
    let median = |times: Vec<Duration>| {
        let seconds: Vec<_> = times.iter().map(Duration::as_secs_f64).collect();
        Duration::from_secs_f64(spread(&seconds).0)
    };
    Summary {
        rate: spread(&rates),
        p50: median(rounds.iter().map(|round| round.p50).collect()),
        p99: median(rounds.iter().map(|round| round.p99).collect()),
        backlog: spread(&backlogs).0,
        cpu: rounds.iter().map(|round| round.cpu).collect::<Option<_>>().map(median),
        others: rounds.iter().filter_map(|round| round.others).reduce(f64::max),
    }
}

/// Median, least and greatest; the median of an even number is the mean of the two in the middle.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] };
    (median, sorted[0], sorted[sorted.len() - 1])
}

/// The least latency that `hundredths` of 100 do not exceed (nearest rank), of sorted ones; zero if there is none.
pub fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rate: f64, p50: u64, others: Option<f64>) -> Round {
        let p50 = Duration::from_micros(p50);
        Round { rate, p50, p99: 2 * p50, backlog: 0.0, cpu: others.map(|_| p50 / 2), others }
    }

    #[test]
    fn the_sides_take_turns() {
        let all: Vec<_> = order(3, 2).collect();
        assert_eq!(all, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
        assert_eq!(order(3, 4).count(), 12);
    }

    #[test]
    fn the_median_is_not_the_mean() {
        assert_eq!(spread(&[9.0, 1.0, 2.0]), (2.0, 1.0, 9.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), (3.0, 1.0, 9.0));
        assert_eq!(spread(&[5.0]), (5.0, 5.0, 5.0));
    }

    #[test]
    fn a_percentile_is_a_latency_that_was_seen() {
        let of = |n: u64| (1..=n).map(Duration::from_millis).collect::<Vec<_>>();
        let ms = Duration::from_millis;
        assert_eq!((percentile(&of(100), 50), percentile(&of(100), 99)), (ms(50), ms(99)));
        assert_eq!((percentile(&of(3), 50), percentile(&of(3), 99)), (ms(2), ms(3)));
        assert_eq!((percentile(&of(1), 50), percentile(&of(1), 0)), (ms(1), ms(1)));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine got twice as fast from round to round: the ratio did not change.
        let baseline = [round(100.0, 10, None), round(200.0, 5, None), round(400.0, 2, None)];
        let mine = [round(50.0, 20, Some(0.1)), round(100.0, 10, Some(0.3)), round(200.0, 5, None)];
        assert_eq!(ratio(&mine, &baseline), (0.5, 0.5, 0.5));
        let summary = summary(&mine);
        assert_eq!(summary.rate, (100.0, 50.0, 200.0));
        assert_eq!((summary.p50, summary.p99), (Duration::from_micros(10), Duration::from_micros(20)));
        assert_eq!(summary.others, Some(0.3));
        assert_eq!(summary.cpu, None, "a round does not know it");
        assert_eq!(super::summary(&mine[..2]).cpu, Some(Duration::from_nanos(7500)));
    }
}
