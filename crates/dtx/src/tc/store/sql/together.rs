//! The end of many committed transactions at once.

use std::collections::HashMap;

use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Db, Dialect};

use super::SqlStore;
use super::rows::corrupt;
use crate::coordinator::BranchInfo;
use crate::list::{is_listable, listed};
use crate::tc::state::BranchStatus;
use crate::tc::store::{TcStore, end_one};

impl<D: Db> SqlStore<D> {
    pub(super) async fn all_branches(&self, xids: &[&str]) -> Result<Vec<Vec<BranchInfo>>, BackendError> {
        let (list, others): (Vec<_>, Vec<_>) = xids.iter().copied().partition(|xid| is_listable(xid));
        let select = listed!(
            D::DIALECT,
            "select xid, branch_id, resource_id, status from dtx_branch where xid in ",
            " order by xid, number"
        );
        let rows: Vec<(String, i64, String, i64)> =
            self.sql.sql(select).bind(list.join(" ").as_str()).fetch_all(&mut self.pool.acquire().await?).await?;
        let mut found = HashMap::<String, Vec<BranchInfo>>::new();
        for (xid, branch_id, resource_id, status) in rows {
            let status = BranchStatus::from_code(status).ok_or_else(|| corrupt("branch status"))?;
            found.entry(xid).or_default().push(BranchInfo { branch_id, resource_id, status });
        }
        for xid in others {
            found.insert(xid.to_owned(), self.branches(xid).await?);
        }
        Ok(xids.iter().map(|xid| found.remove(*xid).unwrap_or_default()).collect())
    }

    pub(super) async fn end_all(&self, xids: &[&str]) -> Result<(), BackendError> {
        let (list, others): (Vec<_>, Vec<_>) = xids.iter().copied().partition(|xid| is_listable(xid));
        let list = list.join(" ");
        if D::DIALECT == Dialect::Postgres {
            // Without a wait for the disk: whatever of it is lost is done again.
            let end = self.sql.sql(
                "with names as materialized (select unnest(string_to_array(?, ' ')) as xid \
                   from (select set_config('synchronous_commit', 'off', true)) lazily), \
                 ended as (update dtx_global set status = 9, ended = {now} \
                   where xid = any (array(select xid from names)) and status + 0 = 8 returning xid) \
                 delete from dtx_branch where xid = any (array(select xid from ended))",
            );
            end.bind(list.as_str()).execute(&mut self.pool.acquire().await?).await?;
        } else {
            let end =
                listed!(D::DIALECT, "update dtx_global set status = 9, ended = {now} where status = 8 and xid in ", "");
            let clear = listed!(
                D::DIALECT,
                "delete from dtx_branch where xid in (select xid from dtx_global where status = 9 and xid in ",
                ")"
            );
            let mut tx = begin(&self.pool).await?;
            for statement in [end, clear] {
                self.sql.sql(statement).bind(list.as_str()).execute(&mut tx).await?;
            }
            commit(tx).await?;
        }
        for xid in others {
            end_one(self, xid).await?;
        }
        Ok(())
    }
}
