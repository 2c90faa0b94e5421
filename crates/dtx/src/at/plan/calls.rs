//! What a statement calls, and what is hidden inside of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, ObjectName, Query, Select, Statement, TableFactor, Visit, Visitor};

use super::{Calls, refused};
use crate::DtxError;

/// The names of all functions that a statement calls. A query that makes a table is refused, and so are changes within it
/// beyond the one, if `within` is 1, that stands behind its WITH.
pub(super) fn of(statement: &Statement, within: usize) -> Result<Calls, DtxError> {
    let mut found = Found::default();
    if statement.visit(&mut found).is_break() {
        return Err(refused("SELECT … INTO, which makes a table", "create the table outside of global transactions"));
    }
    if found.statements > 1 + within {
        return Err(refused("a change inside of WITH", "write the change as a statement of its own"));
    }
    Ok(Calls { functions: found.calls.into_iter().collect(), attributes: found.attributes.into_iter().collect() })
}

/// How many queries within a statement lock rows.
pub(super) fn locks(statement: &Statement) -> usize {
    let mut found = Found::default();
    let _ = statement.visit(&mut found);
    found.locks
}

#[derive(Default)]
struct Found {
    statements: usize,
    locks: usize,
    attributes: BTreeSet<String>,
    calls: BTreeSet<String>,
}

impl Found {
    fn call(&mut self, name: &ObjectName) {
        self.calls.extend(name.0.last().and_then(|part| part.as_ident()).map(folded));
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<()> {
        self.statements += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.locks += usize::from(!query.locks.is_empty());
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.call(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.call(&function.name),
            // Functions like others there, which can be overloaded.
            Expr::Floor { .. } => drop(self.calls.insert("floor".to_owned())),
            Expr::Ceil { .. } => drop(self.calls.insert("ceil".to_owned())),
            Expr::Substring { .. } => drop(self.calls.insert("substring".to_owned())),
            Expr::Overlay { .. } => drop(self.calls.insert("overlay".to_owned())),
            // `row.function` calls as well.
            Expr::CompoundIdentifier(parts) => self.attributes.extend(parts.last().map(folded)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A name as PostgreSQL folds it, which leaves letters beyond ASCII alone.
fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

/// Refuses what is evaluated twice and may answer differently: all but what `change` sets.
pub(super) fn repeatable(statement: &Statement, change: &Statement) -> Result<(), DtxError> {
    let mut found = Found::default();
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
    match found.calls.iter().find(|name| ["random", "randomblob"].contains(&name.to_lowercase().as_str())) {
        Some(name) => {
            let part = format!("{name}() where rows are chosen");
            Err(refused(part, "read the keys first and name them in the statement"))
        }
        None => Ok(()),
    }
}
