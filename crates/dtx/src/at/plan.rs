//! From the text of a statement to what must be captured, or the reason why it is refused. Pure; results are cached by
//! text.

use onceward_backend::Dialect;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Insert, ObjectName, OnConflictAction, OnInsert, SelectItem,
    Statement, TableFactor, TableObject, TableWithJoins, Update,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

use super::image::Kind;
use crate::DtxError;

mod calls;
mod scan;

use scan::{Scan, grammar};

/// A statement as far as its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) action: Action,
    /// The functions it calls, as written, without quotes.
    pub(crate) calls: Vec<String>,
}

/// What to do with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It reads: it is run as it is.
    Read,
    /// It changes rows of one table: it is captured.
    Write(Box<Write>),
}

/// A statement that changes rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    /// The table as written; on SQLite without quotes.
    pub(crate) table: String,
    /// ` as x`, ready to follow the table.
    pub(crate) alias: String,
    /// The name by which its expressions mean the row that is changed.
    pub(crate) row: String,
    /// The columns that UPDATE sets, folded as the database folds names, without quotes.
    pub(crate) set: Vec<String>,
    /// What UPDATE sets, as written between SET and what follows.
    pub(crate) assignments: String,
    /// ` where …`, its placeholders numbered as in the whole statement; empty if there is none.
    pub(crate) filter: String,
    /// The statement without RETURNING and what follows its end.
    pub(crate) body: String,
    /// The list of a RETURNING clause.
    pub(crate) returning: Option<String>,
    /// How many arguments it needs.
    pub(crate) arguments: usize,
}

/// Plans one statement.
pub(crate) fn plan(dialect: Dialect, text: &str) -> Result<Plan, DtxError> {
    if text.contains('\0') {
        // The parser and the database would not agree on where the text ends.
        return Err(refused("a NUL character", "bind the text as an argument"));
    }
    let scan = Scan::new(dialect, text)?;
    let word = scan.first_word();
    gate(&word)?;
    // Asked of the text, since the parser takes not every place that the words can stand in.
    let ordered = scan.keyword(Keyword::ORDER).chain(scan.keyword(Keyword::LIMIT)).next().is_some();
    if ordered && matches!(word.as_str(), "UPDATE" | "DELETE") {
        return Err(refused("ORDER BY or LIMIT of a change", "choose the rows by a sub-query in WHERE"));
    }
    let unparsed = |_| refused("a form of this statement that is not understood", "write it in a plainer form");
    let mut statements = Parser::parse_sql(grammar(dialect), text).map_err(unparsed)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(refused("several statements in one text", "send them one by one"));
    };
    let calls = calls::of(&statement)?;
    let (shape, filtered) = match &statement {
        Statement::Query(_) => return Ok(Plan { action: Action::Read, calls }),
        Statement::Insert(insert) => (insert_of(dialect, insert)?, false),
        Statement::Update(update) => (update_of(dialect, update)?, update.selection.is_some()),
        Statement::Delete(delete) => (delete_of(dialect, delete)?, delete.selection.is_some()),
        _ => return Err(refused("this kind of statement", "use SELECT, INSERT, UPDATE or DELETE")),
    };
    if dialect == Dialect::Sqlite && filtered {
        calls::repeatable(&statement)?;
    }
    let action = Action::Write(Box::new(write(&scan, shape, filtered)?));
    Ok(Plan { action, calls })
}

/// What is decided by the first word, before anything is parsed.
fn gate(word: &str) -> Result<(), DtxError> {
    let (part, instead) = match word {
        "SELECT" | "VALUES" | "WITH" | "INSERT" | "UPDATE" | "DELETE" => return Ok(()),
        "" => ("an empty statement", "send a statement"),
        "REPLACE" => ("REPLACE, which deletes rows without a trace", "use UPDATE, and INSERT if it changed no row"),
        "MERGE" => ("a change that may update or insert", "use UPDATE, and INSERT if it changed no row"),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "PREPARE" => {
            ("transaction control", "the branch begins and ends its transaction by itself")
        }
        "CREATE" | "ALTER" | "DROP" | "REINDEX" | "VACUUM" | "ANALYZE" | "GRANT" | "REVOKE" | "COMMENT" => {
            ("a change of the schema", "change the schema outside of global transactions")
        }
        "PRAGMA" | "ATTACH" | "DETACH" | "SET" | "RESET" | "SHOW" | "DISCARD" => {
            ("a setting of the connection", "set it where the pool is made")
        }
        "COPY" | "TRUNCATE" => ("a change of many rows without images", "use INSERT or DELETE"),
        "CALL" | "DO" | "EXECUTE" => ("code whose changes are not seen", "send its statements one by one"),
        _ => ("this kind of statement", "use SELECT, INSERT, UPDATE or DELETE"),
    };
    Err(refused(format!("{word} ({part})").trim_start().to_owned(), instead))
}

