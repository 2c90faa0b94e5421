//! Arrows between the modules of one crate: downwards only.

use super::uses::{branches, paths};
use super::{Complaint, Source};
use crate::code::{code, without_tests};
use std::collections::{BTreeSet, HashMap};

/// Layers from the bottom up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Pure data and functions, the crate's error among them.
    Model,
    /// What a third party implements.
    Traits,
    /// An implementation of a trait on one driver.
    Adapter,
    /// Whatever is not named below: a new module is one until it is entered there.
    Service,
    /// Tower layers and handlers.
    Edge,
    /// The conformance suite: it may name everything, and only `lib.rs` names it.
    Suite,
    Root,
}

/// Known names; a submodule is of its parent's rank unless it is known itself. `::` before a name: at the top only.
const RANKS: [(Rank, &[&str]); 5] = [
    (
        Rank::Model,
        &[
            "::options",
            "binder",
            "callback",
            "cart",
            "codec",
            "codes",
            "digest",
            "error",
            "frame",
            "ident",
            "identity",
            "image",
            "key",
            "list",
            "lock",
            "log",
            "merge",
            "message",
            "pending",
            "random",
            "record",
            "state",
            "turn",
            "types",
        ],
    ),
    // What adapters are given to work with stands beside the traits.
    (Rank::Traits, &["coordinator", "http", "pattern"]),
    (Rank::Adapter, &["place"]),
    (Rank::Edge, &["layer", "web"]),
    (Rank::Suite, &["conformance"]),
];

/// `store.rs` holds traits, `store/memory.rs` implements them.
const FAMILIES: [&str; 3] = ["broker", "provider", "store"];

fn rank(module: &[String]) -> Rank {
    if module.is_empty() {
        return Rank::Root;
    }
    if module.iter().any(|name| name == "conformance") {
        return Rank::Suite;
    }
    for (depth, name) in module.iter().enumerate().rev() {
        if FAMILIES.contains(&name.as_str()) {
            return if depth + 1 == module.len() { Rank::Traits } else { Rank::Adapter };
        }
        let is = |known: &&str| *known == name || depth == 0 && known.strip_prefix("::") == Some(name);
        if let Some((rank, _)) = RANKS.iter().find(|(_, names)| names.iter().any(is)) {
            return *rank;
        }
    }
    Rank::Service
}

/// `sources` are the files of one crate, each with its path from `src/` on.
pub(super) fn check(sources: &[(&str, &Source)]) -> Vec<Complaint> {
    let modules: BTreeSet<_> = sources.iter().map(|(path, _)| module_of(path)).collect();
    let exported: Exports = sources.iter().map(|(path, s)| (module_of(path), exports(&code(&s.text)))).collect();
    let mut found = Vec::new();
    for (path, source) in sources {
        let module = module_of(path);
        let own = rank(&module);
        if path.starts_with("bin/") || *path == "main.rs" || module.iter().any(|name| name == "tests") {
            continue;
        }
        let code = without_tests(&code(&source.text));
        for (target, line) in paths(&code, &module) {
            let target = resolve(&target, &modules, &exported);
            let theirs = rank(&target);
            // The root's own items (its macros, its re-exports of other crates) have no rank.
            if target.is_empty() || theirs <= own || target.starts_with(&module) {
                continue;
            }
            let text = format!(
                "`{}` ({own:?}) may not name `{}` ({theirs:?}): arrows lead down only; pass it in, move what is \
                 shared down, or enter the module's rank in xtask/src/tidy/modules.rs",
                module.join("::"),
                target.join("::")
            );
            found.push(Complaint::new(&source.file, line, text));
        }
    }
    found.dedup();
    found
}

fn module_of(path: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let names = stem.split('/').map(str::to_owned);
    names.filter(|name| !matches!(name.as_str(), "lib" | "main")).collect()
}

/// Of each module, the names that it passes on and where they come from.
type Exports = HashMap<Vec<String>, HashMap<String, Vec<String>>>;

