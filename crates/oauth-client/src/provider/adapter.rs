//! What a provider does in its own way, as a trait.

use std::fmt::Debug;

use secrecy::SecretString;

use super::{Answer, Parameters, Provider, Request, standard};
use crate::{Failure, Profile};

/// What the browser came back with.
#[derive(Debug)]
pub enum Reply<'a> {
    /// A code.
    Code(&'a str),
    /// The user said no.
    Denied,
    /// The provider said no.
    Refused(Failure),
    /// None of them.
    Nothing,
}

/// One step on the way from a token to a user.
#[derive(Debug)]
pub enum Step {
    /// Ask this, then come again with the answer.
    Ask(Request),
    /// The user.
    Known {
        /// The provider's stable id of the user.
        subject: String,
        /// What to show.
        profile: Profile,
    },
}

/// What a provider does in its own way. Pure: it writes requests and reads answers, and the client sends them.
///
/// The defaults are those of RFC 6749.
pub trait Adapter: Debug + Send + Sync + 'static {
    /// What stands between two scopes.
    fn scope_separator(&self) -> &'static str {
        " "
    }

    /// Parameters of the authorize URL beside the standard ones.
    fn authorize_parameters(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Reads the callback.
    fn callback<'a>(&self, parameters: &'a Parameters) -> Reply<'a> {
        standard::callback(parameters)
    }

    /// Turns the standard token request (a form post) into the provider's.
    ///
    /// # Errors
    /// What makes the request impossible.
    fn token_request(&self, request: Request) -> Result<Request, Failure> {
        Ok(request)
    }

    /// Turns the provider's answer into RFC 6749 JSON.
    ///
    /// # Errors
    /// What the provider said, if it was no.
    fn token_answer(&self, answer: &Answer) -> Result<Answer, Failure> {
        standard::token_answer(answer)
    }

    /// The next step towards the user, after `answers`. At most four are taken.
    ///
    /// # Errors
    /// What the provider said, if it was no.
    fn identity(&self, provider: &Provider, token: &SecretString, answers: &[Answer]) -> Result<Step, Failure>;
}
