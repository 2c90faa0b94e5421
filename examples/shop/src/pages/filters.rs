//! How templates write money, signed amounts and URL segments.

#![allow(unreachable_pub, reason = "the filter macro writes public items into this private module")]

use std::borrow::Borrow;
use std::fmt::Write as _;

/// Writes minor units as people read them: `¥1,234.50`.
#[must_use]
pub fn money_text(minor: i64) -> String {
    let sign = if minor < 0 { "\u{2212}" } else { "" };
    let units = (minor.unsigned_abs() / 100).to_string();
    let mut grouped = String::with_capacity(units.len() + units.len() / 3);
    for (at, digit) in units.chars().enumerate() {
        if at > 0 && (units.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}¥{grouped}.{:02}", minor.unsigned_abs() % 100)
}

/// `{{ price|money }}`
#[askama::filter_fn]
pub(crate) fn money(minor: impl Borrow<i64>, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(money_text(*minor.borrow()))
}

/// `{{ amount|signed }}`: like money, with a sign in front of what comes in.
#[askama::filter_fn]
pub(crate) fn signed(minor: impl Borrow<i64>, _: &dyn askama::Values) -> askama::Result<String> {
    let minor = *minor.borrow();
    let plus = if minor > 0 { "+" } else { "" };
    Ok(format!("{plus}{}", money_text(minor)))
}

/// `{{ sku|segment }}`: one segment of a URL's path, escaped only where it must be.
#[askama::filter_fn]
pub(crate) fn segment(text: impl AsRef<str>, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(segment_text(text.as_ref()))
}

pub(super) fn segment_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$()*,;=:@+".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
