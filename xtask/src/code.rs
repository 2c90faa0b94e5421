//! Rust source with comments and literals blanked, so that a search finds code only.

/// The same text, line for line, without what comments, strings and characters hold.
pub(crate) fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The text without `#[cfg(test)] mod … { … }`, which is looked for as rustfmt writes it: at the left edge.
pub(crate) fn without_tests(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let opens = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(opens) {
            lines.by_ref().find(|line| *line == "}");
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Where the comment or literal ends that begins at `at`; `at` itself if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| chars.get(at + offset) == Some(&c);
    let begins_word = at == 0 || !(chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if is(1, '/') => find(chars, at, |c| c == '\n'),
        '/' if is(1, '*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        '\'' if is(1, '\\') => find(chars, at + 3, |c| c == '\'') + 1,
        '\'' if is(2, '\'') => at + 3,
        'r' if begins_word => raw_end(chars, at + 1).unwrap_or(at),
        'b' | 'c' if begins_word && is(1, 'r') => raw_end(chars, at + 2).unwrap_or(at),
        _ => at,
    }
    .min(chars.len())
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|at| wanted(chars[*at])).unwrap_or(chars.len())
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// `at` is behind the `r`; `None` if that is no raw string (such as `r#type`).
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = find(chars, at, |c| c != '#') - at;
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closing = |end: &usize| chars[*end] == '"' && (1..=hashes).all(|offset| chars.get(end + offset) == Some(&'#'));
    let body = at + hashes + 1;
    Some((body..chars.len()).find(closing).map_or(chars.len(), |end| end + hashes + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let source = "a // x\n/* y /* z */ x */ b \"x\\\"x\" c r#\"x\"x\"# d br\"x\" e 'x' '\\'' f\n\"x\nx\" g";
        let letters: String = code(source).chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(letters, "abcdefg");
        assert_eq!(code(source).lines().count(), source.lines().count());
    }

    #[test]
    fn a_lifetime_and_a_raw_name_are_code() {
        for source in ["fn f<'a>(x: &'a str)", "let r#type = bar;", "for_r"] {
            assert_eq!(code(source), source);
        }
    }

    #[test]
    fn an_open_literal_ends_with_the_file() {
        for source in ["\"abc", "r#\"abc", "/* abc", "'\\", "\"\\"] {
            assert_eq!(code(source).trim(), "", "{source}");
        }
    }

    #[test]
    fn only_the_tests_module_is_left_out() {
        let source = "a\n#[cfg(test)]\nmod tests {\n    x\n}\nb\n#[cfg(test)]\nmod more;\n";
        assert_eq!(without_tests(source), "a\nb\n#[cfg(test)]\nmod more;\n");
    }
}
