//! What is in a cart.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Owner, Seal};
use crate::error::Error;

/// What is sold, by the id that your catalogue gives: 1 to 48 bytes of UTF-8 without control characters and `~`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(String);

impl Sku {
    /// Checks and takes the text.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, longer than 48 bytes, or has a control character or `~` in it.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let fits = (1..=48).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c == LineKey::MARK);
        if fits {
            Ok(Self(text))
        } else {
            Err(Error::Invalid("a SKU is 1 to 48 bytes without control characters and ~"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which line of a cart: today the text of its SKU. What stands behind a `~` is kept for attributes that make two lines of
/// one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineKey(String);

impl LineKey {
    const MARK: char = '~';
    /// The longest field name and value for which Redis keeps a small hash in its compact form.
    const LONGEST: usize = 64;

    /// Checks and takes the text, as it came from a URL or a form: 1 to 64 bytes without control characters.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is anything else.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let fits = (1..=Self::LONGEST).contains(&text.len()) && !text.contains(char::is_control);
        if fits {
            Ok(Self(text))
        } else {
            Err(Error::Invalid("a line key is 1 to 64 bytes without control characters"))
        }
    }

    /// The line of a SKU.
    pub fn of(sku: &Sku) -> Self {
        Self(sku.0.clone())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn sku(&self) -> &str {
        self.0.split_once(Self::MARK).map_or(&self.0, |(sku, _)| sku)
    }
}

impl fmt::Display for LineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LineKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl From<LineKey> for String {
    fn from(key: LineKey) -> Self {
        key.0
    }
}

/// A price as the page showed it when the line was added: for a notice that it changed since, never to charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PriceHint {
    /// In minor units.
    pub amount: i64,
    /// ISO 4217, such as `*b"EUR"`.
    pub currency: [u8; 3],
}

/// One line of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// Which line.
    pub key: LineKey,
    /// How many; never 0.
    pub quantity: u32,
    /// Whether it takes part in the checkout; new lines do.
    pub checked: bool,
    /// When the line was added, in milliseconds since the Unix epoch. For order and display.
    pub added_at: u64,
    /// The price shown at the latest add that named one.
    pub price_hint: Option<PriceHint>,
}

impl Line {
    /// A checked line without a price.
    pub const fn new(key: LineKey, quantity: u32, added_at: u64) -> Self {
        Self { key, quantity, checked: true, added_at, price_hint: None }
    }

    /// What is sold.
    pub fn sku(&self) -> &str {
        self.key.sku()
    }
}

/// A cart as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cart {
    /// Whose it is.
    pub owner: Owner,
    /// Grows by one with each batch that changed something; 0 for a cart that nobody changed yet.
    pub version: u32,
    /// The oldest line first. Empty once the cart was merged into another.
    pub lines: Vec<Line>,
    /// Present if the cart was merged into a member's, or is about to be: writes are refused.
    pub sealed: Option<Seal>,
}

impl Cart {
    /// What an owner has who put nothing into a cart yet.
    pub const fn empty(owner: Owner) -> Self {
        Self { owner, version: 0, lines: Vec::new(), sealed: None }
    }

    /// A cart as a store holds it.
    pub fn new(owner: Owner, version: u32, mut lines: Vec<Line>, sealed: Option<Seal>) -> Self {
        lines.sort_by(|a, b| (a.added_at, &a.key).cmp(&(b.added_at, &b.key)));
        Self { owner, version, lines, sealed }
    }

    /// The line with this key.
    pub fn line(&self, key: &LineKey) -> Option<&Line> {
        self.lines.iter().find(|line| line.key == *key)
    }

    /// The lines that take part in the checkout.
    pub fn checked(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.checked)
    }

    /// True if it holds no line.
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skus_and_keys_are_bounded() {
        for refused in ["", "\u{1}", "a\tb", "a~b", &"x".repeat(49)] {
            assert!(Sku::new(refused).is_err(), "{refused:?}");
        }
        for refused in ["", "\u{2}", "a\u{7f}", &"x".repeat(65)] {
            assert!(LineKey::new(refused).is_err(), "{refused:?}");
        }
        assert!(Sku::new("x".repeat(48)).is_ok() && LineKey::new("x".repeat(64)).is_ok());
        let key = LineKey::of(&Sku::new("tea").unwrap());
        assert_eq!(Line::new(key, 1, 0).sku(), "tea");
        assert_eq!(Line::new(LineKey::new("tea~1f").unwrap(), 1, 0).sku(), "tea");
    }

    #[test]
    fn lines_are_read_oldest_first() {
        let line = |sku: &str, at| Line::new(LineKey::new(sku).unwrap(), 1, at);
        let owner = Owner::Guest(crate::GuestId::random());
        let cart = Cart::new(owner, 1, vec![line("c", 2), line("b", 1), line("a", 2)], None);
        assert_eq!(cart.lines.iter().map(Line::sku).collect::<Vec<_>>(), ["b", "a", "c"]);
    }
}