/// The module that a path leads to: the longest part that is one, then on through what that module passes on.
fn resolve(path: &[String], modules: &BTreeSet<Vec<String>>, exported: &Exports) -> Vec<String> {
    let mut path = path.to_vec();
    // A chain of re-exports is short; two that name each other end here.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|n| modules.contains(&path[..*n])).unwrap_or(0);
        let (home, rest) = path.split_at(depth);
        let passed_on = rest.first().and_then(|name| exported.get(home)?.get(name));
        let next = passed_on.map(|origin| {
            let inside = [home, origin].concat();
            let known = (home.len() + 1..=inside.len()).any(|n| modules.contains(&inside[..n]));
            if known { inside } else { origin.clone() }
        });
        match next {
            Some(next) if next != path => path = next,
            _ => return home.to_vec(),
        }
    }
    path
}

/// Name and the path that it stands for, from `pub use`: below this module, or from the root.
fn exports(code: &str) -> HashMap<String, Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("pub") {
        let rest = code[at + 3..].trim_start();
        let inside = rest.strip_prefix("(crate)").or(rest.strip_prefix("(super)"));
        let Some(rest) = inside.unwrap_or(rest).trim_start().strip_prefix("use ") else { continue };
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("crate::").or(rest.strip_prefix("self::")).unwrap_or(rest);
        branches(rest, &[], &mut found);
    }
    found.into_iter().filter_map(|path| Some((path.last()?.clone(), path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of these files; answers `module -> module` of each forbidden arrow.
    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> =
            files.iter().map(|(file, text)| Source { file: (*file).to_owned(), text: (*text).to_owned() }).collect();
        let files: Vec<_> = sources.iter().map(|s| (s.file.as_str(), s)).collect();
        let names = |c: Complaint| {
            let parts: Vec<_> = c.text.split('`').map(str::to_owned).collect();
            format!("{} -> {}", parts[1], parts[3])
        };
        check(&files).into_iter().map(names).collect()
    }

    const LIB: (&str, &str) = ("lib.rs", "mod outbox; pub use outbox::Outbox; pub use error::Error;");

    #[test]
    fn a_store_may_not_name_a_service() {
        let store = ("store/sql.rs", "use crate::outbox::Outbox;");
        let told = arrows(&[LIB, ("outbox.rs", ""), store]);
        assert_eq!(told, ["store::sql -> outbox"]);
    }

    #[test]
    fn a_re_export_at_the_root_does_not_hide_the_arrow() {
        let files = [LIB, ("error.rs", ""), ("outbox.rs", ""), ("record.rs", "use crate::{Error, Outbox};")];
        assert_eq!(arrows(&files), ["record -> outbox"]);
    }

    #[test]
    fn a_type_counts_where_it_is_defined() {
        let files = [
            ("lib.rs", "pub use store::Key; mod store;"),
            ("store.rs", "pub use types::{Key, Other}; mod types;"),
            ("store/types.rs", ""),
            ("record.rs", "use crate::{Key, store::Other}; use crate::store::Store;"),
        ];
        assert_eq!(arrows(&files), ["record -> store"]);
    }

    #[test]
    fn the_model_names_no_trait_and_no_layer_is_named_from_below() {
        let files = [
            LIB,
            ("store.rs", ""),
            ("layer.rs", "use crate::outbox::Outbox;"),
            ("outbox.rs", "use crate::store::Store; fn f() { crate::layer::g() }"),
            ("message.rs", "use super::store::Store;"),
        ];
        assert_eq!(arrows(&files), ["outbox -> layer", "message -> store"]);
    }

    #[test]
    fn downwards_is_fine_and_so_are_own_submodules_and_tests() {
        let files = [
            LIB,
            ("error.rs", ""),
            ("store.rs", "use crate::store::memory::M; use crate::record::R;"),
            ("store/memory.rs", "use super::Store; use crate::error::Error;"),
            ("record.rs", "#[cfg(test)]\nmod tests {\n    use crate::outbox::Outbox;\n}\n"),
            ("outbox.rs", "use crate::{error::Error, store::{memory::M, Store}};"),
            ("conformance.rs", "use crate::outbox::Outbox;"),
        ];
        assert_eq!(arrows(&files), Vec::<String>::new());
    }

    #[test]
    fn a_comment_names_nothing() {
        let files = [LIB, ("outbox.rs", ""), ("record.rs", "/// See [`crate::outbox::Outbox`].\nstruct R;")];
        assert_eq!(arrows(&files), Vec::<String>::new());
    }
}
