//! Coordinators that share a database: who lives, and who does what is due.

use std::time::Duration;

use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Db};

use super::SqlStore;
use super::rows::{dues, micros};
use crate::tc::state::GlobalStatus;
use crate::tc::store::Due;

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

    pub(super) async fn claim_due(
        &self,
        limit: i64,
        claim: Duration,
        longest: Duration,
    ) -> Result<Vec<Due>, BackendError> {
        if claim.is_zero() {
            let select = self.sql.sql(
                "select xid, status, tries from dtx_global where status in (1, 4, 8) \
                 and case status when 1 then deadline <= (select {now}) \
                 else due <= (select {now}) or due > (select {now}) + ? end order by due limit ?",
            );
            return dues(select.bind(micros(longest)).bind(limit), &mut self.pool.acquire().await?).await;
        }
        let mut tx = begin(&self.pool).await?;
        // What another coordinator is claiming or deciding at this moment is not waited for.
        let select = self.sql.sql(
            "select xid, status, tries from dtx_global where status in (1, 4, 8) \
             and case status when 1 then deadline <= (select {now}) \
             else due <= (select {now}) or due > (select {now}) + ? end order by due limit ? {skip_locked}",
        );
        let found = dues(select.bind(micros(longest)).bind(limit), &mut tx).await?;
        for due in found.iter().filter(|due| due.status != GlobalStatus::Active) {
            let put_off = self.sql.sql("update dtx_global set due = {now} + ? where xid = ?");
            put_off.bind(micros(claim)).bind(&due.xid).execute(&mut tx).await?;
        }
        commit(tx).await?;
        Ok(found)
    }
}
