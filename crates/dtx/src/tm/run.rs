//! A global transaction as a closure.

use tracing::Instrument;

use super::propagation::{Chosen, Propagation};
use super::{Dtx, Options};
use crate::DtxError;
use crate::context::{self, Global};

/// What an error means for the global transaction that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is an answer like another one: what was done stays.
    Commit,
    /// Nothing may stay.
    Rollback,
}

impl Dtx {
    /// Runs `work` in a global transaction: if it answers `Ok`, all its branches take effect, else none.
    ///
    /// Inside an open global transaction of the same task it joins that one, which then can only roll back if `work`
    /// fails; [`Dtx::run_with`] has the other ways. `work` runs once; run the whole again yourself if
    /// [`DtxError::is_retryable`] says so.
    ///
    /// # Errors
    /// The error of `work`, when everything is undone. An error of this crate if the outcome is another:
    /// [`DtxError::RollbackInProgress`], [`DtxError::Parked`], [`DtxError::RolledBack`], [`DtxError::Vetoed`],
    /// [`DtxError::OutcomeUnknown`].
    ///
    /// # Cancel safety
    /// A dropped future, or a panic in `work`, leaves the transaction to [`Dtx::work`], which rolls it back. Dropped
    /// before `work` began, it may stay open without a branch until its deadline.
    ///
    /// # Examples
    /// The README shows a whole one.
    pub async fn run<T, E, F>(&self, options: Options, work: impl FnOnce(Global) -> F) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        self.run_ruled(options, work, |_| Verdict::Rollback).await
    }

    /// As [`Dtx::run`], but `rule` says which errors of `work` roll back. With [`Verdict::Commit`] what was done takes
    /// effect, and the error is answered all the same; in a joined transaction it does not stand in the way of its
    /// commit.
    ///
    /// To rule in a transaction of its own, run it in [`context::without`].
    ///
    /// # Errors
    /// The error of `work`, when everything is committed or undone as `rule` said, else as [`Dtx::run`].
    ///
    /// # Cancel safety
    /// That of [`Dtx::run`].
    pub async fn run_ruled<T, E, F>(
        &self,
        options: Options,
        work: impl FnOnce(Global) -> F,
        rule: impl FnOnce(&E) -> Verdict,
    ) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        match context::current() {
            Some(outer) => nested(outer, work, rule).await,
            None => self.own(options, work, rule).await,
        }
    }

    /// Runs `work` in the global transaction that `propagation` says: the one that is open, one of its own, or none, in
    /// which case it is given none and a branch in it is [`DtxError::NoTransaction`].
    ///
    /// In a transaction of its own inside an open one, that one is put aside meanwhile and goes on as if nothing had
    /// happened, whatever the outcome. Both hold their locks: a row that the open one has changed stays locked for
    /// `work`.
    ///
    /// # Errors
    /// As [`Dtx::run`]. [`DtxError::NoTransaction`] and [`DtxError::TransactionOpen`] if `propagation` forbids it here;
    /// `work` is not run then.
    ///
    /// # Cancel safety
    /// That of [`Dtx::run`].
    pub async fn run_with<T, E, F>(
        &self,
        propagation: Propagation,
        options: Options,
        work: impl FnOnce(Option<Global>) -> F,
    ) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        match propagation.choose(context::current())? {
            Chosen::Joined(outer) => nested(outer, |global| work(Some(global)), |_| Verdict::Rollback).await,
            Chosen::Own => self.own(options, |global| work(Some(global)), |_| Verdict::Rollback).await,
            Chosen::Nothing => context::without(Box::pin(async move { work(None).await })).await,
        }
    }

    async fn own<T, E, F>(
        &self,
        options: Options,
        work: impl FnOnce(Global) -> F,
        rule: impl FnOnce(&E) -> Verdict,
    ) -> Result<T, E>
    where
        E: From<DtxError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        let transaction = self.begin(options).await?;
        let global = transaction.global().clone();
        let span = tracing::info_span!("onceward.dtx.run", name = global.name(), xid = global.xid());
        // Boxed: nested transactions would fill the stack.
        let work = Box::pin(async move { work(global).await });
        let answer = transaction.scope(work).instrument(span).await;
        match &answer {
            Err(error) if rule(error) == Verdict::Rollback => transaction.rollback().await?,
            _ => transaction.commit().await?,
        }
        answer
    }
}

async fn nested<T, E, F>(
    outer: Global,
    work: impl FnOnce(Global) -> F,
    rule: impl FnOnce(&E) -> Verdict,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>> + Send,
{
    let mut failure = NestedFailure(Some(outer.clone()));
    let answer = Box::pin(work(outer)).await;
    if answer.as_ref().err().is_none_or(|error| rule(error) == Verdict::Commit) {
        failure.0 = None;
    }
    answer
}

/// Dropped or failed half way, a joined transaction dooms the one that it joined.
struct NestedFailure(Option<Global>);

impl Drop for NestedFailure {
    fn drop(&mut self) {
        if let Some(global) = self.0.take() {
            global.fail_nested();
        }
    }
}
