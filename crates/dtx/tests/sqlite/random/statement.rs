//! Random statements of a branch.

use testkit::Rng;

use super::Value;
use super::joined::joined;
use super::table::{Column, Table};
use crate::script::{Part, Statement, Style, of, piece, text};

/// Some statements on both tables, of which some go for one row again and again.
pub(super) fn branch(rng: &mut Rng, parent: &Table, child: Option<&Table>) -> Vec<Statement> {
    let mut branch = Vec::new();
    let mut fresh = 7..;
    for _ in 0..=rng.below(4) {
        let table = child.filter(|_| rng.chance(0.5)).unwrap_or(parent);
        let n = 1 + rng.below(6);
        match rng.below(18) {
            0..=3 => {
                let fresh = fresh.by_ref().take(1 + usize::try_from(rng.below(3)).unwrap());
                let keys: Vec<_> = if rng.chance(0.1) { vec![n] } else { fresh.collect() };
                branch.push(insert(rng, table, &keys, false));
            }
            4 => branch.push(insert_select(rng, table)),
            5..=8 => branch.push(update(rng, table, None)),
            9 => branch.extend(swap(rng, table)),
            10..=11 => branch.push(delete(rng, table, None)),
            16..=17 => branch.push(joined(rng, table, parent)),
            12..=13 => {
                // One row, in several steps.
                let insert = insert(rng, table, &[n], false);
                branch.extend([update(rng, table, Some(n)), delete(rng, table, Some(n)), insert]);
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
    *rng.pick(&[Style::Literals, Style::Arguments, Style::Arguments, Style::Reversed])
}

fn name(column: &Column) -> Part {
    of(&column.tag, [text(&*column.name)])
}

fn valued(column: &Column, value: Value) -> Part {
    of(&column.tag, [Part::Value(value)])
}

/// Rows under these keys, or under keys that the file gives.
pub(super) fn insert(rng: &mut Rng, table: &Table, keys: &[u64], fill: bool) -> Statement {
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    rng.shuffle(&mut columns);
    let own = if table.given && !fill && rng.chance(0.3) { &[][..] } else { &table.key };
    let mut names: Vec<_> = own.iter().map(|column| text(*column)).collect();
    names.extend(columns.iter().map(|column| name(column)));
    let n = table.n.as_ref().map(|(n, _)| n);
    names.extend(n.into_iter().chain(&table.up).map(name));
    let rows: Vec<_> = keys
        .iter()
        .map(|&key| {
            let mut row: Vec<_> =
                if own.is_empty() { Vec::new() } else { table.key_of(key) }.into_iter().map(Part::Value).collect();
            row.extend(columns.iter().map(|column| valued(column, column.value(rng))));
            row.extend(n.map(|n| valued(n, Value::Int(key.cast_signed() + 20))));
            row.extend(table.up.as_ref().map(|up| {
                let other = *rng.pick(&[1, 2, (key - 1).max(1)]);
                let none = fill && other >= key || rng.chance(0.4);
                valued(up, if none { Value::Null } else { table.refers_to(other) })
            }));
            piece([text("("), Part::List(row), text(")")])
        })
        .collect();
    let mut parts =
        vec![text(format!("insert into {} (", table.name)), Part::List(names), text(") values "), Part::List(rows)];
    if !fill && rng.chance(0.4) {
        parts.push(piece([text(" on conflict do nothing")]));
    }
    if !fill {
        parts.extend(returning(rng, table));
    }
    Statement::new(style(rng), parts)
}

/// Copies of rows under other keys.
fn insert_select(rng: &mut Rng, table: &Table) -> Statement {
    let columns: Vec<_> = table.columns.iter().map(name).collect();
    let next = if table.named { "\"id\" || 'x'" } else { "\"id\" + 20" };
    let list = |last: &str| {
        let mut list: Vec<_> = table.key[..table.key.len() - 1].iter().map(|column| text(*column)).collect();
        list.push(text(last));
        list.extend(columns.iter().cloned());
        Part::List(list)
    };
    let mut parts = vec![
        text(format!("insert into {} (", table.name)),
        list("\"id\""),
        text(") select "),
        list(next),
        text(format!(" from {}", table.name)),
        piece([text(" where \"id\" < "), Part::Value(table.key_of(5).pop().unwrap())]),
    ];
    parts.extend(returning(rng, table));
    Statement::new(style(rng), parts)
}

/// Sets some columns of some rows, or of one.
fn update(rng: &mut Rng, table: &Table, key: Option<u64>) -> Statement {
    let alias = rng.chance(0.2).then(|| *rng.pick(&["x", "\"x\"\"\"\"y\""]));
    let column = rng.pick(&table.columns);
    let mut set = vec![text(format!("{} = ", column.name))];
    set.extend(match rng.below(8) {
        0 => vec![text(format!("(select max(o.{}) from {} o)", column.name, table.name))],
        // One row may go where another one just was: if that succeeds, it is by chance.
        1 if !column.unique => vec![text(format!("{} + 1", column.name))],
        2 if !column.unique => vec![text("\"id\"")],
        3 => vec![text(format!("coalesce({}, ", column.name)), Part::Value(column.value(rng)), text(")")],
        _ => vec![Part::Value(column.value(rng))],
    });
    let mut sets = vec![piece([of(&column.tag, set)])];
    if let Some((n, unique)) = table.n.as_ref().filter(|_| rng.chance(0.3)) {
        // In steps that no other row stands on, or where the order does not matter.
        let by = if *unique { 100 } else { 1 };
        sets.push(piece([of(&n.tag, [text(format!("\"n\" = \"n\" + {by}"))])]));
    }
    if let Some(up) = table.up.as_ref().filter(|_| rng.chance(0.2)) {
        let value = table.refers_to(1 + rng.below(7));
        sets.push(piece([of(&up.tag, [text(format!("{} = ", up.name)), Part::Value(value)])]));
    }
    let named = alias.map(|alias| format!(" as {alias}")).unwrap_or_default();
    let mut parts = vec![text(format!("update {}{named} set ", table.name)), Part::List(sets)];
    parts.extend(filter(rng, table, alias.unwrap_or(table.name), key));
    parts.extend(returning(rng, table));
    Statement::new(style(rng), parts)
}

/// Unique values change places over a free one. Whether one statement can move them all depends on the order in which it comes
/// to the rows, which SQL leaves open.
fn swap(rng: &mut Rng, table: &Table) -> Vec<Statement> {
    let Some((n, unique)) = &table.n else { return Vec::new() };
    let step = |set: String, filter: Option<&str>| {
        let mut parts = vec![text(format!("update {} set ", table.name)), Part::List(vec![of(&n.tag, [text(set)])])];
        parts.extend(filter.map(|filter| piece([of(&n.tag, [text(format!(" where {filter}"))])])));
        Statement::new(Style::Literals, parts)
    };
    if !unique {
        return vec![step(format!("\"n\" = \"n\" {} 1", rng.pick::<&str>(&["+", "-"])), None)];
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

/// Which rows: `row` is how the statement names them.
fn filter(rng: &mut Rng, table: &Table, row: &str, key: Option<u64>) -> Option<Part> {
    let name = table.name;
    let column = rng.pick(&table.columns);
    let about = |condition: String| of(&column.tag, [text(condition)]);
    Some(match if key.is_some() { 1 } else { rng.below(9) } {
        0 => return None,
        1..=2 => {
            let mut parts = vec![text(" where ")];
            let key = table.key_of(key.unwrap_or_else(|| 1 + rng.below(6)));
            for (at, (column, value)) in table.key.iter().zip(key).enumerate() {
                parts.extend([
                    text(format!("{}{row}.{column} = ", if at > 0 { " and " } else { "" })),
                    Part::Value(value),
                ]);
            }
            piece(parts)
        }
        3 => {
            let [from, to] = [1 + rng.below(3), 4 + rng.below(3)].map(|n| Part::Value(table.key_of(n).pop().unwrap()));
            let last = text(" or \"id\" = 'where' -- returning");
            piece([text(" where \"id\" between "), from, text(" and "), to, piece([last])])
        }
        4 => piece([text(format!(" where {row}.\"id\" in (select o.\"id\" from {name} o order by 1 limit 3)"))]),
        5 => piece([text(format!(
            " where exists (select 1 from {name} o where o.\"id\" > {row}.\"id\") and ':;?' <> '--'"
        ))]),
        6 => piece([of(
            &column.tag,
            [text(format!(" where {row}.{} is not distinct from ", column.name)), Part::Value(column.value(rng))],
        )]),
        7 => piece([about(format!(" where typeof({row}.{}) <> 'text' /* where */", column.name))]),
        _ => piece([about(format!(" where {row}.{} like 'A%'", column.name))]),
    })
}

pub(super) fn returning(rng: &mut Rng, table: &Table) -> Option<Part> {
    let column = rng.pick(&table.columns);
    let list = match rng.below(6) {
        0 => "*".to_owned(),
        1 => format!("quote(\"id\"), *, {} as again", column.name),
        2 => format!("quote({})", column.name),
        _ => return None,
    };
    Some(piece([text("\nreturning "), text(list)]))
}
