//! Queries that choose the rows which a transaction locks before it changes them.

use onceward_backend::Dialect;
use sqlparser::ast::{Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, Statement};

use super::{Calls, Lock, begin_behind, calls, parsed, refused, shape};
use crate::DtxError;

const INSTEAD: &str = "choose rows of one table by a plain SELECT of its columns";

/// Plans a query whose rows are to be locked, without one of them being locked in the database.
pub(crate) fn chosen(dialect: Dialect, text: &str) -> Result<(Lock, Calls), DtxError> {
    let (mut scan, statement) = parsed(dialect, text)?;
    let (calls, locks) = calls::of(dialect, &statement, 0)?;
    let Statement::Query(query) = &statement else {
        return Err(refused("a change where rows are chosen", INSTEAD));
    };
    if locks > 0 {
        let instead = "leave it out: the row would be locked in the database too, and waited for with that open";
        return Err(refused("FOR UPDATE where rows are chosen", instead));
    }
    let select = plain(query)?;
    begin_behind(&mut scan, query)?;
    let (table, row) = shape::single(dialect, select).map_err(|_| refused("rows of something else", INSTEAD))?;
    let (head, tail) = scan.around_from()?;
    Ok((Lock { table, row, head, tail, bare: select.projection.is_empty() }, calls))
}

/// A query each of whose rows is one row of the table: nothing counts, groups or joins them.
fn plain(query: &Query) -> Result<&Select, DtxError> {
    let SetExpr::Select(select) = &*query.body else {
        return Err(refused("something else than one SELECT", INSTEAD));
    };
    let alone = select.distinct.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty())
        && select.having.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none();
    if !alone {
        return Err(refused("DISTINCT, GROUP BY, HAVING or WINDOW where rows are chosen", INSTEAD));
    }
    // SQLite answers any one row beside a count.
    let column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_));
    let other = |item: &&SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => !column(expr),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => false,
        _ => true,
    };
    match select.projection.iter().find(other) {
        Some(item) => Err(refused(format!("{item} where rows are chosen"), INSTEAD)),
        None => Ok(select),
    }
}
