//! Random tables: keys of all kinds, columns of every affinity, strict tables, generated columns, collations, references.

use testkit::Rng;

use super::Value;
use crate::script::{Part, Statement, Style, of, piece, text};

const TYPES: [&str; 8] = ["", "integer", "real", "text", "blob", "numeric", "boolean", "datetime"];
const STRICT: [&str; 6] = ["int", "integer", "real", "text", "blob", "any"];

pub(super) struct Table {
    /// As statements write it.
    pub(super) name: &'static str,
    /// The last one is a number, or a text of one.
    pub(super) key: Vec<&'static str>,
    /// True if keys are texts.
    pub(super) named: bool,
    /// True if the file gives a key that is left out.
    pub(super) given: bool,
    /// The columns that a statement may set, without `n` and `up`.
    pub(super) columns: Vec<Column>,
    /// A number, unique or not.
    pub(super) n: Option<(Column, bool)>,
    /// A reference to another row.
    pub(super) up: Option<Column>,
    /// The table, and what is added to it by further statements.
    pub(super) create: Vec<Statement>,
}

#[derive(Clone)]
pub(super) struct Column {
    /// What shrinking knows it by.
    pub(super) tag: String,
    pub(super) name: String,
    kind: &'static str,
    strict: bool,
    pub(super) unique: bool,
}

impl Column {
    fn new(table: &str, name: &str, kind: &'static str, strict: bool) -> Self {
        Self { tag: format!("{table}.{name}"), name: format!("\"{name}\""), kind, strict, unique: false }
    }

    /// A value of any class; in a strict table mostly one of the column's own.
    pub(super) fn value(&self, rng: &mut Rng) -> Value {
        let small = i64::try_from(rng.below(7)).unwrap() - 3;
        let pick = match (self.strict && !rng.chance(0.03), self.kind) {
            (true, "int" | "integer") => rng.below(6),
            (true, "real") => [0, 6][usize::try_from(rng.below(2)).unwrap()],
            (true, "blob") => [0, 7][usize::try_from(rng.below(2)).unwrap()],
            (true, "text") => [0, 9][usize::try_from(rng.below(2)).unwrap()],
            _ => rng.below(12),
        };
        match pick {
            0 => Value::Null,
            1..=4 => Value::Int(small),
            5 => Value::Int(*rng.pick(&[1 << 62, i64::MIN, 1 << 53, 0])),
            6 => Value::Real(*rng.pick(&[0.1, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 3.0])),
            7 => Value::Blob(rng.pick(&[vec![], vec![0, 255], b"text".to_vec()]).clone()),
            _ => Value::Text(
                (*rng.pick(&["", "a", "A", "12", " 1 ", "1e3", "it's", "ü🦀", "nul\0inside", "?"])).to_owned(),
            ),
        }
    }
}

impl Table {
    /// The parts of a key by its number.
    pub(super) fn key_of(&self, n: u64) -> Vec<Value> {
        let last = if self.named { Value::Text(format!("k{n:02}")) } else { Value::Int(n.cast_signed()) };
        if self.key.len() > 1 { vec![Value::Text(format!("p_{n}")), last] } else { vec![last] }
    }

    /// The value of `up` for the row of that number.
    pub(super) fn refers_to(&self, n: u64) -> Value {
        let named = self.up.as_ref().is_some_and(|up| up.kind == "text");
        if named { Value::Text(format!("k{n:02}")) } else { Value::Int(n.cast_signed()) }
    }
}

/// A table, or one that refers to another.
pub(super) fn table(rng: &mut Rng, parent: Option<&Table>) -> Table {
    let (name, tag) = if parent.is_some() { ("\"U u\"", "u") } else { ("t", "t") };
    let strict = rng.chance(0.3);
    let (mut list, key, named, given) = key(rng, strict);
    let mut columns: Vec<_> = (0..1 + rng.below(4))
        .map(|at| {
            Column::new(
                tag,
                &format!("c\"\"\"\" {at}"),
                if strict { rng.pick::<&str>(&STRICT) } else { rng.pick::<&str>(&TYPES) },
                strict,
            )
        })
        .collect();
    for column in &mut columns {
        let mut parts = vec![text(format!("{} {}", column.name, column.kind))];
        let clauses: [(f64, &str); 6] = [
            (0.1, " collate nocase"),
            (0.1, " collate rtrim"),
            (0.05, " unique"),
            (0.05, " not null default 7"),
            (0.1, " default 'none'"),
            (0.1, " check (typeof(\"id\") is not null)"),
        ];
        let mut chosen =
            clauses.iter().filter(|(chance, _)| rng.chance(*chance)).map(|(_, words)| *words).collect::<Vec<_>>();
        chosen.truncate(1);
        column.unique = chosen == [" unique"];
        parts.extend(chosen.into_iter().map(|words| piece([text(words)])));
        list.push(of(&column.tag, parts));
    }
    let n = rng.chance(0.6).then(|| number(rng, tag, strict, &mut list));
    let up = (rng.chance(0.5) || parent.is_some())
        .then(|| reference(rng, tag, name, &key, named, parent, &mut list))
        .flatten();
    if key.len() > 1 {
        list.push(text("primary key (\"Part\", \"id\")"));
    }
    let mut tail = Vec::new();
    if strict {
        tail.push(piece([text("strict")]));
    }
    if !given && rng.chance(0.4) {
        tail.push(piece([text("without rowid")]));
    }
    let mut parts = vec![text(format!("create table {name} (")), Part::List(list), text(") ")];
    if !tail.is_empty() {
        parts.push(piece([Part::List(tail)]));
    }
    let mut create = vec![Statement::new(Style::Literals, parts)];
    create.extend(added(rng, name, &n, &columns));
    Table { name, key, named, given, columns, n, up, create }
}

