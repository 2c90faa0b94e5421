//! Codes and tokens: a pure state machine. Each change is one [`Event`], which the data folder records before the
//! answer is sent; reading the events back gives the same state.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::answer::Failure;
use crate::key::challenge;

/// What a login allows: who, for whom, how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) scope: String,
}

/// A change. Times are milliseconds since 1970; codes and tokens stand under their SHA-256.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A code was given to the browser; it is also the name of the family of all tokens that come from it.
    Code { code: String, grant: Grant, redirect_uri: String, challenge: Option<String>, expires: u64 },
    /// A code was used, well or badly.
    Spent { code: String },
    /// An access token was given to the client.
    Access { token: String, family: String, grant: Grant, expires: u64 },
    /// A refresh token was given to the client.
    Refresh { token: String, family: String, grant: Grant, expires: u64 },
    /// A refresh token was used.
    Rotated { token: String },
    /// All tokens of a family are void; the last of them would have lived until then.
    Revoked { family: String, until: u64 },
    /// All access tokens end at this time.
    Expired { at: u64 },
}

/// All codes and tokens that are not forgotten yet.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Grants {
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// Revoked families, with the time until which one of their tokens could still be shown.
    revoked: HashMap<String, u64>,
}

#[derive(Debug, PartialEq)]
struct Code {
    grant: Grant,
    redirect_uri: String,
    challenge: Option<String>,
    expires: u64,
    spent: bool,
}

#[derive(Debug, PartialEq)]
struct Access {
    family: String,
    grant: Grant,
    expires: u64,
}

#[derive(Debug, PartialEq)]
struct Refresh {
    family: String,
    grant: Grant,
    expires: u64,
    used: bool,
}

/// What a token request shows, besides the client's credentials.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a str,
    pub(crate) code: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) verifier: Option<&'a str>,
}

/// A decision: what happened, and what to answer.
#[derive(Debug)]
pub(crate) struct Decision<T> {
    pub(crate) events: Vec<Event>,
    pub(crate) answer: Result<T, Failure>,
}

impl Grants {
    /// Decides on a code that an authenticated client shows. From here on every failure spends the code.
    pub(crate) fn exchange(&self, shown: &Exchange<'_>, now: u64) -> Decision<(String, Grant)> {
        let Some(code) = self.codes.get(shown.code) else {
            return Decision { events: Vec::new(), answer: Err(Failure::CodeRejected) };
        };
        if code.spent {
            let events = self.revoke(shown.code).into_iter().collect();
            return Decision { events, answer: Err(Failure::CodeReused) };
        }
        let answer = if code.expires <= now || code.grant.client != shown.client || !code.proves(shown.verifier) {
            Err(Failure::CodeRejected)
        } else if code.redirect_uri != shown.redirect_uri {
            Err(Failure::RedirectUri)
        } else {
            Ok((shown.code.to_owned(), code.grant.clone()))
        };
        Decision { events: vec![Event::Spent { code: shown.code.to_owned() }], answer }
    }

    /// Decides on a refresh token that an authenticated client shows. It is good for one use.
    pub(crate) fn refresh(&self, client: &str, token: &str, now: u64) -> Decision<(String, Grant)> {
        let refuse = |events| Decision { events, answer: Err(Failure::RefreshRejected) };
        let Some(refresh) = self.refresh.get(token) else { return refuse(Vec::new()) };
        if refresh.grant.client != client || self.revoked.contains_key(&refresh.family) {
            return refuse(Vec::new());
        }
        if refresh.used {
            return refuse(self.revoke(&refresh.family).into_iter().collect());
        }
        if refresh.expires <= now {
            return refuse(Vec::new());
        }
        Decision {
            events: vec![Event::Rotated { token: token.to_owned() }],
            answer: Ok((refresh.family.clone(), refresh.grant.clone())),
        }
    }

