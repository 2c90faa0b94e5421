//! Times, read and shown.

use std::time::Duration;

const FORMS: &str = "write a time as 500ms, 30s, 5m, 2h or 1d";

/// Reads `500ms`, `30s`, `5m`, `2h` or `1d`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(FORMS.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| FORMS.to_owned())?;
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(|| "the time does not fit".to_owned())
}

/// In the two largest units, for people.
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// In whole milliseconds, for programs.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, milliseconds) in [("0s", 0), ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1d", 86_400_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "2", "s", "2 s", "-1s", "1.5s", "1w", "99999999999999999999s", "9999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown() {
        let shown =
            [999, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, 90_061_000].map(|ms| short(Duration::from_millis(ms)));
        assert_eq!(shown, ["999ms", "1s", "59s", "1m00s", "59m59s", "1h00m", "1d01h"]);
    }
}
