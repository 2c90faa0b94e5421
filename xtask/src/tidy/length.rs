//! A file does one thing, so it is short; its tests may be longer.

use super::Complaint;
use crate::code::without_tests;

const MOST: usize = 400;

pub(super) fn check(file: &str, text: &str) -> Option<Complaint> {
    if file.ends_with("/mod.rs") && !file.contains("/tests/") {
        let better = file.strip_suffix("/mod.rs").unwrap_or(file);
        return Some(Complaint::new(file, 1, format!("move it to {better}.rs")));
    }
    if file.ends_with("/tests.rs") {
        return None;
    }
    let lines = without_tests(text).lines().count();
    (lines > MOST).then(|| {
        let text = format!("{lines} lines without its tests, at most {MOST}: split it by what changes together");
        Complaint::new(file, MOST + 1, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        let code = "x\n".repeat(MOST);
        let with_tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}}}\n", "    y\n".repeat(100));
        assert_eq!(check("a/src/b.rs", &with_tests), None);
        assert_eq!(check("a/src/b/tests.rs", &"x\n".repeat(900)), None);
    }

    #[test]
    fn one_line_more_is_too_long() {
        let told = check("a/src/b.rs", &"x\n".repeat(MOST + 1)).unwrap().to_string();
        assert!(told.starts_with("a/src/b.rs:401: 401 lines"), "{told}");
    }

    #[test]
    fn a_folder_s_module_stands_beside_it() {
        let told = check("a/src/b/mod.rs", "").unwrap().to_string();
        assert_eq!(told, "a/src/b/mod.rs:1: move it to a/src/b.rs");
    }
}
