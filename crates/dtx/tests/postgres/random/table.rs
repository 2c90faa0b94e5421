//! Random tables: keys of every type that may be one, columns of every type, generated ones, references.

use testkit::Rng;

use super::Value;
use crate::script::{Part, Statement, Style, of, piece, text};
use crate::types::TYPES;

/// What keys are made of.
const KEYS: [&str; 10] =
    ["bigint", "smallint", "text", "uuid", "numeric", "date", "timestamptz", "char(5)", "bytea", "shade"];
/// Types of which equal values need not be the same, or that cannot be compared at all.
const UNEQUAL: [&str; 4] = ["json", "xml", "point", "polygon"];
/// Types that can be a unique key.
const UNIQUE: [&str; 10] =
    ["integer", "numeric", "text", "varchar(9)", "bytea", "date", "timestamptz", "uuid", "mood", "char(5)"];

pub(super) struct Table {
    /// As statements write it.
    pub(super) name: &'static str,
    pub(super) key: Vec<Column>,
    /// True if only the server gives keys.
    pub(super) always: bool,
    /// The columns that a statement may set, without `n` and `up`.
    pub(super) columns: Vec<Column>,
    /// A number, unique or not.
    pub(super) n: Option<(Column, Unique)>,
    /// A reference to another row.
    pub(super) up: Option<Column>,
    /// The table, and what is added to it by further statements.
    pub(super) create: Vec<Statement>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unique {
    No,
    AtOnce,
    Late,
}

#[derive(Clone)]
pub(super) struct Column {
    /// What shrinking knows it by.
    pub(super) tag: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    values: &'static [&'static str],
}

