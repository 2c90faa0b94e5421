//! Random statements that look at other rows beside the ones they change.

use testkit::Rng;

use super::statement::{returning, style};
use super::table::Table;
use crate::script::{Part, Statement, of, piece, text};

/// Changes rows that are found through others.
pub(super) fn joined(rng: &mut Rng, table: &Table, other: &Table) -> Statement {
    let name = table.name;
    let column = rng.pick(&table.columns);
    let set = |value: Part| Part::List(vec![of(&column.tag, [text(format!("{} = ", column.name)), value])]);
    let value = Part::Value(column.value(rng));
    let mut parts = match rng.below(4) {
        // One match for each row, whose value is taken.
        0 if table.key.len() == 1 && !column.unique => vec![
            text(format!("update {name} set ")),
            set(text(format!("o.{}", column.name))),
            text(format!(" from {name} o where o.\"id\" = {name}.\"id\"")),
            piece([text(" and o.\"id\" > "), Part::Value(table.key_of(2).pop().unwrap())]),
        ],
        // Many matches for a row, which is changed once.
        0..=1 => vec![
            text(format!("update {name} as x set ")),
            set(value),
            text(format!(" from {} o where o.\"id\" is not null", other.name)),
            piece([text(" and x.\"id\" is not null")]),
        ],
        2 => vec![
            text(format!("with w as (select o.\"id\" as k from {name} o order by 1 limit 2) update {name} set ")),
            set(value),
            text(" where \"id\" in (select k from w)"),
        ],
        _ => vec![
            text(format!("with w (k) as (select max(\"id\") from {name} where \"id\" <> ")),
            Part::Value(super::Value::Text("x".to_owned())),
            text(format!(") delete from {name} where \"id\" = (select k from w)")),
        ],
    };
    parts.extend(returning(rng, table));
    Statement::new(style(rng), parts)
}
