//! Paths that begin with `crate::` or `super::`, groups spelled out.

/// The path's segments after `crate`, and the line it begins on. `module` is where the source stands.
pub(super) fn paths(code: &str, module: &[String]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let mut rest = &code[at + root.len()..];
            let mut base = Vec::new();
            if root == "super::" {
                base = module.to_vec();
                base.pop();
                while let Some(more) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = more;
                }
            }
            let line = before.matches('\n').count() + 1;
            let mut tree = Vec::new();
            branches(rest, &base, &mut tree);
            found.extend(tree.into_iter().map(|path| (path, line)));
        }
    }
    found
}

/// Reads one use-tree at the beginning of `text` and adds its leaves; answers how many bytes it took.
pub(super) fn branches(text: &str, base: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        at += blank(&text[at..]);
        let rest = &text[at..];
        if let Some(group) = rest.strip_prefix('{') {
            at += 1;
            let mut inside = 0;
            while inside < group.len() && !group[inside..].starts_with('}') {
                let before = inside;
                inside += branches(&group[inside..], &path, found);
                // To the comma or the end, over `as name`.
                inside += group[inside..].find([',', '}']).unwrap_or(group.len() - inside);
                if group[inside..].starts_with(',') {
                    inside += 1;
                }
                inside += blank(&group[inside..]);
                if inside == before {
                    break;
                }
            }
            return at + inside + 1;
        }
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        at += word.len();
        if word.is_empty() {
            break;
        }
        if word != "self" {
            path.push(word);
        }
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    found.push(path);
    at
}

fn blank(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(code: &str, module: &str) -> Vec<String> {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        paths(code, &module).into_iter().map(|(path, line)| format!("{line} {}", path.join("::"))).collect()
    }

    #[test]
    fn groups_are_spelled_out() {
        let code = "use crate::{\n    a::{B, c::D as E},\n    f,\n    g::{self, H},\n};\nlet x = crate::i::J::new();";
        assert_eq!(joined(code, "m"), ["1 a::B", "1 a::c::D", "1 f", "1 g", "1 g::H", "6 i::J::new"]);
    }

    #[test]
    fn super_counts_from_the_module() {
        assert_eq!(joined("use super::x::Y; super::super::z()", "a::b"), ["1 a::x::Y", "1 z"]);
    }

    #[test]
    fn another_crate_s_path_is_not_ours() {
        assert_eq!(joined("use foo::crate_::x; $crate::y; mysuper::z", "a"), Vec::<String>::new());
    }
}
