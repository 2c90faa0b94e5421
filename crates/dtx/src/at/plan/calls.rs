//! What a statement calls, and what is hidden inside of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Select, Statement, TableFactor, Visit, Visitor};

use super::refused;
use crate::DtxError;

/// The names of all functions that a statement calls. A query that makes a table is refused, and so are changes within it
/// beyond the one, if `within` is 1, that stands behind its WITH.
pub(super) fn of(statement: &Statement, within: usize) -> Result<Vec<String>, DtxError> {
    let mut found = Found::default();
    if statement.visit(&mut found).is_break() {
        return Err(refused("SELECT … INTO, which makes a table", "create the table outside of global transactions"));
    }
    if found.statements > 1 + within {
        return Err(refused("a change inside of WITH", "write the change as a statement of its own"));
    }
    Ok(found.calls.into_iter().collect())
}

#[derive(Default)]
struct Found {
    statements: usize,
    calls: BTreeSet<String>,
}

impl Found {
    fn call(&mut self, name: &ObjectName) {
        let ident = name.0.last().and_then(|part| part.as_ident());
        self.calls.extend(ident.map(|ident| match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        }));
    }
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<()> {
        self.statements += 1;
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
        if let Expr::Function(function) = expr {
            self.call(&function.name);
        }
        ControlFlow::Continue(())
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
