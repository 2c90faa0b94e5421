//! Plans by text, bounded, forgotten when the schema changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capture::{AtDb, Prepared};
use super::catalog::Table;
use super::plan::{Plan, Write, plan};
use crate::DtxError;

/// Lists made by `QueryBuilder` give a new text for every length.
const MOST: usize = 1_000;

/// A statement ready to run.
#[derive(Debug)]
pub(crate) enum Planned {
    /// As it is.
    Read,
    /// Captured.
    Write { table: Arc<Table>, write: Box<Write>, prepared: Box<Prepared> },
}

/// The plans of one resource.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    schema: i64,
    plans: HashMap<String, Arc<Planned>>,
    tables: HashMap<String, Arc<Table>>,
}

impl Plans {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything if the schema is another one than at the last call.
    pub(crate) fn schema(&self, schema: i64) {
        let mut cache = self.cache();
        if cache.schema != schema {
            *cache = Cache { schema, ..Cache::default() };
        }
    }

    pub(crate) async fn get<D: AtDb>(&self, conn: &mut D::Connection, text: &str) -> Result<Arc<Planned>, DtxError> {
        if let Some(planned) = self.cache().plans.get(text) {
            return Ok(Arc::clone(planned));
        }
        let schema = self.cache().schema;
        let planned = Arc::new(match plan(text)? {
            Plan::Read => Planned::Read,
            Plan::Write(write) => {
                let table = self.table::<D>(conn, &write.table).await?;
                table.admit(&write)?;
                let prepared = Box::new(D::prepare(&table, &write));
                Planned::Write { table, write: Box::new(write), prepared }
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

    /// A table as the catalogue has it.
    pub(crate) async fn table<D: AtDb>(&self, conn: &mut D::Connection, name: &str) -> Result<Arc<Table>, DtxError> {
        if let Some(table) = self.cache().tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let schema = self.cache().schema;
        let table = Arc::new(D::table(conn, name).await?);
        let mut cache = self.cache();
        if cache.schema == schema {
            cache.tables.insert(name.to_owned(), Arc::clone(&table));
        }
        Ok(table)
    }
}
