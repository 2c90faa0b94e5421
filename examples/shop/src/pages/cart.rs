//! The cart.

use askama::Template;

use super::{Chrome, filters};

/// A line of the cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartLine {
    /// The key in `/cart/lines/{key}`.
    pub key: String,
    /// The SKU.
    pub sku: String,
    /// The name that people read.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// Minor units for one.
    pub price: i64,
    /// Whether the line is part of the next order.
    pub checked: bool,
}

impl CartLine {
    fn total(&self) -> i64 {
        self.price.saturating_mul(self.quantity)
    }
}

/// `/cart`.
///
/// Each line has one form of its own (quantity). The buttons that leave out, put back and remove a line belong to one
/// shared form and carry their line in `formaction`.
#[derive(Debug, Clone, Template)]
#[template(path = "cart.html")]
pub struct CartPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// Whether the cart belongs to somebody who is signed in.
    pub member: bool,
    /// The lines.
    pub lines: Vec<CartLine>,
    /// Minor units of all checked lines.
    pub subtotal: i64,
    /// How many items came over from the guest's cart at sign-in.
    pub merged: Option<i64>,
}

impl CartPage {
    fn checked_items(&self) -> i64 {
        self.lines.iter().filter(|line| line.checked).map(|line| line.quantity).sum()
    }

    fn can_check_out(&self) -> bool {
        self.lines.iter().any(|line| line.checked)
    }
}
