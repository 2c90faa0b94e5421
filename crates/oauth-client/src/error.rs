use onceward_backend::BackendError;
use serde::{Deserialize, Serialize};

/// Why a login, or a question asked with its token, gave no answer.
///
/// Whatever [`OAuthClient::callback`](crate::OAuthClient::callback) answers here, the pending login stays usable by its
/// owner for the rest of its life: the same authorize URL, approved again, ends it.
/// No variant holds a state, a code, a token, a URL or a body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client was built from parts that do not fit.
    #[error("configuration: {0}")]
    Config(String),
    /// No provider of this id.
    #[error("unknown provider")]
    UnknownProvider,
    /// The callback's parameters are missing, repeated or too large.
    #[error("invalid callback: {0}")]
    InvalidCallback(&'static str),
    /// The application's data for the pending login, or its answer, is larger than allowed.
    #[error("application data is larger than {0} bytes")]
    DataTooLarge(usize),
    /// The state is missing or unknown, or its login ended or expired.
    #[error("no such pending login")]
    FlowNotFound,
    /// The login was begun at another provider, or the answer names another issuer.
    #[error("pending login of another provider")]
    ProviderMismatch,
    /// The login was begun by another browser.
    #[error("pending login of another browser")]
    BrowserMismatch,
    /// The state was ended with another code.
    #[error("the login was ended with another code")]
    StateUsed,
    /// The user said no at the provider.
    #[error("denied by the user")]
    Denied,
    /// The provider's part went wrong.
    #[error(transparent)]
    Provider(#[from] Failure),
    /// The same login is still being ended by an earlier request.
    #[error("the login is still running")]
    Busy,
    /// The application's own last step failed; its error is the source.
    #[error("the application did not finish the login")]
    Finish(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No live token for this account: the user has to log in again.
    #[error("log in again")]
    ReauthRequired,
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The store.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What went wrong between us and the provider. Kept with the pending login, so that a repeated callback gets the
/// same answer as the first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// We sent this code before, for another login; it was not sent again.
    #[error("the code was used before")]
    CodeAlreadyUsed,
    /// The provider does not take this code (wrong, expired, used).
    #[error("the provider rejected the code")]
    CodeRejected,
    /// The provider does not know our client id, secret or redirect URI.
    #[error("the provider rejected this client ({code})")]
    ClientMisconfigured {
        /// The provider's error code.
        code: String,
    },
    /// The provider said no for another reason.
    #[error("the provider refused ({code})")]
    Refused {
        /// The provider's error code.
        code: String,
    },
    /// The token was issued to another client.
    #[error("the token belongs to another client")]
    SubjectMismatch,
    /// The provider does not take the token (expired, revoked, wrong).
    #[error("the provider rejected the token")]
    TokenRejected,
    /// The provider could not be reached, or did not answer a question that may be asked again.
    #[error("the provider is not available")]
    Unavailable,
    /// The code was sent and no answer came. It is never sent again: log in again.
    #[error("the code was sent and its outcome is unknown")]
    OutcomeUnknown,
    /// The process that was ending this login stopped in the middle: log in again.
    #[error("the login was interrupted")]
    Interrupted,
    /// The provider's answer cannot be understood or trusted.
    #[error("the provider's answer: {0}")]
    Protocol(Protocol),
}

/// What is wrong with a provider's answer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum Protocol {
    /// It is not what the step answers.
    #[error("garbled")]
    Garbled,
    /// It is larger than [`Options::body_limit`](crate::Options).
    #[error("too large")]
    TooLarge,
    /// It sends us elsewhere; the secret is not carried there.
    #[error("a redirect")]
    Redirect,
    /// It has a status that the step does not know.
    #[error("an unexpected status")]
    Status,
}

impl Failure {
    /// A refusal with the provider's own code, of which the first 64 harmless characters are kept.
    #[must_use]
    pub fn refused(code: &str) -> Self {
        Self::Refused { code: harmless(code) }
    }

    /// A refusal of our client id, secret or redirect URI, as [`refused`](Self::refused).
    #[must_use]
    pub fn misconfigured(code: &str) -> Self {
        Self::ClientMisconfigured { code: harmless(code) }
    }

    pub(crate) const GARBLED: Self = Self::Protocol(Protocol::Garbled);

    fn kind(&self) -> &'static str {
        match self {
            Self::CodeAlreadyUsed => "code_already_used",
            Self::CodeRejected => "code_rejected",
            Self::ClientMisconfigured { .. } => "client_misconfigured",
            Self::Refused { .. } => "refused",
            Self::SubjectMismatch => "subject_mismatch",
            Self::TokenRejected => "token_rejected",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Interrupted => "interrupted",
            Self::Protocol(_) => "protocol",
        }
    }
}

fn harmless(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(64).collect()
}

impl Error {
    /// The HTTP status for the user's browser: 4xx for what the browser or its user did, 5xx for the rest.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownProvider => 404,
            Self::InvalidCallback(_) | Self::FlowNotFound | Self::ProviderMismatch | Self::DataTooLarge(_) => 400,
            Self::BrowserMismatch | Self::Denied => 403,
            Self::StateUsed => 409,
            Self::ReauthRequired => 401,
            Self::Busy => 503,
            Self::Config(_) | Self::Random(_) | Self::Finish(_) => 500,
            Self::Backend(error) => 500 + 3 * u16::from(error.is_retryable()),
            Self::Provider(failure) => match failure {
                Failure::CodeRejected => 400,
                Failure::Refused { .. } => 403,
                Failure::Interrupted | Failure::CodeAlreadyUsed => 409,
                Failure::Unavailable => 503,
                Failure::OutcomeUnknown => 504,
                _ => 502,
            },
        }
    }

    /// Whether the same call may be made again as it is: an earlier one still runs, or the store did nothing.
    ///
    /// After [`Failure::Unavailable`] the *login* may be tried again, with a fresh code, not the call.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Backend(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// A short name, for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::UnknownProvider => "unknown_provider",
            Self::InvalidCallback(_) => "invalid_callback",
            Self::DataTooLarge(_) => "data_too_large",
            Self::FlowNotFound => "flow_not_found",
            Self::ProviderMismatch => "provider_mismatch",
            Self::BrowserMismatch => "browser_mismatch",
            Self::StateUsed => "state_used",
            Self::Denied => "denied",
            Self::Provider(failure) => failure.kind(),
            Self::Busy => "busy",
            Self::Finish(_) => "finish",
            Self::ReauthRequired => "reauth_required",
            Self::Random(_) => "random",
            Self::Backend(_) => "backend",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_code_cannot_carry_text_into_logs() {
        let long = format!("100020\r\nInjected: <b>{}", "x".repeat(200));
        let Failure::Refused { code } = Failure::refused(&long) else { panic!("refused") };
        assert!(code.starts_with("100020Injectedb") && code.len() == 64);
    }

    #[test]
    fn what_the_browser_did_is_a_4xx() {
        for error in [
            Error::FlowNotFound,
            Error::BrowserMismatch,
            Error::ProviderMismatch,
            Error::StateUsed,
            Error::Provider(Failure::CodeAlreadyUsed),
            Error::Denied,
            Error::InvalidCallback("x"),
            Error::Provider(Failure::CodeRejected),
            Error::Provider(Failure::refused("server_error")),
            Error::Provider(Failure::Interrupted),
        ] {
            assert!((400..500).contains(&error.status()), "{error}");
            assert!(!error.is_retryable());
        }
        assert!(Error::Busy.is_retryable() && Error::Busy.status() == 503);
        assert!(!Error::Provider(Failure::OutcomeUnknown).is_retryable());
    }
}
