//! Sign-in, account and wallet.

use askama::Template;

use super::{Chrome, filters};

/// A way to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLink {
    /// The provider in `/auth/{provider}/start`.
    pub id: String,
    /// The name that people read.
    pub name: String,
}

/// `/login`.
#[derive(Debug, Clone, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// Every way to sign in.
    pub providers: Vec<ProviderLink>,
    /// Where to go afterwards.
    pub return_to: String,
}

/// `/account`.
#[derive(Debug, Clone, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// The member's id.
    pub id: String,
    /// The nickname from the provider.
    pub nickname: String,
    /// The URL of the avatar; empty for none.
    pub avatar: String,
    /// Who vouched for the member.
    pub provider: String,
}

impl AccountPage {
    /// Whether the avatar is an address that a picture can come from.
    fn has_avatar(&self) -> bool {
        ["https://", "http://", "/"].iter().any(|start| self.avatar.starts_with(start))
    }

    fn initial(&self) -> String {
        self.nickname.chars().next().map(|first| first.to_uppercase().collect()).unwrap_or_default()
    }
}

/// One movement of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The order that moved the money.
    pub reference: String,
    /// Minor units, negative for what was paid.
    pub amount: i64,
}

/// `/wallet`.
#[derive(Debug, Clone, Template)]
#[template(path = "wallet.html")]
pub struct WalletPage {
    /// What is around the page.
    pub chrome: Chrome,
    /// Minor units.
    pub balance: i64,
    /// All movements, newest first.
    pub ledger: Vec<LedgerRow>,
}
