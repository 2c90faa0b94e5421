//! Arrows between packages: who may depend on whom.

use super::Complaint;
use crate::manifest::Manifest;

/// Each package of ours with what of ours it may name. A name with `?` must be optional. A new package is entered here.
const ARROWS: [(&str, &[&str]); 11] = [
    ("onceward-backend", &[]),
    ("onceward-idempotency", &["onceward-backend"]),
    ("onceward-cart-store", &["onceward-backend"]),
    ("onceward-oauth-client", &["onceward-backend"]),
    ("onceward-reliable-mq", &["onceward-backend"]),
    ("onceward-dtx", &["onceward-backend", "onceward-reliable-mq?"]),
    ("mini-qq", &[]),
    (
        "shop",
        &[
            "mini-qq",
            "onceward-backend",
            "onceward-cart-store",
            "onceward-dtx",
            "onceward-idempotency",
            "onceward-oauth-client",
            "onceward-reliable-mq",
        ],
    ),
    (
        "benches",
        &[
            "onceward-backend",
            "onceward-cart-store",
            "onceward-dtx",
            "onceward-idempotency",
            "onceward-oauth-client",
            "onceward-reliable-mq",
            "testkit",
        ],
    ),
    ("testkit", &[]),
    ("xtask", &[]),
];

pub(super) fn check(file: &str, manifest: &Manifest) -> Vec<Complaint> {
    let name = manifest.name();
    let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| *package == name) else {
        let text = format!("`{name}` is new: say in xtask/src/tidy/crates.rs what it may depend on");
        return vec![Complaint::new(file, 1, text)];
    };
    let mut found = Vec::new();
    for dependency in manifest.dependencies() {
        let other = dependency.name;
        let ours = ARROWS.iter().any(|(package, _)| *package == other);
        // A crate's tests name the crate itself, with more features, and the test helpers.
        let for_tests = dependency.dev && (other == name || other == "testkit" && !matches!(name, "xtask"));
        if !ours || for_tests || allowed.contains(&other) {
            continue;
        }
        let text = if allowed.iter().any(|entry| entry.strip_suffix('?') == Some(other)) {
            if dependency.optional {
                continue;
            }
            format!("`{name}` names `{other}` behind a feature only: make it optional")
        } else {
            format!("no arrow leads from `{name}` to `{other}`: pass what is needed as a parameter or a trait")
        };
        found.push(Complaint::new(file, dependency.line, text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, rest: &str) -> Vec<Complaint> {
        check("x", &Manifest::parse(&format!("[package]\nname = \"{name}\"\n{rest}")))
    }

    #[test]
    fn siblings_do_not_know_each_other() {
        let told = complaints("onceward-cart-store", "[dependencies]\nonceward-dtx.workspace = true\n");
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].line, 4);
    }

    #[test]
    fn dtx_knows_the_outbox_behind_a_feature_only() {
        let optional = "[dependencies]\nonceward-reliable-mq = { workspace = true, optional = true }\n";
        assert_eq!(complaints("onceward-dtx", optional), []);
        let always = "[dependencies]\nonceward-reliable-mq.workspace = true\n";
        assert_eq!(complaints("onceward-dtx", always).len(), 1);
    }

    #[test]
    fn test_helpers_are_for_tests() {
        let name = "onceward-backend";
        assert_eq!(complaints(name, "[dev-dependencies]\ntestkit.workspace = true\n"), []);
        assert_eq!(complaints(name, "[dependencies]\ntestkit.workspace = true\n").len(), 1);
        assert_eq!(complaints("testkit", "[dev-dependencies]\nonceward-backend = \"1\"\n").len(), 1);
        assert_eq!(complaints("xtask", "[dev-dependencies]\ntestkit.workspace = true\n").len(), 1);
    }

    #[test]
    fn a_new_package_must_say_its_place() {
        assert_eq!(complaints("onceward-new", "").len(), 1);
    }
}
