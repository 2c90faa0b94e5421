//! Checkout and orders.

use askama::Template;

use super::{Chrome, filters};

/// A line of an order, or of what is about to become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// The SKU.
    pub sku: String,
    /// The name that people read.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// Minor units for one.
    pub price: i64,
}

impl OrderLine {
    fn total(&self) -> i64 {
        self.price.saturating_mul(self.quantity)
    }
}

/// `/checkout`.
#[derive(Debug, Clone, Template)]
#[template(path = "checkout.html")]
pub struct CheckoutPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// The value of the hidden field `order_token`.
    pub order_token: String,
    /// What is about to be ordered.
    pub lines: Vec<OrderLine>,
    /// Minor units.
    pub total: i64,
    /// What the wallet holds, in minor units.
    pub balance: i64,
}

impl CheckoutPage {
    fn left_over(&self) -> i64 {
        self.balance.saturating_sub(self.total)
    }

    fn is_short(&self) -> bool {
        self.balance < self.total
    }

    fn missing(&self) -> i64 {
        self.total.saturating_sub(self.balance)
    }
}

/// An order in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order's id.
    pub id: String,
    /// `confirmed`, `cancelled` or a word of later days.
    pub status: String,
    /// Minor units.
    pub total: i64,
}

impl OrderRow {
    fn tone(&self) -> &'static str {
        tone(&self.status)
    }
}

/// `/orders`.
#[derive(Debug, Clone, Template)]
#[template(path = "orders.html")]
pub struct OrdersPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// Newest first.
    pub orders: Vec<OrderRow>,
}

/// `/orders/{id}`.
#[derive(Debug, Clone, Template)]
#[template(path = "order.html")]
pub struct OrderPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// The order's id.
    pub id: String,
    /// `confirmed`, `cancelled` or a word of later days.
    pub status: String,
    /// What was ordered, at the price of that moment.
    pub lines: Vec<OrderLine>,
    /// Minor units.
    pub total: i64,
    /// The global transaction that made the order.
    pub xid: String,
    /// Whether the notification went out.
    pub notified: bool,
}

impl OrderPage {
    fn tone(&self) -> &'static str {
        tone(&self.status)
    }

    fn is_confirmed(&self) -> bool {
        self.status == "confirmed"
    }

    fn is_cancelled(&self) -> bool {
        self.status == "cancelled"
    }

    /// Whether the page will change by itself.
    fn is_waiting(&self) -> bool {
        !self.notified && !self.is_cancelled()
    }
}

/// The class of a status's label: a closed set, whatever the status says.
fn tone(status: &str) -> &'static str {
    match status {
        "confirmed" => "good",
        "cancelled" => "bad",
        _ => "open",
    }
}
