//! What the parts of a parsed statement come to.

use onceward_backend::Dialect;
use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Insert, LockClause, LockType, ObjectName, OnConflictAction,
    OnInsert, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableObject, TableWithJoins, Update,
    UpdateTableFromKind,
};

use super::{folded, refused, spelled};
use crate::DtxError;
use crate::at::image::Kind;

/// What the three kinds of changes have in common.
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) table: String,
    pub(super) alias: String,
    pub(super) row: String,
    pub(super) set: Vec<String>,
    /// True if other tables stand behind FROM or USING.
    pub(super) joined: bool,
    /// True if there is a WHERE.
    pub(super) filtered: bool,
    /// True if there is a RETURNING.
    pub(super) returning: bool,
}

impl Shape {
    pub(super) fn of(dialect: Dialect, change: &Statement) -> Result<Self, DtxError> {
        match change {
            Statement::Insert(insert) => insert_of(dialect, insert),
            Statement::Update(update) => update_of(dialect, update),
            Statement::Delete(delete) => delete_of(dialect, delete),
            Statement::Merge(_) => Err(refused("MERGE", "use UPDATE, and INSERT if it changed no row")),
            _ => Err(refused("this kind of statement", "use SELECT, INSERT, UPDATE or DELETE")),
        }
    }
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
        row: insert.table_alias.as_ref().map_or_else(|| row_name(name), |alias| Ok(spelled(&alias.alias)))?,
        set: Vec::new(),
        joined: false,
        filtered: false,
        returning: insert.returning.is_some(),
    })
}

fn update_of(dialect: Dialect, update: &Update) -> Result<Shape, DtxError> {
    if let Some(or) = &update.or {
        return Err(refused(format!("UPDATE {or}"), "use UPDATE without it"));
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
    let joined = match &update.from {
        None => false,
        Some(UpdateTableFromKind::AfterSet(_)) => true,
        Some(UpdateTableFromKind::BeforeSet(_)) => return Err(refused("FROM before SET", "put FROM behind SET")),
    };
    let (filtered, returning) = (update.selection.is_some(), update.returning.is_some());
    all_last(joined && dialect == Dialect::Postgres, update.returning.as_deref())?;
    Ok(Shape { kind: Kind::Update, table, alias, row, set, joined, filtered, returning })
}

fn delete_of(dialect: Dialect, delete: &Delete) -> Result<Shape, DtxError> {
    if !delete.tables.is_empty() {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [one] = from.as_slice() else {
        return Err(refused("DELETE from several tables", "use a sub-query in WHERE"));
    };
    let (table, alias, row) = one_table(dialect, one)?;
    if delete.using.is_some() && dialect == Dialect::Sqlite {
        return Err(refused("DELETE … USING, which SQLite has not", "use a sub-query in WHERE"));
    }
    let (joined, filtered, returning) =
        (delete.using.is_some(), delete.selection.is_some(), delete.returning.is_some());
    all_last(joined, delete.returning.as_deref())?;
    Ok(Shape { kind: Kind::Delete, table, alias, row, set: Vec::new(), joined, filtered, returning })
}

/// Refuses `*` before other columns of a joined change, where it means all tables: the private columns of a captured one stand
/// behind theirs.
fn all_last(joined: bool, returning: Option<&[SelectItem]>) -> Result<(), DtxError> {
    let all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
    match returning {
        Some([items @ .., _]) if joined && items.iter().any(all) => {
            Err(refused("* before other columns of RETURNING, of a change with further tables", "write it last"))
        }
        _ => Ok(()),
    }
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
            let row = alias.as_ref().map_or_else(|| row_name(name), |alias| Ok(spelled(&alias.name)))?;
            let alias = alias.as_ref().map(|_| format!(" as {row}")).unwrap_or_default();
            Ok((table_name(dialect, name)?, alias, row))
        }
        _ => Err(refused("a change of something else than one table", "name one table and use sub-queries")),
    }
}

fn table_name(dialect: Dialect, name: &ObjectName) -> Result<String, DtxError> {
    let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
    if let Some([only]) = parts.as_deref()
        && only.quote_style.is_none()
        && only.value.eq_ignore_ascii_case("only")
    {
        // Which the parser takes for the name, and the name for an alias.
        return Err(refused("ONLY", "leave it out: tables with heirs are refused in any case"));
    }
    match (dialect, parts.as_deref()) {
        // The catalogue resolves it as the statement would.
        (Dialect::Postgres, Some(parts @ ([_] | [_, _]))) => {
            Ok(parts.iter().map(|part| spelled(part)).collect::<Vec<_>>().join("."))
        }
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
    ident.map(spelled).ok_or_else(|| refused(format!("the name {name}"), "write a plain name"))
}

/// The column that SET names; what follows it is a field within.
fn column(dialect: Dialect, name: &ObjectName) -> Result<String, DtxError> {
    let ident = name.0.first().and_then(|part| part.as_ident());
    let ident = ident.ok_or_else(|| refused(format!("SET {name}"), "name a column"))?;
    Ok(folded(dialect, ident))
}

/// The table whose rows a query locks, the name of its row, and whether it asks for no column.
pub(super) fn locked(dialect: Dialect, query: &Query) -> Result<(String, String, bool), DtxError> {
    let instead = "lock the rows of one table by a SELECT .. FOR UPDATE of its own";
    let SetExpr::Select(select) = &*query.body else {
        return Err(refused("FOR UPDATE of something else than one SELECT", instead));
    };
    let several = |_| refused("FOR UPDATE of several tables", instead);
    let [LockClause { lock_type: LockType::Update | LockType::Share, of, .. }] = query.locks.as_slice() else {
        return Err(several(()));
    };
    let (table, row) = single(dialect, select).map_err(|_| several(()))?;
    match of {
        Some(of) if of.0.len() > 1 || row_name(of)? != row => Err(refused(format!("FOR UPDATE OF {of}"), instead)),
        _ => Ok((table, row, select.projection.is_empty())),
    }
}

/// The only table that a query reads from, and the name of its row.
pub(super) fn single(dialect: Dialect, select: &Select) -> Result<(String, String), DtxError> {
    let [one] = select.from.as_slice() else {
        return Err(refused("several tables", "name one"));
    };
    let (table, _, row) = one_table(dialect, one)?;
    Ok((table, row))
}
