//! From a template to a statement that runs.
//!
//! A template is SQL with `?` for values and `{slots}` for what differs between databases. The only place of the
//! workspace's own statements where text is asserted to be safe: templates are `&'static str`, values are bound.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr, SqlStr};

use super::{Columns, Conn, Db, Dialect, Value};
use crate::BackendError;

/// The rendered statements of one store.
pub struct Sql<D> {
    texts: RwLock<HashMap<&'static str, SqlStr>>,
    database: PhantomData<fn() -> D>,
}

impl<D> Default for Sql<D> {
    fn default() -> Self {
        Self { texts: RwLock::default(), database: PhantomData }
    }
}

impl<D> fmt::Debug for Sql<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

impl<D: Db> Sql<D> {
    /// An empty cache; a store has one for its life.
    pub fn new() -> Self {
        Self::default()
    }

    /// The statement of a template, rendered once.
    ///
    /// # Panics
    /// If the template names a slot that does not exist.
    pub fn sql(&self, template: &'static str) -> Statement<D> {
        let cached = self.texts.read().unwrap_or_else(PoisonError::into_inner).get(template).cloned();
        let text = cached.unwrap_or_else(|| {
            let text = assert_safe(render(D::DIALECT, template));
            self.texts.write().unwrap_or_else(PoisonError::into_inner).insert(template, text.clone());
            text
        });
        Statement { text, args: D::Arguments::default(), error: None }
    }
}

/// `Arc` inside, so that a clone of the text costs no copy.
fn assert_safe(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// A statement and its values, ready to run on a [`Conn`].
#[must_use = "a statement does nothing until it is run"]
pub struct Statement<D: Db> {
    text: SqlStr,
    args: D::Arguments,
    error: Option<BoxDynError>,
}

impl<D: Db> fmt::Debug for Statement<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("text", &self.text.as_str()).finish_non_exhaustive()
    }
}

impl<D: Db> Statement<D> {
    /// Binds the next value.
    pub fn bind<'a>(mut self, value: impl Into<Value<'a>>) -> Self {
        if let Err(error) = D::bind(&mut self.args, value.into()) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Runs the statement and answers how many rows it changed.
    pub async fn execute(self, conn: &mut impl Conn<D>) -> Result<u64, BackendError> {
        let call = self.call()?;
        Ok(D::rows_affected(&conn.executor().execute(call).await?))
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<R: Columns>(self, conn: &mut impl Conn<D>) -> Result<Option<R>, BackendError> {
        let call = self.call()?;
        let row = conn.executor().fetch_optional(call).await?;
        Ok(row.map(|row| R::row::<D>(&row)).transpose()?)
    }

    /// The first row; none is an error of class `Corrupt`.
    pub async fn fetch_one<R: Columns>(self, conn: &mut impl Conn<D>) -> Result<R, BackendError> {
        self.fetch_optional(conn).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// All rows.
    pub async fn fetch_all<R: Columns>(self, conn: &mut impl Conn<D>) -> Result<Vec<R>, BackendError> {
        let call = self.call()?;
        let rows = conn.executor().fetch_all(call).await?;
        Ok(rows.iter().map(R::row::<D>).collect::<sqlx::Result<_>>()?)
    }

    /// Rows until one for which `more` says no; that one is the last. What the server sends behind it is thrown away as it
    /// comes, so that memory is bounded by what was taken.
    pub async fn fetch_while<R: Columns>(
        self,
        conn: &mut impl Conn<D>,
        mut more: impl FnMut(&R) -> bool,
    ) -> Result<Vec<R>, BackendError> {
        let call = self.call()?;
        let mut rows = conn.executor().fetch(call);
        let mut taken = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let row = R::row::<D>(&row)?;
            let stop = !more(&row);
            taken.push(row);
            if stop {
                break;
            }
        }
        Ok(taken)
    }

    fn call(self) -> Result<(SqlStr, Option<D::Arguments>), BackendError> {
        match self.error {
            Some(error) => Err(sqlx::Error::Encode(error).into()),
            None => Ok((self.text, Some(self.args))),
        }
    }
}

/// Runs statements of a script that carry no values, such as DDL.
pub(super) async fn execute_raw<D: Db>(template: &str, conn: &mut impl Conn<D>) -> Result<(), BackendError> {
    let text = assert_safe(render(D::DIALECT, template));
    conn.executor().execute((text, None::<D::Arguments>)).await?;
    Ok(())
}

/// The text of a template in one dialect.
///
/// # Panics
/// If the template names a slot that does not exist: it is a constant of this workspace, so the first run shows it.
pub(super) fn render(dialect: Dialect, template: &str) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut values = 0;
    let mut rest = template;
    while let Some(at) = rest.find(['?', '{']) {
        text.push_str(&rest[..at]);
        if rest[at..].starts_with('?') {
            values += 1;
            text.push_str(&dialect.placeholder(values));
            rest = &rest[at + 1..];
            continue;
        }
        let Some((slot, after)) = rest[at + 1..].split_once('}') else { panic!("a slot is not closed in: {template}") };
        text.push_str(&filled(dialect, slot).unwrap_or_else(|| panic!("no slot {{{slot}}}, used in: {template}")));
        rest = after;
    }
    text.push_str(rest);
    text
}

fn filled(dialect: Dialect, slot: &str) -> Option<Cow<'static, str>> {
    if let Some(text) = dialect.slot(slot) {
        return Some(text.into());
    }
    let (keys, columns) = slot.strip_prefix("upsert ")?.split_once(':')?;
    Some(dialect.upsert(keys, columns).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_placeholders_follow_the_dialect() {
        let template = "{insert_ignore} t (id, body) values (?, ?) {or_ignore}";
        assert_eq!(
            render(Dialect::Postgres, template),
            "insert into t (id, body) values ($1, $2) on conflict do nothing"
        );
        assert_eq!(render(Dialect::MySql, template), "insert ignore into t (id, body) values (?, ?) ");
        assert_eq!(render(Dialect::Sqlite, template), "insert into t (id, body) values (?, ?) on conflict do nothing");
    }

    #[test]
    fn upsert_takes_keys_and_columns() {
        let template = "insert into t (a, b, c) values (?, ?, ?) {upsert a, b: c}";
        assert!(render(Dialect::Sqlite, template).ends_with("on conflict (a, b) do update set c = excluded.c"));
        assert!(render(Dialect::MySql, template).ends_with("on duplicate key update c = values(c)"));
    }

    #[test]
    #[should_panic(expected = "no slot {nope}")]
    fn an_unknown_slot_is_a_programming_error() {
        render(Dialect::Sqlite, "select {nope}");
    }
}