    /// What an access token allows.
    pub(crate) fn access(&self, token: &str, now: u64) -> Result<&Grant, Failure> {
        let access = self.access.get(token).ok_or(Failure::TokenUnknown)?;
        if self.revoked.contains_key(&access.family) {
            return Err(Failure::TokenRevoked);
        }
        if access.expires <= now { Err(Failure::TokenExpired) } else { Ok(&access.grant) }
    }

    /// Voids a family; nothing if it has no tokens.
    fn revoke(&self, family: &str) -> Option<Event> {
        let until = self.refresh.values().filter(|refresh| refresh.family == family).map(|r| r.expires).max()?;
        Some(Event::Revoked { family: family.to_owned(), until })
    }

    /// Voids every family.
    pub(crate) fn revoke_all(&self) -> Vec<Event> {
        let mut families: Vec<&str> = self.refresh.values().map(|refresh| refresh.family.as_str()).collect();
        families.sort_unstable();
        families.dedup();
        families.into_iter().filter_map(|family| self.revoke(family)).collect()
    }

    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Code { code, grant, redirect_uri, challenge, expires } => {
                self.codes.insert(code, Code { grant, redirect_uri, challenge, expires, spent: false });
            }
            Event::Spent { code } => {
                if let Some(code) = self.codes.get_mut(&code) {
                    code.spent = true;
                }
            }
            Event::Access { token, family, grant, expires } => {
                self.access.insert(token, Access { family, grant, expires });
            }
            Event::Refresh { token, family, grant, expires } => {
                self.refresh.insert(token, Refresh { family, grant, expires, used: false });
            }
            Event::Rotated { token } => {
                if let Some(refresh) = self.refresh.get_mut(&token) {
                    refresh.used = true;
                }
            }
            Event::Revoked { family, until } => {
                self.revoked.insert(family, until);
            }
            Event::Expired { at } => {
                self.access.values_mut().for_each(|access| access.expires = access.expires.min(at))
            }
        }
    }

    /// Forgets what no request can be about any more. A spent code is remembered for a day, so that its replay is
    /// recognised; an expired token for a day, so that it is told from an unknown one.
    pub(crate) fn forget(&mut self, now: u64) {
        let live = |expires: u64| expires.saturating_add(DAY) > now;
        self.codes.retain(|_, code| live(code.expires));
        self.access.retain(|_, access| live(access.expires));
        self.refresh.retain(|_, refresh| live(refresh.expires));
        self.revoked.retain(|_, until| live(*until));
    }

    /// The shortest list of events that gives this state.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (name, code) in &self.codes {
            let Code { grant, redirect_uri, challenge, expires, spent } = code;
            events.push(Event::Code {
                code: name.clone(),
                grant: grant.clone(),
                redirect_uri: redirect_uri.clone(),
                challenge: challenge.clone(),
                expires: *expires,
            });
            if *spent {
                events.push(Event::Spent { code: name.clone() });
            }
        }
        for (token, Access { family, grant, expires }) in &self.access {
            let (token, family, grant, expires) = (token.clone(), family.clone(), grant.clone(), *expires);
            events.push(Event::Access { token, family, grant, expires });
        }
        for (name, Refresh { family, grant, expires, used }) in &self.refresh {
            let (token, family, grant, expires) = (name.clone(), family.clone(), grant.clone(), *expires);
            events.push(Event::Refresh { token, family, grant, expires });
            if *used {
                events.push(Event::Rotated { token: name.clone() });
            }
        }
        for (family, until) in &self.revoked {
            events.push(Event::Revoked { family: family.clone(), until: *until });
        }
        events
    }
}

impl Code {
    /// Whether the verifier fits; a verifier without a challenge does not.
    fn proves(&self, verifier: Option<&str>) -> bool {
        match (&self.challenge, verifier) {
            (None, None) => true,
            (Some(wanted), Some(verifier)) => challenge(verifier).as_bytes().ct_eq(wanted.as_bytes()).into(),
            _ => false,
        }
    }
}

const DAY: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests;
