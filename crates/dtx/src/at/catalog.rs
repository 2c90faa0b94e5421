//! What the catalogue says about a table, and whether changes of it can be undone for certain.

use std::collections::BTreeMap;

use super::image::{Kind, Step};
use super::options::TableOptions;
use super::plan::Write;
use crate::DtxError;

/// A table whose changes can be captured, as far as the table itself is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// As the catalogue spells it; on a server with its schema, and in quotes where that needs them.
    pub(crate) name: String,
    /// By what name its rows are locked.
    pub(crate) locked_as: String,
    /// The columns in their order; on SQLite without generated ones.
    pub(crate) columns: Vec<String>,
    /// Positions of the primary key among the columns.
    pub(crate) key: Vec<usize>,
    /// Further unique keys.
    pub(crate) uniques: Vec<Unique>,
    /// Further unique keys whose values only the database knows.
    pub(crate) computed: Vec<Computed>,
    /// Foreign keys of other tables that point here.
    pub(crate) incoming: Vec<Incoming>,
    /// True if triggers are trusted with its rows.
    pub(crate) triggered: bool,
    /// True if it is watched for writes that are not ours.
    pub(crate) watched: bool,
    /// What the user says of columns; those without a word are strict.
    pub(crate) policies: BTreeMap<usize, Policy>,
    /// What only a server's catalogue says.
    pub(crate) server: Server,
}

/// A table as a server's catalogue knows it beyond its columns and keys; empty for SQLite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Server {
    /// The number of the relation, which tells it from others of its name.
    pub(crate) relation: u32,
    /// True if its rows lie in partitions.
    pub(crate) partitioned: bool,
    /// The numbers of its partitions.
    pub(crate) partitions: Vec<u32>,
    /// What is known of each column.
    pub(crate) columns: Vec<Column>,
    /// True if a constraint of it may be checked at the end only.
    pub(crate) deferrable: bool,
    /// The rights that this role has not, of which undo needs one for each kind of change.
    pub(crate) denied: Vec<Kind>,
}

/// A column as a server's catalogue knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its type.
    pub(crate) kind: u32,
    /// The same, of a domain the type below it.
    pub(crate) base: u32,
    /// True if it follows others by itself.
    pub(crate) generated: bool,
    /// True if only the server gives it values.
    pub(crate) identity: bool,
}

/// A unique key whose equal values may differ in bytes, or that has no stored column of its own: the database says what it is
/// for a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Computed {
    pub(crate) name: String,
    /// Expressions over the columns of a row by their bare names, and how their values are compared.
    pub(crate) parts: Vec<(String, Collation)>,
    /// The condition under which a row has a value of the key.
    pub(crate) when: Option<String>,
    /// True if nulls are values like others; else a row with one has no value of the key.
    pub(crate) nulls_equal: bool,
    /// The columns it is made of, as far as they are plain.
    pub(crate) columns: Vec<usize>,
}

/// How a column is compared and restored by undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Not compared; restored where the table lets it be.
    Volatile,
    /// Not compared; counted up instead of restored.
    Monotonic,
}

impl Server {
    /// A column by its place.
    pub(crate) fn column(&self, at: usize) -> Column {
        self.columns.get(at).copied().unwrap_or_default()
    }
}

/// A unique key beside the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unique {
    pub(crate) name: String,
    /// Position among the table's columns, and how its values are compared.
    pub(crate) columns: Vec<(usize, Collation)>,
}

/// How texts of a unique key are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collation {
    Binary,
    /// ASCII letters are equal to each other's case.
    NoCase,
    /// Spaces at the end do not count.
    RightTrim,
}

/// A foreign key that points to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) child: String,
    /// The columns it points to; empty for the primary key.
    pub(crate) columns: Vec<String>,
    /// True if a DELETE changes the child.
    pub(crate) on_delete: bool,
    /// True if an UPDATE of the columns changes the child.
    pub(crate) on_update: bool,
}

