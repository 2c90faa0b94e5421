//! The packages of the workspace, from its manifests.

use crate::manifest::{Manifest, strings};
use crate::services::{self, Service};
use crate::{Result, paths};
use std::fs;
use std::path::{Path, PathBuf};

/// One package.
#[derive(Debug)]
pub(crate) struct Member {
    /// Relative to the root.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        self.manifest.name()
    }

    /// The features that tests want and that no manifest switches on: servers to test against, marks to kill at.
    pub(crate) fn test_features(&self) -> Vec<String> {
        let wanted = |name: &&str| ALONE.contains(name) || services::ALL.iter().any(|service| service.feature == *name);
        self.manifest.features().filter(wanted).map(str::to_owned).collect()
    }

    /// The names of its test programs that stop services.
    pub(crate) fn apart(&self) -> Vec<&str> {
        self.manifest.value("package.metadata.onceward", "apart").map(strings).unwrap_or_default()
    }

    /// The services that its tests ask for.
    pub(crate) fn services(&self) -> impl Iterator<Item = &'static Service> {
        services::ALL.into_iter().filter(|service| self.manifest.features().any(|name| name == service.feature))
    }
}

/// Features of tests that bring what they need: Kafka's client library has a cluster in itself.
const ALONE: [&str; 2] = ["failpoints", "test-kafka"];

/// All members, sorted by folder.
pub(crate) fn all() -> Result<Vec<Member>> {
    let root = paths::workspace()?;
    let manifest = read(&root)?;
    let members = manifest.value("workspace", "members").unwrap_or_default();
    let mut folders = Vec::new();
    for pattern in strings(members) {
        match pattern.strip_suffix("/*") {
            None => folders.push(PathBuf::from(pattern)),
            Some(parent) => {
                let entries = fs::read_dir(root.join(parent)).map_err(|e| format!("{parent}: {e}"))?;
                folders.extend(entries.flatten().map(|entry| Path::new(parent).join(entry.file_name())));
            }
        }
    }
    folders.retain(|folder| root.join(folder).join("Cargo.toml").is_file());
    folders.sort();
    folders.into_iter().map(|folder| Ok(Member { manifest: read(&root.join(&folder))?, folder })).collect()
}

/// The members that these names mean: a package, or its folder's last part.
pub(crate) fn named(names: &[String]) -> Result<Vec<Member>> {
    let mut members = all()?;
    if names.is_empty() {
        return Ok(members);
    }
    let is = |member: &Member, name: &str| {
        member.name() == name || member.folder.file_name().is_some_and(|last| last == name)
    };
    for name in names {
        if !members.iter().any(|member| is(member, name)) {
            let known: Vec<_> = members.iter().map(Member::name).collect();
            return Err(format!("no crate `{name}`; known are: {}", known.join(" ")));
        }
    }
    members.retain(|member| names.iter().any(|name| is(member, name)));
    Ok(members)
}

fn read(folder: &Path) -> Result<Manifest> {
    let file = folder.join("Cargo.toml");
    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(Manifest::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_found_by_package_and_by_folder() {
        for name in ["onceward-idempotency", "idempotency"] {
            let found = named(&[name.to_owned()]).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].name(), "onceward-idempotency");
        }
        assert!(named(&["nothing".to_owned()]).unwrap_err().contains("onceward-backend"));
    }

    #[test]
    fn only_features_for_tests_are_switched_on() {
        let manifest = Manifest::parse(
            "[package]\nname = \"x\"\n[features]\nsql = []\nfailpoints = []\ntest-redis = []\ntest-oidc = []\n",
        );
        let member = Member { folder: PathBuf::new(), manifest };
        assert_eq!(member.test_features(), ["failpoints", "test-redis"]);
        assert_eq!(member.services().map(|s| s.name).collect::<Vec<_>>(), ["redis"]);
    }
}
