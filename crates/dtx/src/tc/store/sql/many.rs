//! Calls for many transactions at once. On PostgreSQL each is one statement that commits by itself, one trip for all of them;
//! on SQLite they share a transaction, and with it the one time that the disk is waited for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use onceward_backend::internal::{begin, commit};
use onceward_backend::{BackendError, Conn, Db, Dialect};
use serde_json::json;

use super::SqlStore;
use super::rows::{ids, micros, status_of};
use crate::coordinator::NewBranch;
use crate::tc::state::{Decision, GlobalStatus, decided};
use crate::tc::store::{Decided, NewGlobal, Registration, Standing, TcStore};

impl<D: Db> SqlStore<D> {
    pub(super) async fn begin_many(&self, new: &[NewGlobal]) -> Result<(), BackendError> {
        if D::DIALECT != Dialect::Postgres {
            let mut tx = begin(&self.pool).await?;
            for new in new {
                self.begin_in(&mut tx, new).await?;
            }
            return commit(tx).await;
        }
        // Nothing rests on it before the first registration waits for the disk, and with it for this.
        let row = |new: &NewGlobal| json!({"xid": new.xid, "name": new.name, "timeout": micros(new.timeout)});
        self.sql
            .sql(
                "insert into dtx_global (xid, name, status, branches, began, deadline, due, tries) \
                 select xid, name, 1, 0, {now}, {now} + timeout, 0, 0 \
                 from (select set_config('synchronous_commit', 'off', true)) lazily, \
                 jsonb_to_recordset(?::jsonb) as n(xid text, name text, timeout bigint) on conflict do nothing",
            )
            .bind(json!(new.iter().map(row).collect::<Vec<_>>()).to_string().as_str())
            .execute(&mut self.pool.acquire().await?)
            .await
            .map(drop)
    }

    pub(super) async fn begin_in(&self, conn: &mut impl Conn<D>, new: &NewGlobal) -> Result<(), BackendError> {
        self.sql
            .sql(
                "{insert_ignore} dtx_global (xid, name, status, branches, began, deadline, due, tries) \
                 values (?, ?, 1, 0, {now}, {now} + ?, 0, 0) {or_ignore}",
            )
            .bind(&new.xid)
            .bind(&new.name)
            .bind(micros(new.timeout))
            .execute(conn)
            .await
            .map(drop)
    }

