//! Forms and queries: `application/x-www-form-urlencoded` and nothing else.

/// The fields of a form or query, decoded. Of a field that is given twice the first counts.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body or the part of a URL behind `?`. Never fails: what cannot be decoded is replaced and will not match.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

/// What a pending login can carry, with room to spare.
const MAX_PATH: usize = 3_000;

/// Where to go after a login: a path on this shop, else `/`. Starts with exactly one `/`, followed by neither `/`, `\` nor
/// a control character, so that no browser reads it as another site.
pub fn return_to(asked: Option<&str>) -> &str {
    let Some(path) = asked else { return "/" };
    let local = path.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']));
    // Control characters anywhere: browsers drop some of them, which would turn "/\t/evil" into "//evil".
    if local && path.len() <= MAX_PATH && path.chars().all(|c| !c.is_control()) { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_paths_are_returned_to() {
        for good in ["/", "/cart", "/p/tea?x=1#y", "/a//b", "/a\\b"] {
            assert_eq!(return_to(Some(good)), good);
        }
        for bad in ["", "cart", "//evil", "/\\evil", "/\t/evil", "/\n", "https://evil", "\\/evil", "/\u{7f}", "/a\r\nb"]
        {
            assert_eq!(return_to(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(return_to(None), "/");
    }

    #[test]
    fn fields() {
        let form = Form::parse(b"a=1&b=%C3%BC+x&a=2&bad=%ff&c");
        assert_eq!((form.text("a"), form.text("b"), form.text("c")), (Some("1"), Some("ü x"), Some("")));
        assert_eq!(form.text("d"), None);
    }
}
