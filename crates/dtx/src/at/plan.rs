//! From the text of a statement to what must be captured, or the reason why it is refused. Pure; results are cached by
//! text.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, Statement,
    TableFactor, TableObject, TableWithJoins, Update, visit_expressions, visit_statements,
};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

use super::image::Kind;
use crate::DtxError;

mod scan;

use scan::Scan;

/// What to do with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It reads: it is run as it is.
    Read,
    /// It changes rows of one table: it is captured.
    Write(Write),
}

/// A statement that changes rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    /// The table as written, without quotes.
    pub(crate) table: String,
    /// ` as x`, ready to follow the table.
    pub(crate) alias: String,
    /// The columns that UPDATE sets, as written, without quotes.
    pub(crate) set: Vec<String>,
    /// ` where …`, its placeholders numbered as in the whole statement; empty if there is none.
    pub(crate) filter: String,
    /// The statement without what follows its end.
    pub(crate) body: String,
    /// True if `body` ends in a RETURNING clause of the user.
    pub(crate) returning: bool,
    /// How many arguments it needs.
    pub(crate) arguments: usize,
}

/// Plans one statement.
pub(crate) fn plan(text: &str) -> Result<Plan, DtxError> {
    if text.contains('\0') {
        // The parser and the database would not agree on where the text ends.
        return Err(refused("a NUL character", "bind the text as an argument"));
    }
    let scan = Scan::new(text)?;
    let word = scan.first_word();
    gate(&word)?;
    // Asked of the text, since the parser takes not every place that the words can stand in.
    let ordered = scan.keyword(Keyword::ORDER).chain(scan.keyword(Keyword::LIMIT)).next().is_some();
    if ordered && matches!(word.as_str(), "UPDATE" | "DELETE") {
        return Err(refused("ORDER BY or LIMIT of a change", "choose the rows by a sub-query in WHERE"));
    }
    let unparsed = |_| refused("a form of this statement that is not understood", "write it in a plainer form");
    let mut statements = Parser::parse_sql(&SQLiteDialect {}, text).map_err(unparsed)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(refused("several statements in one text", "send them one by one"));
    };
    if statements_in(&statement) > 1 {
        return Err(refused("a change inside of WITH", "write the change as a statement of its own"));
    }
    match &statement {
        Statement::Query(_) => Ok(Plan::Read),
        Statement::Insert(insert) => write(&scan, insert_of(insert)?, insert.returning.is_some(), None),
        Statement::Update(update) => {
            write(&scan, update_of(update)?, update.returning.is_some(), update.selection.as_ref())
        }
        Statement::Delete(delete) => {
            write(&scan, delete_of(delete)?, delete.returning.is_some(), delete.selection.as_ref())
        }
        _ => Err(refused("this kind of statement", "use SELECT, INSERT, UPDATE or DELETE")),
    }
}

/// What is decided by the first word, before anything is parsed.
fn gate(word: &str) -> Result<(), DtxError> {
    let (part, instead) = match word {
        "SELECT" | "VALUES" | "WITH" | "INSERT" | "UPDATE" | "DELETE" => return Ok(()),
        "" => ("an empty statement", "send a statement"),
        "REPLACE" => ("REPLACE, which deletes rows without a trace", "use UPDATE, and INSERT if it changed no row"),
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            ("transaction control", "the branch begins and ends its transaction by itself")
        }
        "CREATE" | "ALTER" | "DROP" | "REINDEX" | "VACUUM" | "ANALYZE" => {
            ("a change of the schema", "change the schema outside of global transactions")
        }
        "PRAGMA" | "ATTACH" | "DETACH" => ("a setting of the connection", "set it where the pool is made"),
        _ => ("this kind of statement", "use SELECT, INSERT, UPDATE or DELETE"),
    };
    Err(refused(format!("{word} ({part})").trim_start().to_owned(), instead))
}

/// What the three kinds of statements have in common.
struct Shape {
    kind: Kind,
    table: String,
    alias: String,
    set: Vec<String>,
}

fn write(scan: &Scan<'_>, shape: Shape, returning: bool, filter: Option<&Expr>) -> Result<Plan, DtxError> {
    if let Some(filter) = filter {
        check_filter(filter)?;
    }
    let Shape { kind, table, alias, set } = shape;
    let filter = if filter.is_some() { scan.filter(returning)? } else { String::new() };
    let (body, arguments) = (scan.body(), scan.arguments()?);
    Ok(Plan::Write(Write { kind, table, alias, set, filter, body, returning, arguments }))
}

