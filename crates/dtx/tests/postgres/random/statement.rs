//! Random statements of a branch.

use testkit::Rng;

use super::Value;
use super::joined::{joined, locked};
use super::table::{Column, Table, Unique};
use crate::script::{Part, Statement, Style, of, piece, text};

/// Some statements on both tables, of which some go for one row again and again.
pub(super) fn branch(rng: &mut Rng, parent: &Table, child: Option<&Table>) -> Vec<Statement> {
    let mut branch = Vec::new();
    let mut fresh = 7..;
    for _ in 0..=rng.below(4) {
        let table = child.filter(|_| rng.chance(0.5)).unwrap_or(parent);
        let n = 1 + rng.below(6);
        match rng.below(19) {
            0..=3 => {
                let fresh = fresh.by_ref().take(1 + usize::try_from(rng.below(2)).unwrap());
                let keys: Vec<_> = if rng.chance(0.1) { vec![n] } else { fresh.collect() };
                branch.push(insert(rng, table, &keys, false));
            }
            4 => branch.extend(insert_select(rng, table)),
            5..=8 => branch.push(update(rng, table, None)),
            9 => branch.extend(swap(rng, table)),
            10 => branch.push(delete(rng, table, None)),
            11 if rng.chance(0.4) => branch.push(wrong(rng, table)),
            16..=17 => branch.push(joined(rng, table, parent)),
            18 => branch.push(locked(rng, table)),
            12..=13 => {
                // One row, in several steps.
                branch.push(update(rng, table, Some(n)));
                branch.push(delete(rng, table, Some(n)));
                if !table.always {
                    branch.push(insert(rng, table, &[n], false));
                }
                branch.push(update(rng, table, Some(n)));
            }
            _ => {
                // A row, and one that refers to it; in the wrong order, only a late check lets them pass.
                let [one, other] = [13, 14].map(|key| key + 2 * u64::from(branch.len() > 3));
                branch.extend([insert(rng, parent, &[one], false), insert(rng, table, &[other], false)]);
                if rng.chance(0.2) {
                    let last = branch.len() - 1;
                    branch.swap(last - 1, last);
                }
            }
        }
    }
    branch
}

pub(super) fn style(rng: &mut Rng) -> Style {
    *rng.pick(&[Style::Literals, Style::Literals, Style::Arguments, Style::Arguments, Style::Reversed])
}

fn name(column: &Column) -> Part {
    of(&column.tag, [text(&*column.name)])
}

fn valued(column: &Column, value: Value) -> Part {
    of(&column.tag, [Part::Value(value)])
}

/// Rows under these keys.
pub(super) fn insert(rng: &mut Rng, table: &Table, keys: &[u64], fill: bool) -> Statement {
    let mut columns: Vec<&Column> = table.columns.iter().filter(|_| fill || rng.chance(0.9)).collect();
    rng.shuffle(&mut columns);
    let own = if table.always { &[][..] } else { &table.key };
    let mut names: Vec<_> = own.iter().map(|column| text(&*column.name)).collect();
    names.extend(columns.iter().map(|column| name(column)));
    let n = table.n.as_ref().map(|(n, _)| n);
    names.extend(n.into_iter().chain(&table.up).map(name));
    if names.is_empty() {
        return Statement::new(Style::Literals, [text(format!("insert into {} default values", table.name))]);
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|&key| {
            let mut row: Vec<_> = own.iter().map(|column| Part::Value(column.numbered(key))).collect();
            row.extend(columns.iter().map(|column| valued(column, column.value(rng))));
            row.extend(n.map(|n| valued(n, Value::new(n.kind, (key + 20).to_string()))));
            row.extend(table.up.as_ref().map(|up| {
                let other = *rng.pick(&[1, 2, (key - 1).max(1)]);
                let none = fill && other >= key || rng.chance(0.4);
                valued(up, if none { Value { kind: up.kind, text: None } } else { up.numbered(other) })
            }));
            piece([text("("), Part::List(row), text(")")])
        })
        .collect();
    let mut parts =
        vec![text(format!("insert into {} (", table.name)), Part::List(names), text(") values "), Part::List(rows)];
    if !fill && rng.chance(0.4) {
        // What is checked late cannot tell a conflict from none.
        let late = table.n.as_ref().is_some_and(|(_, unique)| *unique == Unique::Late);
        let key: Vec<_> = table.key.iter().map(|column| &*column.name).collect();
        let target = if late { format!("({}) ", key.join(", ")) } else { String::new() };
        parts.push(piece([text(format!(" on conflict {target}do nothing"))]));
    }
    if !fill {
        parts.extend(returning(rng, table));
    }
    Statement::new(style(rng), parts)
}

