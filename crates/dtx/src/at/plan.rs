//! From the text of a statement to what must be captured, or the reason why it is refused. Pure; results are cached by
//! text.

use onceward_backend::Dialect;
use sqlparser::ast::{Ident, Query, SetExpr, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

use super::image::Kind;
use crate::DtxError;

mod calls;
mod chosen;
mod scan;
mod shape;

pub(crate) use chosen::chosen;
use scan::{Scan, grammar};
use shape::Shape;

/// What names of ours begin with in a captured statement.
pub(crate) const PREFIX: &str = "onceward_";

/// A statement as far as its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) action: Action,
    pub(crate) calls: Calls,
}

/// What a statement may call, folded as the database folds names, without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) functions: Vec<String>,
    /// Names behind a point, which can be functions of a row.
    pub(crate) attributes: Vec<String>,
}

/// What to do with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It reads: it is run as it is.
    Read,
    /// It reads rows of one table and locks them: their keys are noted.
    Lock(Box<Lock>),
    /// It changes rows of one table: it is captured.
    Write(Box<Write>),
}

/// A statement that locks rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The table as written.
    pub(crate) table: String,
    /// The name of its row.
    pub(crate) row: String,
    /// Up to the end of the list behind SELECT.
    pub(crate) head: String,
    /// From FROM on.
    pub(crate) tail: String,
    /// True if the list is empty.
    pub(crate) bare: bool,
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
    /// `with x as (..), ` or `with `: ready for a further query of that name, its placeholders numbered.
    pub(crate) with: String,
    /// The columns that UPDATE sets, folded as the database folds names, without quotes.
    pub(crate) set: Vec<String>,
    /// What UPDATE sets, as written between SET and what follows.
    pub(crate) assignments: String,
    /// The list of other tables, as written behind FROM or USING, its placeholders numbered; empty if there is none.
    pub(crate) from: String,
    /// The condition behind WHERE, its placeholders numbered as in the whole statement; empty if there is none.
    pub(crate) filter: String,
    /// The statement without WITH, RETURNING and what follows its end.
    pub(crate) body: String,
    /// The list of a RETURNING clause.
    pub(crate) returning: Option<String>,
    /// How many arguments it needs.
    pub(crate) arguments: usize,
}

/// Plans one statement.
pub(crate) fn plan(dialect: Dialect, text: &str) -> Result<Plan, DtxError> {
    let (mut scan, statement) = parsed(dialect, text)?;
    let change = match &statement {
        Statement::Query(query) => changed_by(query),
        _ => Some(&statement),
    };
    let within = usize::from(matches!(statement, Statement::Query(_)) && change.is_some());
    let (calls, locks) = calls::of(dialect, &statement, within)?;
    let Some(change) = change else { return Ok(Plan { action: read(dialect, &statement, &mut scan, locks)?, calls }) };
    if let Statement::Query(query) = &statement {
        begin_behind(&mut scan, query)?;
    }
    let shape = Shape::of(dialect, change)?;
    if dialect == Dialect::Sqlite && shape.kind != Kind::Insert {
        calls::repeatable(&statement, change)?;
    }
    Ok(Plan { action: Action::Write(Box::new(write(&scan, shape)?)), calls })
}

/// The one statement of a text, of a kind that is covered at all.
fn parsed(dialect: Dialect, text: &str) -> Result<(Scan<'_>, Statement), DtxError> {
    if text.contains('\0') {
        // The parser and the database would not agree on where the text ends.
        return Err(refused("a NUL character", "bind the text as an argument"));
    }
    let scan = Scan::new(dialect, text)?;
    gate(&scan.first_word())?;
    // Asked of the text, since the parser takes not every place that the words can stand in.
    let ordered = scan.keyword(Keyword::ORDER).chain(scan.keyword(Keyword::LIMIT)).next().is_some();
    if ordered && matches!(scan.first_word().as_str(), "UPDATE" | "DELETE") {
        return Err(refused("ORDER BY or LIMIT of a change", "choose the rows by a sub-query in WHERE"));
    }
    let unparsed = |_| refused("a form of this statement that is not understood", "write it in a plainer form");
    let mut statements = Parser::parse_sql(grammar(dialect), text).map_err(unparsed)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok((scan, statement)),
        _ => Err(refused("several statements in one text", "send them one by one")),
    }
}

