//! What a statement calls, and what is hidden inside of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use onceward_backend::Dialect;
use sqlparser::ast::{AccessExpr, Expr, ObjectName, Query, Select, Statement, TableFactor, Visit, Visitor};

use super::{Calls, folded, refused};
use crate::DtxError;

/// What a statement calls, and how many queries within it lock rows. A query that makes a table is refused, and so are changes
/// within it beyond the one, if `within` is 1, that stands behind its WITH.
pub(super) fn of(dialect: Dialect, statement: &Statement, within: usize) -> Result<(Calls, usize), DtxError> {
    let mut found = Found::on(dialect);
    if let ControlFlow::Break(error) = statement.visit(&mut found) {
        return Err(error);
    }
    if found.statements > 1 + within {
        return Err(refused("a change inside of WITH", "write the change as a statement of its own"));
    }
    let Found { locks, functions, attributes, .. } = found;
    Ok((Calls { functions: functions.into_iter().collect(), attributes: attributes.into_iter().collect() }, locks))
}

struct Found {
    dialect: Dialect,
    statements: usize,
    locks: usize,
    functions: BTreeSet<String>,
    attributes: BTreeSet<String>,
}

impl Found {
    fn on(dialect: Dialect) -> Self {
        Self { dialect, statements: 0, locks: 0, functions: BTreeSet::new(), attributes: BTreeSet::new() }
    }

    fn call(&mut self, name: &ObjectName) {
        let ident = name.0.last().and_then(|part| part.as_ident());
        self.functions.extend(ident.map(|ident| folded(self.dialect, ident)));
    }
}

impl Visitor for Found {
    type Break = DtxError;

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<DtxError> {
        self.statements += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<DtxError> {
        self.locks += usize::from(!query.locks.is_empty());
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<DtxError> {
        if select.into.is_none() {
            return ControlFlow::Continue(());
        }
        let part = "SELECT … INTO, which makes a table";
        ControlFlow::Break(refused(part, "create the table outside of global transactions"))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<DtxError> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.call(name),
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::XmlTable { .. } => {}
            // A function of that name there, of which the parser knows better.
            _ => {
                let part = "a form of FROM of another database";
                return ControlFlow::Break(refused(part, "name tables, sub-queries and functions"));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<DtxError> {
        match expr {
            // What it is given may stand where the parser sees the name of a type.
            Expr::Convert { .. } => {
                return ControlFlow::Break(refused("CONVERT", "call it outside of the branch, or write CAST"));
            }
            Expr::Function(function) => self.call(&function.name),
            // Functions like others there, which can be overloaded.
            Expr::Floor { .. } => drop(self.functions.insert("floor".to_owned())),
            Expr::Ceil { .. } => drop(self.functions.insert("ceil".to_owned())),
            Expr::Substring { .. } => self.functions.extend(["substring", "substr"].map(str::to_owned)),
            Expr::Overlay { .. } => drop(self.functions.insert("overlay".to_owned())),
            // `row.function` and `(row).function` call as well.
            Expr::CompoundIdentifier(parts) => {
                self.attributes.extend(parts.last().map(|ident| folded(self.dialect, ident)));
            }
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let AccessExpr::Dot(Expr::Identifier(ident)) = access {
                        self.attributes.insert(folded(self.dialect, ident));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Refuses what is evaluated twice and may answer differently: all but what `change` sets.
pub(super) fn repeatable(statement: &Statement, change: &Statement) -> Result<(), DtxError> {
    let mut found = Found::on(Dialect::Sqlite);
    if let Statement::Query(query) = statement {
        let _ = query.with.visit(&mut found);
    }
    match change {
        Statement::Update(update) => {
            let _ = update.from.visit(&mut found);
            let _ = update.selection.visit(&mut found);
        }
        Statement::Delete(delete) => drop(delete.selection.visit(&mut found)),
        _ => {}
    }
    match found.functions.iter().find(|name| ["random", "randomblob"].contains(&name.to_lowercase().as_str())) {
        Some(name) => {
            let part = format!("{name}() where rows are chosen");
            Err(refused(part, "read the keys first and name them in the statement"))
        }
        None => Ok(()),
    }
}