/// Copies of rows, for keys that can be counted on.
fn insert_select(rng: &mut Rng, table: &Table) -> Option<Statement> {
    let [id] = table.key.as_slice() else { return None };
    let next = match id.kind {
        "bigint" | "smallint" | "numeric" | "integer" => format!("{} + 20", id.name),
        "date" => "\"id\" + 40".to_owned(),
        "text" => "\"id\" || 'x'".to_owned(),
        _ => return None,
    };
    let columns: Vec<_> = table.columns.iter().map(name).collect();
    let list = |first: &str| {
        let own = (!table.always).then(|| text(first));
        Part::List(own.into_iter().chain(columns.iter().cloned()).collect())
    };
    let mut parts = vec![
        text(format!("insert into {} (", table.name)),
        list(&id.name),
        text(") select "),
        list(&next),
        text(format!(" from {}", table.name)),
        piece([text(format!(" where {} < ", id.name)), Part::Value(id.numbered(5))]),
        // Which row gets which key that the server gives.
        text(format!(" order by {}", id.name)),
    ];
    parts.extend(returning(rng, table));
    Some(Statement::new(style(rng), parts))
}

/// Sets some columns of some rows, or of one.
fn update(rng: &mut Rng, table: &Table, key: Option<u64>) -> Statement {
    let alias = rng.chance(0.2).then(|| *rng.pick(&["x", "\"x\"\"\"\"y\""]));
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    rng.shuffle(&mut columns);
    let mut sets: Vec<_> = columns[..1 + usize::try_from(rng.below(2)).unwrap()]
        .iter()
        .map(|column| {
            let mut parts = vec![text(format!("{} = ", column.name))];
            parts.extend(match rng.below(8) {
                0 => {
                    vec![text(format!("(select o.{0} from {1} o order by o.\"id\" limit 1)", column.name, table.name))]
                }
                1 => vec![text("default")],
                2 => vec![text(&*column.name)],
                3 => vec![text(format!("coalesce({}, ", column.name)), Part::Value(column.value(rng)), text(")")],
                _ => vec![Part::Value(column.value(rng))],
            });
            piece([of(&column.tag, parts)])
        })
        .collect();
    if let Some((n, unique)) = table.n.as_ref().filter(|_| rng.chance(0.3)) {
        // In steps that no other row stands on, or where the order does not matter.
        let by = if *unique == Unique::AtOnce { 100 } else { 1 };
        sets.push(piece([of(&n.tag, [text(format!("\"n\" = \"n\" + {by}"))])]));
    }
    if let Some(up) = table.up.as_ref().filter(|_| rng.chance(0.2)) {
        let value = up.numbered(1 + rng.below(8));
        sets.push(piece([of(&up.tag, [text(format!("{} = ", up.name)), Part::Value(value)])]));
    }
    let named = alias.map(|alias| format!(" as {alias}")).unwrap_or_default();
    let mut parts = vec![text(format!("update {}{named} set ", table.name)), Part::List(sets)];
    parts.extend(filter(rng, table, alias.unwrap_or(table.name), key));
    if alias.is_none() {
        parts.extend(returning(rng, table));
    }
    Statement::new(style(rng), parts)
}

