//! The coordinator's tables as people see them.

use std::collections::HashMap;

use onceward_backend::{BackendError, Db};

use super::SqlStore;
use super::rows::{micros, status_of};
use crate::coordinator::{LockInfo, TransactionFilter, TransactionInfo};
use crate::list::{is_listable, listed};
use crate::place::age;
use crate::tc::state::{GlobalStatus, Reason};
use crate::tc::store::Tally;

type LockRow = (String, String, String, String, i64, Option<i64>);

impl<D: Db> SqlStore<D> {
    pub(super) async fn show_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionInfo>, BackendError> {
        // One text for every choice of states: those that are not wanted are looked for as a state that there is not.
        let wanted = GlobalStatus::ALL.map(|status| if filter.states.contains(&status) { status.code() } else { 0 });
        // Outcomes are many, and the rest has an index of its own, which a server takes only where it is named.
        let is_over = filter.states.iter().any(|status| status.is_over() && *status != GlobalStatus::Parked);
        let select = match (filter.xid.is_some(), is_over) {
            (true, _) => {
                "select xid, name, status, reason, {now} - began, tries from dtx_global where xid = ? \
                 and status in (?, ?, ?, ?, ?, ?) and began <= (select {now}) - ? and tries >= ? order by began, xid limit ?"
            }
            (false, true) => {
                "select xid, name, status, reason, {now} - began, tries from dtx_global \
                 where status in (?, ?, ?, ?, ?, ?) and began <= (select {now}) - ? and tries >= ? order by began, xid limit ?"
            }
            (false, false) => {
                "select xid, name, status, reason, {now} - began, tries from dtx_global \
                 where (status in (1, 4, 8) or status = 12) and status in (?, ?, ?, ?, ?, ?) \
                 and began <= (select {now}) - ? and tries >= ? order by began, xid limit ?"
            }
        };
        let select = filter.xid.iter().fold(self.sql.sql(select), |select, xid| select.bind(xid.as_str()));
        let select = wanted.into_iter().fold(select, |select, status| select.bind(status));
        let rows: Vec<(String, String, i64, Option<i64>, i64, i64)> = select
            .bind(micros(filter.older_than))
            .bind(i64::from(filter.tries))
            .bind(i64::from(filter.limit))
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        let xids: Vec<_> = rows.iter().map(|(xid, ..)| xid.as_str()).collect();
        let branches = self.all_branches(&xids).await?;
        let mut locks = self.locks_of(&xids).await?;
        let mut shown = Vec::with_capacity(rows.len());
        for ((xid, name, status, reason, began, tries), branches) in rows.into_iter().zip(branches) {
            let locks = locks.remove(&xid).unwrap_or_default();
            shown.push(TransactionInfo {
                xid,
                name,
                status: status_of(status)?,
                reason: reason.and_then(Reason::from_code),
                age: age(began),
                tries: u32::try_from(tries).unwrap_or(u32::MAX),
                branches,
                locks,
                wants: Vec::new(),
                waiters: Vec::new(),
            });
        }
        Ok(shown)
    }

    async fn locks_of(&self, xids: &[&str]) -> Result<HashMap<String, Vec<LockInfo>>, BackendError> {
        let (list, others): (Vec<_>, Vec<_>) = xids.iter().copied().partition(|xid| is_listable(xid));
        let select = listed!(
            D::DIALECT,
            "select l.resource_id, l.table_name, l.row_key, l.xid, {now} - l.since, g.status from dtx_lock l \
             join dtx_global g on g.xid = l.xid where l.xid in ",
            " order by l.lock_id"
        );
        let mut conn = self.pool.acquire().await?;
        let mut rows: Vec<LockRow> = self.sql.sql(select).bind(list.join(" ").as_str()).fetch_all(&mut conn).await?;
        for xid in others {
            let select = self.sql.sql(
                "select l.resource_id, l.table_name, l.row_key, l.xid, {now} - l.since, g.status from dtx_lock l \
                 join dtx_global g on g.xid = l.xid where l.xid = ? order by l.lock_id",
            );
            rows.extend(select.bind(xid).fetch_all::<LockRow>(&mut conn).await?);
        }
        let mut found = HashMap::<_, Vec<_>>::new();
        for lock in rows.into_iter().map(info) {
            found.entry(lock.xid.clone()).or_default().push(lock);
        }
        Ok(found)
    }

    pub(super) async fn show_locks(&self) -> Result<Vec<LockInfo>, BackendError> {
        let select = self.sql.sql(
            "select l.resource_id, l.table_name, l.row_key, l.xid, {now} - l.since, g.status from dtx_lock l \
             left join dtx_global g on g.xid = l.xid",
        );
        let rows: Vec<LockRow> = select.fetch_all(&mut self.pool.acquire().await?).await?;
        Ok(rows.into_iter().map(info).collect())
    }

    pub(super) async fn count_transactions(&self) -> Result<Vec<Tally>, BackendError> {
        let rows: Vec<(i64, i64, i64)> = self
            .sql
            .sql("select status, count(*), {now} - min(began) from dtx_global where status in (1, 4, 8) or status = 12 group by status")
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        rows.into_iter()
            .map(|(status, count, oldest)| {
                let count = u64::try_from(count).unwrap_or_default();
                Ok(Tally { status: status_of(status)?, count, oldest: age(oldest) })
            })
            .collect()
    }
}

fn info((resource_id, table, key, xid, since, status): LockRow) -> LockInfo {
    let parked = status.is_none_or(|status| status == GlobalStatus::Parked.code());
    LockInfo { resource_id, table, key, xid, age: age(since), parked }
}