impl Table {
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        let exact = self.columns.iter().position(|own| own == column);
        exact.or_else(|| self.columns.iter().position(|own| own.eq_ignore_ascii_case(column)))
    }

    /// The step that a write is, without a change yet.
    pub(crate) fn step(&self, write: &Write) -> Step {
        let (table, columns, key) = (self.name.clone(), self.columns.clone(), self.key.clone());
        let set = write.set.iter().filter_map(|column| self.position(column)).collect();
        Step { kind: write.kind, table, relation: self.server.relation, columns, key, set, changes: Vec::new() }
    }

    /// Takes over what the user says of the table.
    pub(crate) fn apply(&mut self, options: &[TableOptions]) -> Result<(), DtxError> {
        let own: Vec<_> = TableOptions::of(options, &self.locked_as).collect();
        let volatile = own.iter().flat_map(|table| &table.volatile).map(|column| (column, Policy::Volatile));
        let monotonic = own.iter().flat_map(|table| &table.monotonic).map(|column| (column, Policy::Monotonic));
        for (column, policy) in volatile.chain(monotonic) {
            let at = self.position(column).filter(|at| !self.key.contains(at)).ok_or_else(|| {
                let part = format!("{}, of which TableOptions names the column {column}", self.name);
                DtxError::refused(part, "name stored columns that are no part of its primary key")
            })?;
            self.policies.insert(at, policy);
        }
        Ok(())
    }

    /// True if an UPDATE may change a column: it sets it, or a trigger may, or the database generates it from others. Keys stay.
    fn moves(&self, write: &Write, column: &str) -> bool {
        let set = write.set.iter().any(|set| set.eq_ignore_ascii_case(column));
        set || self
            .position(column)
            .is_none_or(|at| self.server.column(at).generated || (self.triggered && !self.key.contains(&at)))
    }

    /// Refuses a write that would change rows which the images do not show.
    pub(crate) fn admit(&self, write: &Write) -> Result<(), DtxError> {
        let name = &self.name;
        for column in &write.set {
            let at = self.position(column).ok_or_else(|| {
                DtxError::refused(format!("SET {column} on {name}"), "set a stored column of the table by its name")
            })?;
            if self.key.contains(&at) {
                let instead = "insert a row with the new key and delete the old one";
                return Err(DtxError::refused(format!("a change of {name}'s primary key ({column})"), instead));
            }
            if self.server.column(at).identity {
                let part = format!("SET {column} on {name}, whose values only the server gives");
                return Err(DtxError::refused(part, "declare it GENERATED BY DEFAULT"));
            }
        }
        let undo = match write.kind {
            Kind::Insert => Kind::Delete,
            Kind::Update => Kind::Update,
            Kind::Delete => Kind::Insert,
        };
        if self.server.denied.contains(&undo) {
            let part = format!("a change of {name} that this role may not take back ({undo:?})");
            return Err(DtxError::refused(part, "grant it SELECT, INSERT, UPDATE and DELETE on the table"));
        }
        for incoming in &self.incoming {
            let cascades = match write.kind {
                // The undo of an insert is a delete, which would take rows with it that others have added meanwhile.
                Kind::Delete | Kind::Insert => incoming.on_delete,
                Kind::Update => incoming.on_update && incoming.columns.iter().any(|column| self.moves(write, column)),
            };
            if cascades {
                let child = &incoming.child;
                return Err(DtxError::refused(
                    format!("{name}, whose foreign key from {child} cascades"),
                    format!("change {child} first by a statement of its own, and declare the key NO ACTION"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            name: "t".to_owned(),
            columns: ["id", "a", "b"].map(str::to_owned).to_vec(),
            key: vec![0],
            incoming: vec![Incoming {
                child: "c".to_owned(),
                columns: vec!["a".to_owned()],
                on_delete: true,
                on_update: true,
            }],
            ..Table::default()
        }
    }

    fn write(kind: Kind, set: &[&str]) -> Write {
        Write {
            kind,
            table: "t".to_owned(),
            alias: String::new(),
            row: "t".to_owned(),
            assignments: String::new(),
            set: set.iter().map(|&column| column.to_owned()).collect(),
            with: String::new(),
            from: String::new(),
            filter: String::new(),
            body: String::new(),
            returning: None,
            arguments: 0,
        }
    }

    #[test]
    fn admits_what_the_images_show() {
        let table = table();
        assert!(table.admit(&write(Kind::Update, &["B"])).is_ok());
        let triggered = Table { triggered: true, ..table.clone() };
        assert!(triggered.admit(&write(Kind::Update, &["B"])).unwrap_err().to_string().contains("cascades"));
        for (refused, part) in [
            (write(Kind::Update, &["id"]), "primary key"),
            (write(Kind::Update, &["ID"]), "primary key"),
            (write(Kind::Update, &["rowid"]), "SET rowid"),
            (write(Kind::Update, &["b", "A"]), "cascades"),
            (write(Kind::Delete, &[]), "cascades"),
            (write(Kind::Insert, &[]), "cascades"),
        ] {
            let error = table.admit(&refused).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
