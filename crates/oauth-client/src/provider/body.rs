//! The three shapes of providers' answers: form text, JSONP, JSON.

use std::fmt;

use oauth2::url::form_urlencoded;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::Failure;

const MAX_FIELDS: usize = 128;

/// The fields of an answer. Their `Debug` shows names only.
#[derive(Clone, PartialEq)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// A field as text; numbers as they are written. Empty text counts as absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A field as a number, also when it is written as text.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether the field is there at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Reads form text, `callback( {...} );` or a JSON object, whatever the media type said. Text is UTF-8.
///
/// # Errors
/// `Garbled` for anything else, for a field that stands twice, and for more fields than any provider sends.
pub fn fields(body: &[u8]) -> Result<Fields, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::GARBLED)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let fields = if let Some(inside) = jsonp(text) {
        object(inside).or_else(|failure| without_trailing_comma(inside).map_or(Err(failure), |mended| object(&mended)))
    } else if text.starts_with('{') {
        object(text)
    } else {
        form(text)
    }?;
    if fields.0.len() > MAX_FIELDS { Err(Failure::GARBLED) } else { Ok(fields) }
}

/// The inside of `callback( ... );`. Never evaluated; the name is fixed.
fn jsonp(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("callback")?.trim_start().strip_prefix('(')?.trim_end();
    inside.strip_suffix(';').map_or(inside, str::trim_end).strip_suffix(')').map(str::trim)
}

/// QQ's own sample of an error has a comma after its last field.
fn without_trailing_comma(text: &str) -> Option<String> {
    let kept = text.strip_suffix('}')?.trim_end().strip_suffix(',')?;
    Some(format!("{kept}}}"))
}

fn object(text: &str) -> Result<Fields, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::GARBLED)
}

fn form(text: &str) -> Result<Fields, Failure> {
    let mut map = Map::new();
    // Without this any page or sentence would be one field without a value.
    if text.is_empty() || !text.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, _)| is_name(name))) {
        return Err(Failure::GARBLED);
    }
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if map.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err(Failure::GARBLED);
        }
    }
    Ok(Fields(map))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// serde_json keeps the last of two fields of one name; two readers may then see two different answers.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(A::Error::custom("a field stands twice"));
                    }
                }
                Ok(Fields(map))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

#[cfg(test)]
mod tests;