impl Column {
    fn new(table: &str, name: &str, kind: &'static str, values: &'static [&'static str]) -> Self {
        Self { tag: format!("{table}.{name}"), name: format!("\"{name}\""), kind, values }
    }

    pub(super) fn is_comparable(&self) -> bool {
        !UNEQUAL.contains(&self.kind)
    }

    pub(super) fn value(&self, rng: &mut Rng) -> Value {
        if self.values.is_empty() {
            return Value::new(self.kind, rng.below(9).to_string());
        }
        if rng.chance(0.15) {
            return Value { kind: self.kind, text: None };
        }
        Value::new(self.kind, *rng.pick(self.values))
    }

    /// The value of a key by its number, in their order.
    pub(super) fn numbered(&self, n: u64) -> Value {
        let text = match self.kind {
            "text" => format!("k_{n:02},"),
            "uuid" => format!("00000000-0000-0000-0000-0000000000{n:02}"),
            "numeric" => format!("{n}.50"),
            "date" => format!("2026-02-{n:02}"),
            "timestamptz" => format!("2026-02-01 00:00:{n:02}.000001+00"),
            "char(5)" => format!("k{n:02}"),
            "bytea" => format!("\\x00{n:02}"),
            "shade" => ["red", "green", "blue"]
                .get(usize::try_from(n).unwrap() - 1)
                .map_or_else(|| char::from(b'c' + u8::try_from(n).unwrap() - 4).to_string(), |&name| name.to_owned()),
            _ => n.to_string(),
        };
        Value::new(self.kind, text)
    }
}

impl Table {
    /// The parts of a key by its number.
    pub(super) fn key_of(&self, n: u64) -> Vec<Value> {
        self.key.iter().map(|column| column.numbered(n)).collect()
    }
}

/// A table, or one that refers to another.
pub(super) fn table(rng: &mut Rng, parent: Option<&Table>) -> Table {
    let (name, tag) = if parent.is_some() { ("\"U u\"", "u") } else { ("t", "t") };
    let (mut list, key, always) = key(rng, tag);
    let columns: Vec<_> = (0..2 + rng.below(4))
        .map(|at| {
            let (kind, values) = rng.pick(&TYPES);
            Column::new(tag, &format!("c\"\"\"\" {at}"), kind, values)
        })
        .collect();
    for column in &columns {
        let mut parts = vec![text(format!("{} {}", column.name, column.kind))];
        if UNIQUE.contains(&column.kind) && rng.chance(0.05) {
            parts.push(piece([text(" unique")]));
        }
        if rng.chance(0.1) {
            parts.push(piece([text(" default "), Part::Value(column.value(rng))]));
        }
        list.push(of(&column.tag, parts));
    }
    let mut n = rng.chance(0.6).then(|| number(rng, tag, &mut list));
    let up =
        (rng.chance(0.5) || parent.is_some()).then(|| reference(rng, tag, name, &key, parent, &mut list)).flatten();
    let create = definition(rng, name, tag, list, &key, &mut n, &columns);
    Table { name, key, always, columns, n, up, create }
}

/// The table, whole or in partitions, with a gap where a column was, with indexes, and with a trigger.
fn definition(
    rng: &mut Rng,
    name: &str,
    tag: &str,
    mut list: Vec<Part>,
    key: &[Column],
    n: &mut Option<(Column, Unique)>,
    columns: &[Column],
) -> Vec<Statement> {
    let literal = |parts: Vec<Part>| Statement::new(Style::Literals, parts);
    let line = |line: String| literal(vec![text(line)]);
    let mut more = Vec::new();
    if rng.chance(0.2) {
        list.insert(0, text("\"gone\" integer"));
        more.push(line(format!("alter table {name} drop column \"gone\"")));
    }
    let text_of_all: String = list.iter().map(ToString::to_string).collect();
    let last = &key.last().map(|column| column.name.clone()).unwrap_or_default();
    let whole = ["unique", "identity"].iter().any(|words| text_of_all.contains(words));
    let split = !whole && rng.chance(0.3);
    let tail = if split { format!(") partition by hash ({last})") } else { ")".to_owned() };
    if split {
        for part in 0..2 {
            let parent = format!("create table \"{tag} part {part}\" partition of {name}");
            more.push(line(format!("{parent} for values with (modulus 2, remainder {part})")));
        }
    }
    if let Some((n, unique)) = n {
        if !split && !whole && rng.chance(0.4) {
            let how = *rng.pick(&["((\"n\" + 1))", "(\"n\") where \"n\" > 23", "((\"n\"::text)) include (\"n\")"]);
            *unique = Unique::AtOnce;
            more.push(literal(vec![
                text("create unique index "),
                Part::List(vec![of(&n.tag, [text(format!("on {name} {how}"))])]),
            ]));
        }
        if rng.chance(0.2) {
            list.push(of(&n.tag, [text("\"d\" integer")]));
            let trigger = format!(
                "create trigger derive before insert or update on {name} for each row execute function derive()"
            );
            more.push(literal(vec![Part::List(vec![of(&n.tag, [text(trigger)])])]));
        }
    }
    if let Some(column) = columns.iter().find(|column| column.kind == "text").filter(|_| !split && rng.chance(0.2)) {
        let index = format!("create unique index on {name} (lower({}), {last})", column.name);
        more.push(literal(vec![Part::List(vec![of(&column.tag, [text(index)])])]));
    }
    let table = literal(vec![text(format!("create table {name} (")), Part::List(list), text(tail)]);
    [vec![table], more].concat()
}

fn key(rng: &mut Rng, tag: &str) -> (Vec<Part>, Vec<Column>, bool) {
    let id = |kind| Column::new(tag, "id", kind, &[]);
    match rng.below(10) {
        0..=1 => {
            let definition = "\"id\" bigint generated by default as identity (start 50) primary key";
            (vec![text(definition)], vec![id("bigint")], false)
        }
        2 => (vec![text("\"id\" integer generated always as identity primary key")], vec![id("integer")], true),
        3..=4 => {
            let (part, id) = (Column::new(tag, "Part", "text", &[]), id("integer"));
            let list = ["\"id\" integer", "\"Part\" text", "primary key (\"Part\", \"id\")"].map(text);
            (list.to_vec(), vec![part, id], false)
        }
        _ => {
            let kind = rng.pick(&KEYS);
            (vec![text(format!("\"id\" {kind} primary key"))], vec![id(kind)], false)
        }
    }
}

/// A number, which may be unique, and may have columns that follow it.
fn number(rng: &mut Rng, tag: &str, list: &mut Vec<Part>) -> (Column, Unique) {
    let n = Column::new(tag, "n", "integer", &[]);
    let (unique, words) = *rng.pick(&[
        (Unique::No, ""),
        (Unique::AtOnce, " unique"),
        (Unique::Late, " unique deferrable"),
        (Unique::Late, " unique deferrable initially deferred"),
    ]);
    let mut parts = vec![text("\"n\" integer"), piece([text(words)])];
    if rng.chance(0.2) {
        parts.push(piece([text(" check (\"n\" < 50)")]));
    }
    list.push(of(&n.tag, parts));
    if rng.chance(0.4) {
        list.push(piece([of(&n.tag, [text("\"g\" text generated always as (\"n\" || ' of it') stored")])]));
    }
    if rng.chance(0.2) {
        list.push(piece([of(&n.tag, [text("\"h\" numeric generated always as (\"n\" * 1.50) stored")])]));
    }
    (n, unique)
}

/// A reference to the parent, or to the table itself; none if that has a key of several columns.
fn reference(
    rng: &mut Rng,
    tag: &str,
    name: &str,
    key: &[Column],
    parent: Option<&Table>,
    list: &mut Vec<Part>,
) -> Option<Column> {
    let (other, [id]) = parent.map_or((name, key), |parent| (parent.name, &parent.key)) else { return None };
    let up = Column::new(tag, "up", id.kind, &[]);
    let late = *rng.pick(&["", " deferrable initially deferred", " deferrable", " on delete restrict"]);
    let parts =
        [text(format!("{} {}", up.name, up.kind)), piece([text(format!(" references {other}")), piece([text(late)])])];
    list.push(of(&up.tag, parts));
    Some(up)
}