/// The change that a query begins with WITH for.
fn changed_by(query: &Query) -> Option<&Statement> {
    match &*query.body {
        SetExpr::Insert(change) | SetExpr::Update(change) | SetExpr::Delete(change) | SetExpr::Merge(change) => {
            Some(change)
        }
        _ => None,
    }
}

/// Lets the statement proper begin behind its WITH.
fn begin_behind(scan: &mut Scan<'_>, query: &Query) -> Result<(), DtxError> {
    match query.with.as_ref().and_then(|with| Some((with, with.cte_tables.last()?))) {
        Some((with, last)) => scan.begin_behind(last.closing_paren_token.0.span.start, with.recursive),
        None => Ok(()),
    }
}

/// A query is run as it is, or is one whose row locks are to be global ones, of which there are so many.
fn read(dialect: Dialect, statement: &Statement, scan: &mut Scan<'_>, locks: usize) -> Result<Action, DtxError> {
    let Statement::Query(query) = statement else { return Ok(Action::Read) };
    if locks == 0 || dialect == Dialect::Sqlite {
        return Ok(Action::Read);
    }
    if locks > 1 || query.locks.is_empty() {
        let instead = "lock the rows of one table by a SELECT .. FOR UPDATE of its own";
        return Err(refused("FOR UPDATE within a query", instead));
    }
    begin_behind(scan, query)?;
    let (table, row, bare) = shape::locked(dialect, query)?;
    let (head, tail) = scan.around_from()?;
    Ok(Action::Lock(Box::new(Lock { table, row, head, tail, bare })))
}

/// What is decided by the first word, before anything is parsed.
fn gate(word: &str) -> Result<(), DtxError> {
    let (part, instead) = match word {
        "SELECT" | "VALUES" | "WITH" | "INSERT" | "UPDATE" | "DELETE" | "(" => return Ok(()),
        "" => ("an empty statement", "send a statement"),
        "REPLACE" => ("REPLACE, which deletes rows without a trace", "use UPDATE, and INSERT if it changed no row"),
        "MERGE" => ("a change that may update or insert", "use UPDATE, and INSERT if it changed no row"),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" | "PREPARE" => (
            "transaction control",
            "the branch begins and ends its transaction by itself; AtConnection::savepoint nests",
        ),
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

fn write(scan: &Scan<'_>, shape: Shape) -> Result<Write, DtxError> {
    let Shape { kind, table, alias, row, set, joined, filtered, returning } = shape;
    scan.names_of_ours(&table)?;
    let parts = scan.parts(kind, joined, filtered, returning)?;
    let assignments = parts.assignments.map(|part| scan.written(part)).transpose()?.unwrap_or_default();
    let from = parts.from.map(|part| scan.numbered(part)).transpose()?.unwrap_or_default();
    let filter = parts.filter.map(|part| scan.numbered(part)).transpose()?.unwrap_or_default();
    let returning = parts.returning.map(|part| scan.returning(part, (!joined).then_some(&row))).transpose()?;
    let (with, body, arguments) = (scan.with()?, scan.body(parts.end)?, scan.arguments()?);
    Ok(Write { kind, table, alias, row, with, set, assignments, from, filter, body, returning, arguments })
}

/// A name as the database folds it; PostgreSQL leaves letters beyond ASCII alone.
fn folded(dialect: Dialect, ident: &Ident) -> String {
    if dialect == Dialect::Postgres && ident.quote_style.is_none() {
        ident.value.to_ascii_lowercase()
    } else {
        ident.value.clone()
    }
}

/// A name as a statement writes it. The parser itself prints two quotes within as one, which is another name.
fn spelled(ident: &Ident) -> String {
    match ident.quote_style {
        None => ident.value.clone(),
        Some('[') => format!("[{}]", ident.value),
        Some(quote) => format!("{quote}{}{quote}", ident.value.replace(quote, &format!("{quote}{quote}"))),
    }
}

fn refused(part: impl Into<String>, instead: &str) -> DtxError {
    DtxError::refused(part, instead)
}

#[cfg(test)]
mod tests;
