//! Unique keys on generated columns and expressions, whose values the database computes for a row.

use sqlparser::ast::{CreateIndex, Statement};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::{Parser, ParserOptions};
use sqlx::sqlite::SqliteRow;

use super::cell::{self, pair, read};
use crate::DtxError;
use crate::at::catalog::{Computed, Table};
use crate::at::image::Cell;
use crate::at::key::{Part, hashed};

/// The parts of an index and its condition, as its definition has them.
pub(super) fn defined(sql: &str) -> Option<(Vec<String>, Option<String>)> {
    // Quotes within quotes stay two, since the parser prints what it has read as if they were.
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(&SQLiteDialect {}).with_options(options).try_with_sql(sql).ok()?;
    let mut statements = parser.parse_statements().ok()?;
    match (statements.pop()?, statements.is_empty()) {
        (Statement::CreateIndex(CreateIndex { columns, predicate, .. }), true) => {
            let parts = columns.iter().map(|column| format!("({})", column.column.expr)).collect();
            Some((parts, predicate.map(|predicate| predicate.to_string())))
        }
        _ => None,
    }
}

/// What a query of rows asks for behind their columns: for each key whether a row is in its index, then the parts.
pub(super) fn asked(table: &Table) -> String {
    let key = |key: &Computed| {
        let when = key.when.as_ref().map_or_else(|| "1".to_owned(), |when| format!("({when}) is true"));
        let parts: String = key.parts.iter().map(|(part, _)| format!(", {}", pair(part))).collect();
        format!(", {}{parts}", pair(&when))
    };
    table.computed.iter().map(key).collect()
}

/// The lock text of each key, from what stands at `at`; none if the row has no value of it.
pub(super) fn answered(table: &Table, row: &SqliteRow, mut at: usize) -> Result<Vec<Option<String>>, DtxError> {
    let mut keys = Vec::with_capacity(table.computed.len());
    for Computed { name, parts, .. } in &table.computed {
        let there = cell::part(&read(row, at)?) == Part::Int(1);
        at += 2;
        let mut values = Vec::with_capacity(parts.len());
        for (_, collation) in parts {
            values.push((read(row, at)?, *collation));
            at += 2;
        }
        let whole = there && !values.iter().any(|(value, _): &(Cell, _)| value.is_null());
        let folded: Vec<_> = values.iter().map(|(value, collation)| cell::fold(value, *collation)).collect();
        keys.push(whole.then(|| format!("{name}{}", hashed(&folded))));
    }
    Ok(keys)
}