/// Unique values change places: by one statement where that is checked at its end, else over a free value.
fn swap(rng: &mut Rng, table: &Table) -> Vec<Statement> {
    let Some((n, unique)) = &table.n else { return Vec::new() };
    let step = |set: String, filter: Option<&str>| {
        let mut parts = vec![text(format!("update {} set ", table.name)), Part::List(vec![of(&n.tag, [text(set)])])];
        parts.extend(filter.map(|filter| piece([of(&n.tag, [text(format!(" where {filter}"))])])));
        Statement::new(Style::Literals, parts)
    };
    if *unique != Unique::AtOnce && rng.chance(0.7) {
        return vec![step("\"n\" = 47 - \"n\"".to_owned(), None)];
    }
    let (a, b) = (21 + rng.below(3), 24 + rng.below(3));
    [(a.to_string(), "-1".to_owned()), (b.to_string(), a.to_string()), ("-1".to_owned(), b.to_string())]
        .map(|(from, to)| step(format!("\"n\" = {to}"), Some(&format!("\"n\" = {from}"))))
        .into()
}

fn delete(rng: &mut Rng, table: &Table, key: Option<u64>) -> Statement {
    let mut parts = vec![text(format!("delete from {}", table.name))];
    parts.extend(filter(rng, table, table.name, key));
    parts.extend(returning(rng, table));
    Statement::new(style(rng), parts)
}

/// A statement that fails, mostly.
fn wrong(rng: &mut Rng, table: &Table) -> Statement {
    let set = |column: &Column, value: String| {
        let set = of(&column.tag, [text(format!("{} = {value}", column.name))]);
        Statement::new(Style::Literals, [text(format!("update {} set ", table.name)), Part::List(vec![set])])
    };
    let column = rng.pick(&table.columns);
    match (rng.below(3), &table.n) {
        (0, Some((n, _))) => set(n, "\"n\" / 0".to_owned()),
        (1, Some((n, _))) => set(n, "7".to_owned()),
        _ => {
            let (name, kind) = (&column.name, column.kind);
            set(column, format!("case when {name} is null then cast('no' as integer)::text::{kind} end"))
        }
    }
}

/// Which rows: `row` is how the statement names them.
fn filter(rng: &mut Rng, table: &Table, row: &str, key: Option<u64>) -> Option<Part> {
    let names: Vec<_> = table.key.iter().map(|column| format!("{row}.{}", column.name)).collect();
    let id = table.key.last().unwrap();
    let last = names.last().unwrap();
    let pick = if key.is_some() { 1 } else { rng.below(9) };
    let column = rng.pick(&table.columns);
    Some(match pick {
        0 => return None,
        1..=2 => {
            let mut parts = vec![text(" where ")];
            for (at, (name, value)) in
                names.iter().zip(table.key_of(key.unwrap_or_else(|| 1 + rng.below(6)))).enumerate()
            {
                parts.push(text(format!("{}{name} = ", if at > 0 { " and " } else { "" })));
                parts.push(Part::Value(value));
            }
            piece(parts)
        }
        3 => {
            let [from, to] = [id.numbered(1 + rng.below(3)), id.numbered(4 + rng.below(3))].map(Part::Value);
            piece([text(format!(" where {last} between ")), from, text(" and "), to, text(" -- returning")])
        }
        4 => piece([text(format!(" where {last} in (select o.{} from {} o order by 1 limit 3)", id.name, table.name))]),
        5 => piece([text(format!(
            " where exists (select from {} o where o.{} > {last}) and ':;?' <> '--'",
            table.name, id.name
        ))]),
        6 if column.is_comparable() => piece([of(
            &column.tag,
            [text(format!(" where {row}.{} is not distinct from ", column.name)), Part::Value(column.value(rng))],
        )]),
        _ => piece([of(&column.tag, [text(format!(" where {row}.{} is not null /* where */", column.name))])]),
    })
}

pub(super) fn returning(rng: &mut Rng, table: &Table) -> Option<Part> {
    let column = rng.pick(&table.columns);
    let list = match rng.below(6) {
        0 => text("*"),
        1 => text(format!("\"id\"::text, *, {}.{} as again", table.name, column.name)),
        2 => text(format!("{}::text as c, (select count(*) from {} o)", column.name, table.name)),
        _ => return None,
    };
    Some(piece([text(" returning "), list]))
}
