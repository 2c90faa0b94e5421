//! A random case as data: scripts in parts, of which each can be left out to see whether it matters.

use std::collections::BTreeSet;
use std::fmt;

use crate::random::Value;

/// What is run, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// What tells the database, or its part, in which all of it happens.
    pub(crate) place: Vec<Statement>,
    /// The settings of the sessions that capture.
    pub(crate) capturing: Vec<Statement>,
    /// The settings of the sessions that undo.
    pub(crate) undoing: Vec<Statement>,
    pub(crate) tables: Vec<Statement>,
    /// What fills the tables. Some of it may break a constraint.
    pub(crate) rows: Vec<Statement>,
    /// The statements of the branch.
    pub(crate) branch: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) parts: Vec<Part>,
    pub(crate) style: Style,
}

/// How the values of a statement travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Literals,
    /// Arguments, in the order of their places.
    Arguments,
    /// Arguments in reverse order, so that the numbers of the placeholders matter.
    Reversed,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Value(Value),
    /// Joined by commas; the last one is never left out.
    List(Vec<Self>),
    /// What can be left out by itself, and is left out with its column.
    Piece(Option<String>, Vec<Self>),
}

pub(crate) fn text(text: impl Into<String>) -> Part {
    Part::Text(text.into())
}

/// What can be left out.
pub(crate) fn piece(parts: impl IntoIterator<Item = Part>) -> Part {
    Part::Piece(None, parts.into_iter().collect())
}

/// What is about one column.
pub(crate) fn of(column: &str, parts: impl IntoIterator<Item = Part>) -> Part {
    Part::Piece(Some(column.to_owned()), parts.into_iter().collect())
}

impl Statement {
    pub(crate) fn new(style: Style, parts: impl IntoIterator<Item = Part>) -> Self {
        Self { parts: parts.into_iter().collect(), style }
    }

    /// What is sent: the text and its arguments.
    pub(crate) fn bound(&self) -> (String, Vec<Value>) {
        if self.style == Style::Literals {
            return (self.to_string(), Vec::new());
        }
        let (mut text, mut values) = (String::new(), Vec::new());
        self.parts.iter().for_each(|part| part.values(&mut values));
        let (count, mut at) = (values.len(), 0);
        let mut holder = |value: &Value| {
            at += 1;
            match self.style {
                Style::Reversed => value.numbered(count + 1 - at),
                _ => value.holder(at),
            }
        };
        self.parts.iter().for_each(|part| part.print(&mut text, &mut holder));
        if self.style == Style::Reversed {
            values.reverse();
        }
        (text, values)
    }
}

/// With literals, as a person can run it.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.print(&mut text, &mut ToString::to_string);
        f.write_str(&text)
    }
}

impl Part {
    fn print(&self, out: &mut String, value: &mut impl FnMut(&Value) -> String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Value(own) => out.push_str(&value(own)),
            Self::Piece(_, parts) => parts.iter().for_each(|part| part.print(out, value)),
            Self::List(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    part.print(out, value);
                }
            }
        }
    }

    fn values(&self, out: &mut Vec<Value>) {
        match self {
            Self::Text(_) => {}
            Self::Value(value) => out.push(value.clone()),
            Self::List(parts) | Self::Piece(_, parts) => parts.iter().for_each(|part| part.values(out)),
        }
    }

    /// False if a list has nothing left in it.
    fn is_whole(&self) -> bool {
        match self {
            Self::Text(_) | Self::Value(_) => true,
            Self::List(parts) => !parts.is_empty() && parts.iter().all(Self::is_whole),
            Self::Piece(_, parts) => parts.iter().all(Self::is_whole),
        }
    }

    fn columns(&self, out: &mut BTreeSet<String>) {
        let (Self::List(parts) | Self::Piece(_, parts)) = self else { return };
        if let Self::Piece(Some(column), _) = self {
            out.insert(column.clone());
        }
        parts.iter().for_each(|part| part.columns(out));
    }
}

impl Case {
    /// The case without the part of that number: a statement, a column, or a piece. None if there are fewer parts.
    pub(crate) fn without(&self, number: usize) -> Option<Self> {
        let mut case = self.clone();
        case.remove(number).then_some(case)
    }

    fn remove(&mut self, mut at: usize) -> bool {
        for section in self.sections() {
            if at < section.len() {
                section.remove(at);
                return true;
            }
            at -= section.len();
        }
        let columns = self.columns();
        if let Some(column) = columns.iter().nth(at) {
            for section in self.sections() {
                section.iter_mut().for_each(|statement| leave_out(&mut statement.parts, column));
                section.retain(|statement| statement.parts.iter().all(Part::is_whole));
            }
            return true;
        }
        at -= columns.len();
        self.sections().into_iter().flatten().any(|statement| remove(&mut statement.parts, &mut at, 0))
    }

    fn columns(&mut self) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        let parts = self.sections().into_iter().flatten().flat_map(|statement| &statement.parts);
        parts.for_each(|part| part.columns(&mut columns));
        columns
    }

    fn sections(&mut self) -> [&mut Vec<Statement>; 6] {
        let Self { place, capturing, undoing, tables, rows, branch } = self;
        [branch, rows, tables, capturing, undoing, place]
    }
}

/// Leaves out all that is about a column.
fn leave_out(parts: &mut Vec<Part>, column: &str) {
    for part in parts.iter_mut() {
        if let Part::List(inner) | Part::Piece(_, inner) = part {
            leave_out(inner, column);
        }
    }
    parts.retain(|part| match part {
        Part::Piece(own, inner) => own.as_deref() != Some(column) && !inner.is_empty(),
        _ => true,
    });
}

/// Removes the piece of that number, counted in the order of the text; else takes their count off the number. So many parts
/// stay in any case.
fn remove(parts: &mut Vec<Part>, at: &mut usize, least: usize) -> bool {
    for n in 0..parts.len() {
        if parts.len() > least && matches!(parts[n], Part::Piece(None, _)) {
            if *at == 0 {
                parts.remove(n);
                return true;
            }
            *at -= 1;
        }
        let found = match &mut parts[n] {
            Part::List(inner) => remove(inner, at, 1),
            Part::Piece(_, inner) => remove(inner, at, 0),
            Part::Text(_) | Part::Value(_) => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// A script for a person, with a comment where values travel as arguments.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = [
            ("everywhere", &self.place),
            ("the session that captures", &self.capturing),
            ("the session that undoes", &self.undoing),
            ("tables", &self.tables),
            ("rows", &self.rows),
            ("the branch", &self.branch),
        ];
        for (name, statements) in sections {
            if !statements.is_empty() {
                writeln!(f, "-- {name}")?;
            }
            for statement in statements {
                let how = if statement.style == Style::Literals { "" } else { " -- its values as arguments" };
                writeln!(f, "{statement};{how}")?;
            }
        }
        Ok(())
    }
}
