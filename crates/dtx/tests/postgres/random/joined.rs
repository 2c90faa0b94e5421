//! Random statements that look at other rows beside the ones they change, and reads that lock.

use testkit::Rng;

use super::statement::{returning, style};
use super::table::Table;
use crate::script::{Part, Statement, of, piece, text};

/// Changes rows that are found through others.
pub(super) fn joined(rng: &mut Rng, table: &Table, other: &Table) -> Statement {
    let (name, id) = (table.name, &table.key.last().unwrap().name);
    let column = rng.pick(&table.columns);
    let set = |value: Part| Part::List(vec![of(&column.tag, [text(format!("{} = ", column.name)), value])]);
    let value = Part::Value(column.value(rng));
    let mut parts = match rng.below(5) {
        // One match for each row, whose value is taken.
        0 => vec![
            text(format!("update {name} set ")),
            set(text(format!("o.{}", column.name))),
            text(format!(" from {name} o where o.{id} = {name}.{id}")),
            piece([text(format!(" and o.{id} > ")), Part::Value(table.key_of(2).pop().unwrap())]),
        ],
        // Many matches for a row, which is changed once.
        1 => vec![
            text(format!("update {name} as x set ")),
            set(value),
            text(format!(" from {} o, (values (1), (2)) v (k) where v.k < 3", other.name)),
            piece([text(format!(" and x.{id} is not null"))]),
        ],
        2 => vec![
            text(format!("delete from {name} using {} o ", other.name)),
            text(format!("where {name}.{id} = ")),
            Part::Value(table.key_of(1 + rng.below(6)).pop().unwrap()),
            piece([text(" or o is null")]),
        ],
        3 => vec![
            text(format!("with w as (select o.{id} as k from {name} o order by 1 limit 2) update {name} set ")),
            set(value),
            text(format!(" where {id} in (select k from w)")),
        ],
        _ => vec![
            text(format!("with w (k) as (select max({id}::text) from {name} where {id}::text <> ")),
            Part::Value(super::Value::new("text", "x")),
            text(format!(") delete from {name} where {id}::text = (select k from w)")),
        ],
    };
    // A bare `*` there means the columns of both.
    let own = returning(rng, table).filter(|part| !part.to_string().contains('*'));
    parts.extend(own);
    Statement::new(style(rng), parts)
}

/// Reads rows for update.
pub(super) fn locked(rng: &mut Rng, table: &Table) -> Statement {
    let (name, id) = (table.name, &table.key.last().unwrap().name);
    let column = rng.pick(&table.columns);
    let how = *rng.pick(&["update", "share"]);
    let list = piece([of(&column.tag, [text(format!(", {}", column.name))])]);
    let filter = piece([text(format!(" where {id} > ")), Part::Value(table.key_of(3).pop().unwrap())]);
    Statement::new(
        style(rng),
        [
            text(format!("select {id}::text")),
            list,
            text(format!(" from {name}")),
            filter,
            text(format!(" order by {id} for {how}")),
        ],
    )
}