/// What the three kinds of statements have in common.
struct Shape {
    kind: Kind,
    table: String,
    alias: String,
    row: String,
    set: Vec<String>,
    /// The items of RETURNING.
    returning: Option<Vec<SelectItem>>,
}

fn write(scan: &Scan<'_>, shape: Shape, filtered: bool) -> Result<Write, DtxError> {
    let Shape { kind, table, alias, row, set, returning } = shape;
    let end = scan.end_of_body(returning.is_some())?;
    let filter = if filtered { scan.filter(end)? } else { String::new() };
    let assignments = if kind == Kind::Update { scan.assignments(filtered, end)? } else { String::new() };
    let returning = match returning {
        Some(_) => Some(scan.returning(&row)?),
        None => None,
    };
    let (body, arguments) = (scan.body(end)?, scan.arguments()?);
    Ok(Write { kind, table, alias, row, set, assignments, filter, body, returning, arguments })
}

fn insert_of(dialect: Dialect, insert: &Insert) -> Result<Shape, DtxError> {
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
    Ok(Shape {
        kind: Kind::Insert,
        table: table_name(dialect, name)?,
        alias: String::new(),
        row: insert.table_alias.as_ref().map_or_else(|| row_name(name), |alias| Ok(alias.alias.to_string()))?,
        set: Vec::new(),
        returning: insert.returning.clone(),
    })
}

fn update_of(dialect: Dialect, update: &Update) -> Result<Shape, DtxError> {
    if let Some(or) = &update.or {
        return Err(refused(format!("UPDATE {or}"), "use UPDATE without it"));
    }
    if update.from.is_some() {
        return Err(refused("UPDATE … FROM", "use a sub-query in SET or WHERE"));
    }
    let (table, alias, row) = one_table(dialect, &update.table)?;
    let mut set = Vec::new();
    for Assignment { target, .. } in &update.assignments {
        match target {
            AssignmentTarget::ColumnName(name) => set.push(column(dialect, name)?),
            AssignmentTarget::Tuple(names) => {
                for name in names {
                    set.push(column(dialect, name)?);
                }
            }
        }
    }
    Ok(Shape { kind: Kind::Update, table, alias, row, set, returning: update.returning.clone() })
}

fn delete_of(dialect: Dialect, delete: &Delete) -> Result<Shape, DtxError> {
    if !delete.tables.is_empty() || delete.using.is_some() {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [one] = from.as_slice() else {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    };
    let (table, alias, row) = one_table(dialect, one)?;
    Ok(Shape { kind: Kind::Delete, table, alias, row, set: Vec::new(), returning: delete.returning.clone() })
}

/// The table, ` as alias`, and the name of its row.
fn one_table(dialect: Dialect, table: &TableWithJoins) -> Result<(String, String, String), DtxError> {
    match &table.relation {
        TableFactor::Table { name, alias, args: None, with_hints, version: None, partitions, sample: None, .. }
            if table.joins.is_empty()
                && with_hints.is_empty()
                && partitions.is_empty()
                && alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
        {
            let row = alias.as_ref().map_or_else(|| row_name(name), |alias| Ok(alias.name.to_string()))?;
            let alias = alias.as_ref().map(|alias| format!(" as {}", alias.name)).unwrap_or_default();
            Ok((table_name(dialect, name)?, alias, row))
        }
        _ => Err(refused("a change of something else than one table", "name one table and use sub-queries")),
    }
}

fn table_name(dialect: Dialect, name: &ObjectName) -> Result<String, DtxError> {
    let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
    match (dialect, parts.as_deref()) {
        // The catalogue resolves it as the statement would.
        (Dialect::Postgres, Some([_] | [_, _])) => Ok(name.to_string()),
        (_, Some([table])) => Ok(table.value.clone()),
        (Dialect::Sqlite, Some([schema, table])) if schema.value.eq_ignore_ascii_case("main") => {
            Ok(table.value.clone())
        }
        _ => Err(refused(format!("the table {name}"), "use a table of the database that the pool opened")),
    }
}

/// How a statement without an alias names the row of its table.
fn row_name(name: &ObjectName) -> Result<String, DtxError> {
    let ident = name.0.last().and_then(|part| part.as_ident());
    Ok(ident.ok_or_else(|| refused(format!("the name {name}"), "write a plain name"))?.to_string())
}

/// The column that SET names; what follows it is a field within.
fn column(dialect: Dialect, name: &ObjectName) -> Result<String, DtxError> {
    let ident = name.0.first().and_then(|part| part.as_ident());
    let ident = ident.ok_or_else(|| refused(format!("SET {name}"), "name a column"))?;
    let folds = dialect == Dialect::Postgres && ident.quote_style.is_none();
    Ok(if folds { ident.value.to_lowercase() } else { ident.value.clone() })
}

fn refused(part: impl Into<String>, instead: &str) -> DtxError {
    DtxError::refused(part, instead)
}

#[cfg(test)]
mod tests;
