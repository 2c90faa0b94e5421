//! Plans by text, bounded, forgotten when the schema changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::SqlStr;

use super::capture::{AtDb, Covered};
use super::catalog::Table;
use super::options::TableOptions;
use super::plan::{Action, chosen, plan};
use crate::DtxError;

/// Lists made by `QueryBuilder` give a new text for every length.
const MOST: usize = 1_000;

/// A statement ready to run.
#[derive(Debug)]
pub(crate) enum Planned<D: AtDb> {
    /// As it is.
    Read,
    /// With the keys of the rows that it locks.
    Lock(Arc<Table>, SqlStr),
    /// Captured.
    Write(Box<Covered<D>>),
}

/// A query that answers the keys of the rows it chooses.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) table: Arc<Table>,
    pub(crate) text: SqlStr,
}

/// The plans of one resource.
#[derive(Debug)]
pub(crate) struct Plans<D: AtDb>(Mutex<Cache<D>>);

#[derive(Debug)]
struct Cache<D: AtDb> {
    schema: i64,
    plans: HashMap<String, Arc<Planned<D>>>,
    /// Of queries that choose rows to lock.
    chosen: HashMap<String, Arc<Chosen>>,
    tables: HashMap<String, Arc<Table>>,
}

impl<D: AtDb> Cache<D> {
    fn of(schema: i64) -> Self {
        Self { schema, plans: HashMap::new(), chosen: HashMap::new(), tables: HashMap::new() }
    }
}

impl<D: AtDb> Default for Plans<D> {
    fn default() -> Self {
        Self(Mutex::new(Cache::of(0)))
    }
}

impl<D: AtDb> Plans<D> {
    fn cache(&self) -> MutexGuard<'_, Cache<D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything if the schema is another one than at the last call.
    pub(crate) fn schema(&self, schema: i64) {
        let mut cache = self.cache();
        if cache.schema != schema {
            *cache = Cache::of(schema);
        }
    }

    /// Forgets everything: a statement met a table that is not as it was planned for.
    pub(crate) fn forget(&self) {
        let mut cache = self.cache();
        *cache = Cache::of(cache.schema);
    }

    pub(crate) async fn get(
        &self,
        conn: &mut D::Connection,
        text: &str,
        options: &[TableOptions],
    ) -> Result<Arc<Planned<D>>, DtxError> {
        if let Some(planned) = self.cache().plans.get(text) {
            return Ok(Arc::clone(planned));
        }
        let schema = self.cache().schema;
        let plan = plan(D::DIALECT, text)?;
        D::check_calls(conn, &plan.calls).await?;
        let planned = Arc::new(match plan.action {
            Action::Read => Planned::Read,
            Action::Lock(lock) => {
                let table = self.table(conn, &lock.table, options).await?;
                let text = D::locking(&table, &lock);
                Planned::Lock(table, text)
            }
            Action::Write(write) => {
                let table = self.table(conn, &write.table, options).await?;
                table.admit(&write)?;
                let prepared = D::prepare(&table, &write);
                Planned::Write(Box::new(Covered { table, write: *write, prepared }))
            }
        });
        let mut cache = self.cache();
        if cache.schema == schema {
            if cache.plans.len() >= MOST {
                cache.plans.clear();
            }
            cache.plans.insert(text.to_owned(), Arc::clone(&planned));
        }
        Ok(planned)
    }

    /// The plan of a query whose rows are to be locked.
    pub(crate) async fn chosen(
        &self,
        conn: &mut D::Connection,
        text: &str,
        options: &[TableOptions],
    ) -> Result<Arc<Chosen>, DtxError> {
        if let Some(planned) = self.cache().chosen.get(text) {
            return Ok(Arc::clone(planned));
        }
        let schema = self.cache().schema;
        let (lock, calls) = chosen(D::DIALECT, text)?;
        D::check_calls(conn, &calls).await?;
        let table = self.table(conn, &lock.table, options).await?;
        let planned = Arc::new(Chosen { text: D::locking(&table, &lock), table });
        let mut cache = self.cache();
        if cache.schema == schema {
            if cache.chosen.len() >= MOST {
                cache.chosen.clear();
            }
            cache.chosen.insert(text.to_owned(), Arc::clone(&planned));
        }
        Ok(planned)
    }

    async fn table(
        &self,
        conn: &mut D::Connection,
        name: &str,
        options: &[TableOptions],
    ) -> Result<Arc<Table>, DtxError> {
        if let Some(table) = self.cache().tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let schema = self.cache().schema;
        let table = Arc::new(D::table(conn, name, options).await?);
        let mut cache = self.cache();
        if cache.schema == schema {
            cache.tables.insert(name.to_owned(), Arc::clone(&table));
        }
        Ok(table)
    }
}
