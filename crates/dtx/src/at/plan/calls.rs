//! What a statement calls, and what is hidden inside of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Select, Statement, TableFactor, Visit, Visitor};

use super::refused;
use crate::DtxError;

/// The names of all functions that a statement calls. A change within a query, or a query that makes a table, is refused.
pub(super) fn of(statement: &Statement) -> Result<Vec<String>, DtxError> {
    let mut found = Found::default();
    if statement.visit(&mut found).is_break() {
        return Err(refused("SELECT … INTO, which makes a table", "create the table outside of global transactions"));
    }
    if found.statements > 1 {
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

/// Refuses a condition that is evaluated twice and may answer differently.
pub(super) fn repeatable(statement: &Statement) -> Result<(), DtxError> {
    let filter = match statement {
        Statement::Update(update) => update.selection.as_ref(),
        Statement::Delete(delete) => delete.selection.as_ref(),
        _ => None,
    };
    let mut found = Found::default();
    let _ = filter.map(|filter| filter.visit(&mut found));
    match found.calls.iter().find(|name| ["random", "randomblob"].contains(&name.to_lowercase().as_str())) {
        Some(name) => Err(refused(format!("{name}() in WHERE"), "read the keys first and name them in the statement")),
        None => Ok(()),
    }
}
