//! Query strings and form bodies, read strictly: a name that stands twice is refused, since two readers could take
//! different ones of its values.

use std::collections::HashMap;

/// Decoded parameters.
#[derive(Debug, Default)]
pub(crate) struct Params(HashMap<String, String>);

/// Why parameters cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Params {
    /// The parameters of `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut params = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if params.insert(decode(name)?, decode(value)?).is_some() {
                return Err(Malformed);
            }
        }
        Ok(Self(params))
    }

    /// Adds the parameters of `other`; none may be in both.
    pub(crate) fn and(mut self, other: Self) -> Result<Self, Malformed> {
        for (name, value) in other.0 {
            if self.0.insert(name, value).is_some() {
                return Err(Malformed);
            }
        }
        Ok(self)
    }

    /// A parameter that is there and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// `text` as a value in a query string: everything but unreserved characters escaped.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&crate::key::hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

fn decode(text: &str) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let [high, low, tail @ ..] = tail else { return Err(Malformed) };
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = tail;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| Malformed)
}

fn digit(byte: u8) -> Result<u8, Malformed> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let params = Params::parse("a=1+2&b=%E5%A5%B3&c&d==&&e%20=x").unwrap();
        assert_eq!(params.text("a"), Some("1 2"));
        assert_eq!(params.text("b"), Some("女"));
        assert_eq!(params.text("c"), None);
        assert_eq!(params.text("d"), Some("="));
        assert_eq!(params.text("e "), Some("x"));
    }

    #[test]
    fn doubtful_text_is_refused() {
        for text in ["a=1&a=2", "a=%4", "a=%zz", "%FF=1", "a=1&%61=2"] {
            assert_eq!(Params::parse(text).unwrap_err(), Malformed, "{text}");
        }
        assert!(Params::parse("a=1").unwrap().and(Params::parse("a=1").unwrap()).is_err());
    }

    #[test]
    fn encoding_comes_back() {
        let odd = "a b+c&d=e/?#女%~\u{0}\n";
        assert_eq!(decode(&encode(odd)).unwrap(), odd);
        assert_eq!(encode("a b/女"), "a%20b%2F%E5%A5%B3");
    }
}
