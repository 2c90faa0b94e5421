//! A small check that a document is well-formed, for tests.

const VOID: [&str; 6] = ["meta", "link", "input", "img", "br", "hr"];

/// A tag: its name, its attributes with their escaped values.
#[derive(Debug, Clone)]
pub(crate) struct Tag {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }
}

/// Panics unless every tag is closed in the right order, every attribute is quoted and stands once, and every id is the
/// only one of its name. Answers all opening tags in their order.
#[track_caller]
pub(crate) fn check(document: &str) -> Vec<Tag> {
    let mut rest = document.strip_prefix("<!doctype html>").unwrap_or(document);
    let mut open: Vec<String> = Vec::new();
    let mut tags: Vec<Tag> = Vec::new();
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a stray > before {}", &rest[start..]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let inside = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{document}");
            continue;
        }
        let (inside, closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let tag = parse(inside);
        if !closed && !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        if let Some(id) = tag.get("id") {
            assert!(tags.iter().all(|other| other.get("id") != Some(id)), "the id {id} stands twice");
        }
        tags.push(tag);
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    assert!(!rest.contains('>'), "a stray > at the end");
    tags
}

fn parse(inside: &str) -> Tag {
    let (name, mut rest) = inside.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((inside, ""));
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "a tag's name: {inside}");
    let mut tag = Tag { name: name.to_owned(), attributes: Vec::new() };
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return tag;
        }
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        assert!(name.chars().all(legal) && !name.is_empty(), "an attribute's name: {inside}");
        assert!(tag.get(name).is_none(), "{name} stands twice: {inside}");
        let mut value = "";
        rest = after;
        if let Some(quoted) = after.strip_prefix("=\"") {
            let (inner, after) = quoted.split_once('"').expect("a value ends");
            assert!(after.is_empty() || after.starts_with([' ', '\n']), "a quote too many: {inside}");
            (value, rest) = (inner, after);
        } else {
            assert!(!after.starts_with('='), "not quoted: {inside}");
        }
        tag.attributes.push((name.to_owned(), value.to_owned()));
    }
}
