//! As much of `Cargo.toml` as this tool asks for: sections, keys, values as raw text.

/// The sections of a manifest, each with its entries, in their order.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    sections: Vec<(String, Vec<Entry>)>,
}

/// One `key = value` and the line it stands on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// A dependency on another package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    pub(crate) optional: bool,
    pub(crate) dev: bool,
    pub(crate) line: usize,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Self {
        let mut manifest = Self { sections: vec![(String::new(), Vec::new())] };
        let mut lines = text.lines().enumerate();
        while let Some((number, raw)) = lines.next() {
            let line = without_comment(raw).trim();
            if let Some(header) = line.strip_prefix('[').filter(|_| !line.contains('=')) {
                let name = header.trim_matches(['[', ']']).trim().to_owned();
                manifest.sections.push((name, Vec::new()));
            } else if let Some((key, value)) = line.split_once('=') {
                let mut value = value.trim().to_owned();
                while depth(&value) > 0 {
                    let Some((_, more)) = lines.next() else { break };
                    value.push(' ');
                    value.push_str(without_comment(more).trim());
                }
                let key = key.trim().trim_matches('"').to_owned();
                if let Some((_, entries)) = manifest.sections.last_mut() {
                    entries.push(Entry { key, value, line: number + 1 });
                }
            }
        }
        manifest
    }

    /// All entries below headers with this name.
    pub(crate) fn section(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let name = name.to_owned();
        self.sections.iter().filter(move |(other, _)| *other == name).flat_map(|(_, e)| e)
    }

    pub(crate) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.section(section).find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    pub(crate) fn name(&self) -> &str {
        self.value("package", "name").unwrap_or_default().trim_matches('"')
    }

    /// Is it meant for the registry?
    pub(crate) fn published(&self) -> bool {
        self.value("package", "publish") != Some("false")
    }

    pub(crate) fn has_workspace_lints(&self) -> bool {
        self.value("lints", "workspace") == Some("true")
    }

    pub(crate) fn features(&self) -> impl Iterator<Item = &str> {
        self.section("features").map(|entry| entry.key.as_str())
    }

    /// What it depends on, in every manner that Cargo knows but build scripts.
    pub(crate) fn dependencies(&self) -> Vec<Dependency<'_>> {
        let mut found = Vec::new();
        for (section, entries) in &self.sections {
            let last = section.rsplit('.').next().unwrap_or_default();
            if matches!(last, "dependencies" | "dev-dependencies") && !section.starts_with("workspace") {
                for Entry { key, value, line } in entries {
                    let name = key.split('.').next().unwrap_or_default();
                    let optional = value.contains("optional = true");
                    let dev = last == "dev-dependencies";
                    found.push(Dependency { name, optional, dev, line: *line });
                }
            }
        }
        found
    }
}

/// The strings of an array.
pub(crate) fn strings(array: &str) -> Vec<&str> {
    array.split('"').skip(1).step_by(2).collect()
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// How many brackets are open at the end.
fn depth(value: &str) -> i32 {
    let mut quoted = false;
    value.chars().fold(0, |depth, c| {
        quoted ^= c == '"';
        match c {
            '[' | '{' if !quoted => depth + 1,
            ']' | '}' if !quoted => depth - 1,
            _ => depth,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[package]
name = "onceward-x"   # a comment
publish = false

[features]
default = []
sql = ["dep:sqlx", "a#b",
    "c/d",   # why
]
test-redis = ["redis"]

[dependencies]
sqlx = { workspace = true, optional = true }
onceward-backend.workspace = true

[target.'cfg(unix)'.dependencies]
libc = "1"

[dev-dependencies]
testkit.workspace = true

[[test]]
name = "redis"

[lints]
workspace = true
"#;

    #[test]
    fn what_the_tool_asks_for_is_found() {
        let manifest = Manifest::parse(TEXT);
        assert_eq!(manifest.name(), "onceward-x");
        assert!(!manifest.published());
        assert!(manifest.has_workspace_lints());
        assert_eq!(manifest.features().collect::<Vec<_>>(), ["default", "sql", "test-redis"]);
        let sql = manifest.value("features", "sql").unwrap();
        assert_eq!(strings(sql), ["dep:sqlx", "a#b", "c/d"]);
    }

    #[test]
    fn dependencies_of_every_section_are_found() {
        let manifest = Manifest::parse(TEXT);
        let found: Vec<_> = manifest.dependencies().iter().map(|d| (d.name, d.optional, d.dev)).collect();
        assert_eq!(
            found,
            [
                ("sqlx", true, false),
                ("onceward-backend", false, false),
                ("libc", false, false),
                ("testkit", false, true)
            ]
        );
        assert_eq!(manifest.dependencies()[1].line, 15);
    }

    #[test]
    fn the_workspace_s_own_table_is_not_a_dependency() {
        let manifest = Manifest::parse("[workspace.dependencies]\nsqlx = \"1\"\n");
        assert_eq!(manifest.dependencies(), []);
    }
}
