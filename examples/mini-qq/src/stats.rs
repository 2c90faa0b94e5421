//! What the server has seen, for tests.

use std::collections::HashMap;

/// Counts since the server's start; the answer of [`crate::Server::stats`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Authorize pages shown.
    pub pages: u64,
    /// Logins approved.
    pub approvals: u64,
    /// Logins denied.
    pub denials: u64,
    /// Requests at the token endpoint, whatever came of them.
    pub token_requests: u64,
    /// Tokens given for a code.
    pub tokens_issued: u64,
    /// Tokens given for a refresh token.
    pub refreshes: u64,
    /// Requests of `/oauth2.0/me`.
    pub me_requests: u64,
    /// Requests of `/user/get_user_info`.
    pub user_info_requests: u64,
    /// How often the code that was shown most often was shown; a client that is right keeps it at one.
    pub most_requests_per_code: u64,
}

/// The counters; codes stand under their SHA-256.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) stats: Stats,
    codes: HashMap<String, u64>,
}

impl Counters {
    pub(crate) fn code_shown(&mut self, digest: String) {
        if self.codes.len() >= REMEMBERED {
            self.codes.clear();
        }
        let times = self.codes.entry(digest).or_default();
        *times += 1;
        self.stats.most_requests_per_code = self.stats.most_requests_per_code.max(*times);
    }
}

/// Anybody can show codes, so the list of them is bounded.
const REMEMBERED: usize = 65_536;