    pub(super) async fn register_many(&self, branches: &[NewBranch]) -> Result<Vec<Registration>, BackendError> {
        let mut answers = Vec::with_capacity(branches.len());
        if D::DIALECT != Dialect::Postgres {
            let mut tx = begin(&self.pool).await?;
            for branch in branches {
                self.sql.sql("savepoint registration").execute(&mut tx).await?;
                let answer = self.register_in(&mut tx, branch).await?;
                if answer != Registration::Registered {
                    self.sql.sql("rollback to savepoint registration").execute(&mut tx).await?;
                }
                self.sql.sql("release savepoint registration").execute(&mut tx).await?;
                answers.push(answer);
            }
            commit(tx).await?;
            return Ok(answers);
        }
        let apart = apart(branches);
        let registered = match self.register_free(&apart).await {
            // Somebody else was faster with one of the rows.
            Err(error) if error.class() == onceward_backend::ErrorClass::Conflict => HashSet::new(),
            answer => answer?,
        };
        for (at, branch) in (0_i64..).zip(branches) {
            // Why not, or after whom, is found out one by one.
            let answer = match registered.contains(&at) {
                true => Registration::Registered,
                false => self.register(branch).await?,
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Registers those of these branches that nothing stands against, and answers which. READ COMMITTED is enough: a row that
    /// another transaction takes at the same time violates the key, and then none is registered.
    ///
    /// No table is joined, here and in the other statements for many: each is asked for a list of keys, for which the server
    /// uses the index whatever it believes of the table's size.
    async fn register_free(&self, branches: &[(i64, &NewBranch)]) -> Result<HashSet<i64>, BackendError> {
        let (mut rows, mut locks) = (Vec::with_capacity(branches.len()), Vec::new());
        for (at, branch) in branches {
            rows.push(json!({
                "n": at, "xid": branch.xid, "branch": branch.branch_id, "resource": branch.resource_id,
                "locks": ids(&branch.locks),
            }));
            let keys: BTreeMap<_, _> = branch.locks.iter().map(|lock| (lock.id(), lock)).collect();
            locks.extend(keys.into_iter().map(|(id, lock)| {
                json!({"n": at, "xid": branch.xid, "id": id, "resource": lock.resource_id, "of": lock.table, "key": lock.key})
            }));
        }
        let registered: Vec<(i64,)> = self
            .sql
            .sql(
                "with b as materialized (select * from jsonb_to_recordset(?::jsonb) \
                   as b(n bigint, xid text, branch bigint, resource text, locks text)), \
                 l as materialized (select * from jsonb_to_recordset(?::jsonb) \
                   as l(n bigint, xid text, id text, resource text, \"of\" text, key text)), \
                 held as materialized (select lock_id as id, xid from dtx_lock where lock_id = any (array(select id from l))), \
                 waited as materialized (select lock_id as id from dtx_wait where lock_id = any (array(select id from l))), \
                 known as materialized (select xid, branch_id as branch from dtx_branch \
                   where xid = any (array(select xid from b))), \
                 free as materialized (select xid from b where n not in (select l.n from l join held on held.id = l.id \
                   where held.xid <> l.xid) and n not in (select l.n from l join waited on waited.id = l.id) \
                   and (xid, branch) not in (select xid, branch from known)), \
                 opened as (update dtx_global set branches = branches + 1 where xid = any (array(select xid from free)) \
                   and status + 0 = 1 and deadline > {now} returning xid, branches), \
                 added as (insert into dtx_branch (xid, branch_id, number, resource_id, status, locks) \
                   select b.xid, b.branch, opened.branches, b.resource, 1, b.locks from opened join b on b.xid = opened.xid), \
                 taken as (insert into dtx_lock (lock_id, xid, resource_id, table_name, row_key, since) \
                   select l.id, l.xid, l.resource, l.\"of\", l.key, {now} from opened join l on l.xid = opened.xid \
                   where l.id not in (select id from held) order by l.id) \
                 select b.n from opened join b on b.xid = opened.xid",
            )
            .bind(json!(rows).to_string().as_str())
            .bind(json!(locks).to_string().as_str())
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        Ok(registered.into_iter().map(|(at,)| at).collect())
    }

    pub(super) async fn commit_many(&self, xids: &[&str]) -> Result<Vec<Option<Decided>>, BackendError> {
        let mut answers = Vec::with_capacity(xids.len());
        if D::DIALECT != Dialect::Postgres {
            let mut tx = begin(&self.pool).await?;
            for xid in xids {
                answers.push(self.decide_in(&mut tx, xid, Decision::Commit, Duration::ZERO).await?);
            }
            commit(tx).await?;
            return Ok(answers);
        }
        let mut decided = self.commit_open(xids).await?;
        for xid in xids {
            answers.push(match decided.remove(*xid) {
                Some(decided) => Some(decided),
                None => self.decide(xid, Decision::Commit, Duration::ZERO).await?,
            });
        }
        Ok(answers)
    }

    /// Commits those of these transactions that are open and wait for nothing.
    async fn commit_open(&self, xids: &[&str]) -> Result<HashMap<String, Decided>, BackendError> {
        let [with, without] = [true, false].map(|has| decided(GlobalStatus::Active, Decision::Commit, has).code());
        let rows: Vec<(String, i64, bool)> = self
            .sql
            .sql(
                "with x as materialized (select xid from jsonb_array_elements_text(?::jsonb) as x(xid)), \
                 waiting as materialized (select xid from dtx_waiter where xid = any (array(select xid from x))), \
                 moved as (update dtx_global set status = case when branches > 0 then ? else ? end, reason = null, \
                   due = {now}, ended = case when branches > 0 then null else {now} end \
                   where xid = any (array(select xid from x where xid not in (select xid from waiting))) and status + 0 = 1 \
                   returning xid, status), \
                 freed as (delete from dtx_lock where xid = any (array(select xid from moved)) returning xid, lock_id), \
                 wanted as materialized (select lock_id from dtx_wait where lock_id = any (array(select lock_id from freed))) \
                 select moved.xid, moved.status, moved.xid in (select freed.xid from freed \
                   where freed.lock_id in (select lock_id from wanted)) from moved",
            )
            .bind(json!(xids).to_string().as_str())
            .bind(with)
            .bind(without)
            .fetch_all(&mut self.pool.acquire().await?)
            .await?;
        let mut decided = HashMap::with_capacity(rows.len());
        for (xid, status, wanted) in rows {
            let standing = Standing { status: status_of(status)?, reason: None };
            decided.insert(xid, Decided { standing, wanted });
        }
        Ok(decided)
    }
}

/// Those of the branches that can go into one statement, by their numbers: one of each transaction, and of each row.
fn apart(branches: &[NewBranch]) -> Vec<(i64, &NewBranch)> {
    let (mut xids, mut rows) = (HashSet::new(), HashSet::new());
    let numbered = (0_i64..).zip(branches);
    numbered
        .filter(|(_, branch)| {
            let own: HashSet<_> = branch.locks.iter().collect();
            let is_apart = !xids.contains(&branch.xid) && rows.is_disjoint(&own);
            if is_apart {
                xids.insert(&branch.xid);
                rows.extend(own);
            }
            is_apart
        })
        .collect()
}
