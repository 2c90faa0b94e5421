//! What a person sees: one plain struct per page, and a template of the same name in `templates/`.
//!
//! Every field is unescaped text or a number; the templates escape. Nothing here reads a store, so every page can be
//! rendered and looked at without one. The pages need no script: every change is a form, and they keep to
//! `default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'` (plus the origin of the avatars).

mod cart;
mod catalogue;
mod error;
mod filters;
#[cfg(test)]
pub(crate) mod markup;
mod member;
mod order;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

pub use cart::{CartLine, CartPage};
pub use catalogue::{CategoryLink, CategoryPage, HomePage, ProductCard, ProductPage, SearchPage};
pub use error::{ErrorPage, Link};
pub use filters::money_text as money;
pub use member::{AccountPage, LedgerRow, LoginPage, ProviderLink, WalletPage};
pub use order::{CheckoutPage, OrderLine, OrderPage, OrderRow, OrdersPage};

/// The style sheet, served at `/static/shop.css` as `text/css`.
pub const STYLESHEET: &str = include_str!("../static/shop.css");

/// The shop's mark and icon, served at `/static/mark.svg` as `image/svg+xml`.
pub const MARK: &str = include_str!("../static/mark.svg");

/// What is around every page: who is here, the cart's count, the search box.
#[derive(Debug, Clone, Default)]
pub struct Chrome {
    /// The value of the hidden field `csrf`.
    pub csrf: String,
    /// Whoever is signed in.
    pub nickname: Option<String>,
    /// How many items are in the cart.
    pub cart_count: i64,
    /// What stands in the search box.
    pub search: String,
    /// Path and query of this page: sign-in returns to it.
    pub path: String,
}

impl Chrome {
    /// The value of `aria-current` for a link to `href`.
    fn current(&self, href: &str) -> &'static str {
        let path = self.path.split(['?', '#']).next().unwrap_or_default();
        if path == href {
            "page"
        } else if href != "/" && path.strip_prefix(href).is_some_and(|rest| rest.starts_with('/')) {
            "true"
        } else {
            "false"
        }
    }

    fn current_shelf(&self, category: &str) -> &'static str {
        self.current(&format!("/c/{category}"))
    }

    /// Where sign-in comes back to: this page, but never the sign-in page itself.
    fn return_to(&self) -> &str {
        let usable = self.path.starts_with('/') && !self.path.starts_with("/login");
        if usable { &self.path } else { "/" }
    }
}

/// Renders a page as `text/html; charset=utf-8`.
#[must_use]
pub fn respond(status: StatusCode, page: &impl askama::Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
