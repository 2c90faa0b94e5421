//! From a row's key to the text that its lock goes by.

use sha2::{Digest, Sha256};

use super::image::Cell;
use crate::tc::lock::hex;

/// Longer texts are hashed: a coordinator of another make keeps 36 characters.
const LONGEST: usize = 36;

/// A key value in a form that lock texts can be made of. Each database says which of its types are which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Int(i64),
    Text(String),
    /// Bytes and types that have no text all databases agree on.
    Other(Cell),
}

/// The text of a primary key: integers and plain texts as they are, joined by `_`; everything that this grammar could
/// confuse as `#` and a typed hash.
pub(crate) fn text(parts: &[Part]) -> String {
    let alone = parts.len() == 1;
    let plain: Option<Vec<_>> = parts.iter().map(|part| plain(part, alone)).collect();
    match plain {
        Some(plain) if plain.iter().map(String::len).sum::<usize>() < LONGEST => plain.join("_"),
        _ => hashed(parts),
    }
}

fn plain(part: &Part, alone: bool) -> Option<String> {
    match part {
        Part::Int(value) => Some(value.to_string()),
        Part::Text(value) => {
            let awkward = |c: char| matches!(c, ',' | ';' | ':' | '#' | '^') || c.is_control() || (c == '_' && !alone);
            (!value.is_empty() && !value.contains(awkward)).then(|| value.clone())
        }
        Part::Other(_) => None,
    }
}

/// `#` and 128 bits over the types and values.
pub(crate) fn hashed(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let (kind, bytes) = match part {
            Part::Int(value) => (u32::MAX, value.to_be_bytes().to_vec()),
            Part::Text(value) => (u32::MAX - 1, value.clone().into_bytes()),
            Part::Other(cell) => (cell.kind, cell.bytes.clone()),
        };
        hash.update(kind.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    format!("#{}", hex(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(parts: &[&str]) -> String {
        text(&parts.iter().map(|part| Part::Text((*part).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn plain_keys_stay_readable() {
        assert_eq!(text(&[Part::Int(-7)]), "-7");
        assert_eq!(words(&["sku_1"]), "sku_1");
        assert_eq!(text(&[Part::Int(4), Part::Text("red".to_owned())]), "4_red");
    }

    #[test]
    fn keys_that_the_grammar_would_confuse_are_hashed_apart() {
        let pairs = [words(&["a_b", "c"]), words(&["a", "b_c"]), words(&["a", "b", "c"])];
        assert!(pairs[0].starts_with('#') && pairs[1].starts_with('#'));
        assert_ne!(pairs[0], pairs[1]);
        assert_eq!(pairs[2], "a_b_c");
        for awkward in ["", "a,b", "a;b", "a:b", "#a", "\n", &"x".repeat(40)] {
            assert!(words(&[awkward]).starts_with('#'), "{awkward:?}");
        }
        let blob = Cell { kind: 4, bytes: b"a".to_vec() };
        assert_ne!(text(&[Part::Other(blob)]), words(&["a"]));
    }
}
