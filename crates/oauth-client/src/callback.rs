use std::fmt;

use oauth2::url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{Digest, Error, digest};

const MAX_QUERY: usize = 8192;
const MAX_VALUE: usize = 4096;
const MAX_PARAMETERS: usize = 32;

/// The parameters that the provider sent the browser back with.
pub struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    /// Reads a query string or a form body.
    ///
    /// # Errors
    /// [`Error::InvalidCallback`] when it is too large or names a parameter twice.
    pub fn parse(query: &str) -> Result<Self, Error> {
        if query.len() > MAX_QUERY {
            return Err(Error::InvalidCallback("too large"));
        }
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parameters.len() == MAX_PARAMETERS || name.len() > 64 || value.len() > MAX_VALUE {
                return Err(Error::InvalidCallback("too large"));
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Error::InvalidCallback("a parameter stands twice"));
            }
            parameters.push((name.into_owned(), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; an empty one counts as absent.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// The key of the pending login; `None` unless the state has the form of one of ours.
    pub(crate) fn flow(&self) -> Option<Digest> {
        self.value("state").filter(|state| digest::is_hex(state)).map(state_digest)
    }
}

/// What the store keeps instead of the state.
pub(crate) fn state_digest(state: &str) -> Digest {
    Digest::of("state", &[state.as_bytes()])
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_oversize_parameters_are_refused() {
        assert!(matches!(Parameters::parse("state=a&state=b"), Err(Error::InvalidCallback(_))));
        assert!(matches!(Parameters::parse("code=a&c%6Fde=b"), Err(Error::InvalidCallback(_))), "hidden by encoding");
        assert!(Parameters::parse(&format!("code={}", "x".repeat(5000))).is_err());
        assert!(Parameters::parse(&"x".repeat(9000)).is_err());
        let many: Vec<_> = (0..40).map(|i| format!("p{i}=1")).collect();
        assert!(Parameters::parse(&many.join("&")).is_err());
    }

    #[test]
    fn values_are_decoded_and_hidden() {
        let parameters = Parameters::parse("code=a%2Bb+c&usercancel=&state=zz").unwrap();
        assert_eq!(parameters.value("code"), Some("a+b c"));
        assert_eq!(parameters.value("usercancel"), None);
        assert!(parameters.flow().is_none());
        assert!(!format!("{parameters:?}").contains("a+b"));
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(query in "[ -~&=%+]{0,300}") {
            if let Ok(parameters) = Parameters::parse(&query) {
                let _ = (parameters.flow(), parameters.value("code"));
            }
        }
    }
}
