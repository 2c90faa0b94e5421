//! What every package's folder holds.

use super::{Complaint, manifest_file};
use crate::members::Member;
use std::path::Path;

pub(super) fn check(root: &Path, member: &Member) -> Vec<Complaint> {
    let file = manifest_file(member);
    let mut found = Vec::new();
    if !member.manifest.has_workspace_lints() {
        found.push(Complaint::new(&file, 1, "add `[lints]` with `workspace = true`"));
    }
    if member.manifest.published() {
        for name in ["README.md", "CHANGELOG.md"] {
            if !root.join(&member.folder).join(name).is_file() {
                let text = format!("{name} is missing beside it: every published crate has one");
                found.push(Complaint::new(&file, 1, text));
            }
        }
        if member.manifest.value("package", "readme").is_none() {
            found.push(Complaint::new(&file, 1, "add `readme = \"README.md\"` to `[package]`"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn a_bare_crate_lacks_everything() {
        let manifest = Manifest::parse("[package]\nname = \"x\"\n");
        let member = Member { folder: "nowhere".into(), manifest };
        assert_eq!(check(Path::new("/nonexistent"), &member).len(), 4);
    }

    #[test]
    fn an_unpublished_one_needs_only_the_lints() {
        let text = "[package]\nname = \"x\"\npublish = false\n[lints]\nworkspace = true\n";
        let member = Member { folder: "nowhere".into(), manifest: Manifest::parse(text) };
        assert_eq!(check(Path::new("/nonexistent"), &member), []);
    }
}