/// The same condition is evaluated twice, so its answer must not differ.
fn check_filter(filter: &Expr) -> Result<(), DtxError> {
    let found = visit_expressions(filter, |part| match part {
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let changing = ["random", "randomblob"].contains(&name.trim_matches('"'));
            if changing { ControlFlow::Break(name) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(name) => {
            Err(refused(format!("{name}() in WHERE"), "read the keys first and name them in the statement"))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn insert_of(insert: &Insert) -> Result<Shape, DtxError> {
    if insert.replace_into || insert.overwrite {
        return Err(refused("REPLACE", "use UPDATE, and INSERT if it changed no row"));
    }
    if let Some(or) = &insert.or {
        return Err(refused(format!("INSERT {or}"), "use INSERT … ON CONFLICT DO NOTHING, or UPDATE"));
    }
    match &insert.on {
        None => {}
        Some(OnInsert::OnConflict(on)) if matches!(on.action, OnConflictAction::DoNothing) => {}
        Some(_) => {
            return Err(refused("ON CONFLICT DO UPDATE", "use UPDATE, and INSERT if it changed no row"));
        }
    }
    let plain = !insert.ignore
        && insert.partitioned.is_none()
        && insert.after_columns.is_empty()
        && insert.assignments.is_empty()
        && insert.insert_alias.is_none()
        && insert.output.is_none()
        && insert.multi_table_into_clauses.is_empty();
    let TableObject::TableName(name) = &insert.table else {
        return Err(refused("an INSERT into something else than a table", "name a table"));
    };
    if !plain {
        return Err(refused("a form of INSERT of another database", "write it in a plainer form"));
    }
    Ok(Shape { kind: Kind::Insert, table: table_name(name)?, alias: String::new(), set: Vec::new() })
}

fn update_of(update: &Update) -> Result<Shape, DtxError> {
    if let Some(or) = &update.or {
        return Err(refused(format!("UPDATE {or}"), "use UPDATE without it"));
    }
    if update.from.is_some() {
        return Err(refused("UPDATE … FROM", "use a sub-query in SET or WHERE"));
    }
    let (table, alias) = one_table(&update.table)?;
    let mut set = Vec::new();
    for Assignment { target, .. } in &update.assignments {
        match target {
            AssignmentTarget::ColumnName(name) => set.push(last(name)?),
            AssignmentTarget::Tuple(names) => {
                for name in names {
                    set.push(last(name)?);
                }
            }
        }
    }
    Ok(Shape { kind: Kind::Update, table, alias, set })
}

fn delete_of(delete: &Delete) -> Result<Shape, DtxError> {
    if !delete.tables.is_empty() || delete.using.is_some() {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [one] = from.as_slice() else {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    };
    let (table, alias) = one_table(one)?;
    Ok(Shape { kind: Kind::Delete, table, alias, set: Vec::new() })
}

/// The table and ` as alias`.
fn one_table(table: &TableWithJoins) -> Result<(String, String), DtxError> {
    match &table.relation {
        TableFactor::Table { name, alias, args: None, with_hints, version: None, partitions, sample: None, .. }
            if table.joins.is_empty() && with_hints.is_empty() && partitions.is_empty() =>
        {
            let alias = alias.as_ref().map(|alias| format!(" as {}", alias.name)).unwrap_or_default();
            Ok((table_name(name)?, alias))
        }
        _ => Err(refused("a change of something else than one table", "name one table and use sub-queries")),
    }
}

fn table_name(name: &ObjectName) -> Result<String, DtxError> {
    let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
    match parts.as_deref() {
        Some([table]) => Ok(table.value.clone()),
        Some([schema, table]) if schema.value.eq_ignore_ascii_case("main") => Ok(table.value.clone()),
        _ => Err(refused(format!("the table {name}"), "use a table of the database that the pool opened")),
    }
}

fn last(name: &ObjectName) -> Result<String, DtxError> {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map(|ident| ident.value.clone()).ok_or_else(|| refused(format!("SET {name}"), "name a column"))
}

fn statements_in(statement: &Statement) -> usize {
    let mut found = 0;
    let _ = visit_statements(statement, |_| {
        found += 1;
        ControlFlow::<()>::Continue(())
    });
    found
}

fn refused(part: impl Into<String>, instead: &str) -> DtxError {
    DtxError::refused(part, instead)
}

#[cfg(test)]
mod tests;
