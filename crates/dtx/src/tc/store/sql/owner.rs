//! Coordinators that share a database: who lives, and who does what is due.

use std::time::Duration;

use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Db};

use super::SqlStore;
use super::rows::{dues, micros};
use crate::list::{is_listable, listed};
use crate::tc::state::GlobalStatus;
use crate::tc::store::{Due, Shift};

impl<D: Db> SqlStore<D> {
    pub(super) async fn note_owner(&self, owner: &str, lease: Duration) -> Result<(), BackendError> {
        let mut tx = begin(&self.pool).await?;
        self.sql
            .sql("insert into dtx_owner (owner, until) values (?, {now} + ?) {upsert owner: until}")
            .bind(owner)
            .bind(micros(lease))
            .execute(&mut tx)
            .await?;
        // Of those that are long gone nothing is left to tell.
        self.sql
            .sql("delete from dtx_owner where until < (select {now}) - ?")
            .bind(micros(lease.saturating_mul(100)))
            .execute(&mut tx)
            .await?;
        commit(tx).await
    }

    pub(super) async fn take_on(&self, shift: &Shift) -> Result<Vec<Due>, BackendError> {
        let Shift { limit, claim, longest, resources } = shift;
        if claim.is_zero() && resources.is_none() {
            let select = self.sql.sql(
                "select xid, status, tries from dtx_global where status in (1, 4, 8) \
                 and case status when 1 then deadline <= (select {now}) \
                 else due <= (select {now}) or due > (select {now}) + ? end order by due limit ?",
            );
            return dues(select.bind(micros(*longest)).bind(*limit), &mut self.pool.acquire().await?).await;
        }
        // A name that is no plain word in a list is rare: then whatever is due is taken on, and others ask for the rest.
        let list: Option<Vec<_>> =
            resources.iter().flatten().map(|name| is_listable(name).then_some(name.as_str())).collect();
        let is_any = resources.is_none() || list.is_none();
        // What another coordinator is claiming or deciding at this moment is not waited for.
        let select = listed!(
            D::DIALECT,
            "select xid, status, tries from dtx_global where status in (1, 4, 8) \
             and case status when 1 then deadline <= (select {now}) \
             else due <= (select {now}) or due > (select {now}) + ? end \
             and (status = 1 or ? = 1 or not exists \
               (select 1 from dtx_branch b where b.xid = dtx_global.xid and b.status = 1) or exists \
               (select 1 from dtx_branch b where b.xid = dtx_global.xid and b.status = 1 and b.resource_id in ",
            ")) order by due limit ? {skip_locked}"
        );
        let select = self.sql.sql(select).bind(micros(*longest)).bind(i64::from(is_any));
        let select = select.bind(list.unwrap_or_default().join(" ").as_str()).bind(*limit);
        let mut tx = begin(&self.pool).await?;
        let found = dues(select, &mut tx).await?;
        for due in found.iter().filter(|due| due.status != GlobalStatus::Active && !claim.is_zero()) {
            let put_off = self.sql.sql("update dtx_global set due = {now} + ? where xid = ?");
            put_off.bind(micros(*claim)).bind(&due.xid).execute(&mut tx).await?;
        }
        commit(tx).await?;
        Ok(found)
    }
}
