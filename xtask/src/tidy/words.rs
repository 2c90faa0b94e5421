//! What means "not done" or "not looked at".

use super::Complaint;
use crate::code::code;

const REFUSED: [(&str, &str); 5] = [
    ("todo!", "write it, or leave the item out"),
    ("unimplemented!", "write it, or leave the item out"),
    ("dbg!", "remove it, or trace"),
    ("#[ignore", "make the test run, or delete it; what takes long scales with ONCEWARD_SCALE"),
    ("#![ignore", "make the test run, or delete it; what takes long scales with ONCEWARD_SCALE"),
];

pub(super) fn check(file: &str, text: &str) -> Vec<Complaint> {
    let code = code(text);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, instead) in REFUSED {
            if holds(line, word) {
                found.push(Complaint::new(file, number, format!("`{word}`: {instead}")));
            }
        }
    }
    found
}

/// Is the word there, and not the end of a longer name?
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_code_is_refused() {
        let told = check("a.rs", "fn f() {\n    todo!()\n}\n#[ignore = \"slow\"]\nfn g() { dbg!(1); }\n");
        let lines: Vec<_> = told.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [2, 4, 5]);
    }

    #[test]
    fn the_word_in_text_or_in_a_longer_name_is_not() {
        assert_eq!(check("a.rs", "// todo!()\nlet x = \"todo!\"; my_todo!();"), []);
    }
}