/// Indexes, and triggers that derive a column from another.
fn added(rng: &mut Rng, name: &str, n: &Option<(Column, bool)>, columns: &[Column]) -> Vec<Statement> {
    let about = |column: &Column, words: String| {
        Statement::new(Style::Literals, [Part::List(vec![of(&column.tag, [text(words)])])])
    };
    let index = format!("create unique index \"{} n\" on {name}", name.trim_matches('"'));
    let mut added = Vec::new();
    if let Some((n, true)) = n {
        let how = rng.pick::<&str>(&["(\"n\" + 1)", "(\"n\") where \"n\" > 23", "(\"n\" || 'x' collate nocase)"]);
        added.push(about(n, format!("{index} {how}")));
    } else if let Some((n, false)) = n
        && rng.chance(0.3)
    {
        for (trigger, event) in [("derive", "update of \"n\""), ("derive_new", "insert")] {
            let set = format!("update {name} set {0} = new.\"n\" * 2 where \"id\" = new.\"id\"", columns[0].name);
            added.push(about(n, format!("create trigger \"{trigger}\" after {event} on {name} begin {set}; end")));
        }
    }
    added
}

fn key(rng: &mut Rng, strict: bool) -> (Vec<Part>, Vec<&'static str>, bool, bool) {
    let one = |definition: &str, named, given| (vec![text(definition)], vec!["\"id\""], named, given);
    match rng.below(6) {
        0 => one("\"id\" integer primary key", false, true),
        1 => one("\"id\" integer primary key autoincrement", false, true),
        2 => one("\"id\" text not null primary key", true, false),
        3 if !strict => one("\"id\" not null primary key", rng.chance(0.5), false),
        4 => one("\"id\" int not null primary key", false, false),
        _ => {
            let list = vec![text("\"id\" integer not null"), text("\"Part\" text not null")];
            (list, vec!["\"Part\"", "\"id\""], false, false)
        }
    }
}

/// A number, which may be unique, and may have columns that follow it.
fn number(rng: &mut Rng, tag: &str, strict: bool, list: &mut Vec<Part>) -> (Column, bool) {
    let n = Column::new(tag, "n", "integer", strict);
    let unique = rng.chance(0.5);
    let mut parts = vec![text("\"n\" integer")];
    if unique {
        parts.push(piece([text(" unique")]));
    }
    if rng.chance(0.2) {
        parts.push(piece([text(" check (\"n\" < 50)")]));
    }
    list.push(of(&n.tag, parts));
    for (name, how) in [("g", "stored"), ("v", "virtual")] {
        if rng.chance(0.3) {
            list.push(piece([of(&n.tag, [text(format!("\"{name}\" text as (\"n\" || ' of it') {how}"))])]));
        }
    }
    (n, unique)
}

/// A reference to the parent, or to the table itself; none if that has a key of several columns.
fn reference(
    rng: &mut Rng,
    tag: &str,
    name: &str,
    key: &[&str],
    named: bool,
    parent: Option<&Table>,
    list: &mut Vec<Part>,
) -> Option<Column> {
    let (other, [id], named) = parent.map_or((name, key, named), |parent| (parent.name, &parent.key, parent.named))
    else {
        return None;
    };
    let up = Column::new(tag, "up", if named { "text" } else { "integer" }, false);
    let late = *rng.pick(&["", " deferrable initially deferred", " on delete restrict"]);
    let reference = piece([text(format!(" references {other} ({id})")), piece([text(late)])]);
    list.push(of(&up.tag, [text(format!("{} {}", up.name, up.kind)), reference]));
    Some(up)
}
