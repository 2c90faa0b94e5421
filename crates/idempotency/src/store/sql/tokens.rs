//! Form tokens in a table.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    CLAIMED, Conn, DONE, Db, Error, ISSUED, Owner, SqlStore, TRIES, attempt, crowded, fingerprint, left, micros, owner,
    state,
};
use crate::{
    Capabilities, ClaimRef, Consume, NewToken, Record, RunningClaim, SpendToken, TokenAnswer, TokenKey, TokenStore,
    Verdict,
};

/// A row as it was read, with the revision that a change of it must name.
pub(super) struct Row {
    revision: i64,
    pub(super) record: Record,
}

macro_rules! read {
    ($lock:literal) => {
        concat!(
            "select t.revision, t.state, t.attempt, t.takeover, t.owner, t.fingerprint, \
             t.expires_at - {now}, t.lease_until - {now}, t.result, \
             (select l.id from idem_latest l where l.scope = ? and l.keep_until > {now}) \
             from idem_token t where t.id = ? and t.purpose = ? and t.subject = ? and t.keep_until > {now} ",
            $lock
        )
    };
}
type Columns = (i64, i64, i64, i64, String, Vec<u8>, i64, i64, Option<Vec<u8>>, Option<String>);

impl<D: Db> SqlStore<D> {
    /// Reads a token for somebody who wants to spend it. `lock` keeps others from changing it until the transaction ends,
    /// and reads what is committed whatever the transaction has seen before.
    pub(super) async fn read(
        &self,
        conn: &mut impl Conn<D>,
        ask: &SpendToken,
        lock: bool,
    ) -> Result<Option<Row>, Error> {
        let statement = self.sql.sql(if lock { read!("{for_update}") } else { read!("") });
        let row = statement
            .bind(&scope(&ask.key))
            .bind(&ask.key.id.to_string())
            .bind(&ask.key.purpose)
            .bind(&ask.key.user)
            .fetch_optional::<Columns>(conn)
            .await?;
        let Some((revision, at, attempts, takeover, owned, bound, life, lease, result, latest)) = row else {
            return Ok(None);
        };
        let record = Record {
            state: state::<D>(at)?,
            attempt: attempt::<D>(attempts)?,
            takeover: takeover != 0,
            owner: owner::<D>(&owned)?,
            fingerprint: fingerprint::<D>(&bound)?,
            life: left(life),
            lease: left(lease),
            superseded: ask.latest && latest.is_some_and(|latest| latest != ask.key.id.to_string()),
            result: result.unwrap_or_default(),
        };
        Ok(Some(Row { revision, record }))
    }

    /// Claims a token that was judged to be free; false if it changed since it was read.
    async fn take(&self, conn: &mut impl Conn<D>, ask: &SpendToken, row: &Row, takeover: bool) -> Result<bool, Error> {
        let tail = ask.tail.max(row.record.life);
        let taken = self
            .sql
            .sql(
                "update idem_token set state = ?, revision = revision + 1, attempt = attempt + 1, takeover = ?, \
                 owner = ?, holder = ?, claimed_at = {now}, lease_until = {now} + ?, tail = ?, keep_until = {now} + ? \
                 where id = ? and revision = ?",
            )
            .bind(CLAIMED)
            .bind(i64::from(takeover))
            .bind(&ask.owner.hex())
            .bind(&ask.holder)
            .bind(micros(ask.lease))
            .bind(micros(tail))
            .bind(micros(ask.lease + tail))
            .bind(&ask.key.id.to_string())
            .bind(row.revision);
        Ok(taken.execute(conn).await? == 1)
    }

    /// Completes a token that was judged to be free, without a claim in between; false if it changed since it was read.
    pub(super) async fn spend_at_once(
        &self,
        conn: &mut impl Conn<D>,
        ask: &SpendToken,
        row: &Row,
        takeover: bool,
        result: &[u8],
    ) -> Result<bool, Error> {
        let spent = self
            .sql
            .sql(
                "update idem_token set state = ?, revision = revision + 1, attempt = attempt + 1, takeover = ?, \
                 owner = ?, holder = ?, claimed_at = {now}, lease_until = {now}, keep_until = {now} + ?, result = ? \
                 where id = ? and revision = ?",
            )
            .bind(DONE)
            .bind(i64::from(takeover))
            .bind(&ask.owner.hex())
            .bind(&ask.holder)
            .bind(micros(ask.retention.max(row.record.life)))
            .bind(result)
            .bind(&ask.key.id.to_string())
            .bind(row.revision);
        Ok(spent.execute(conn).await? == 1)
    }

    /// State and result of the token, if `claim` was the last to claim it.
    async fn last_claimed(&self, conn: &mut impl Conn<D>, claim: &ClaimRef) -> Result<Option<(i64, Vec<u8>)>, Error> {
        let row = self
            .sql
            .sql(
                "select state, result from idem_token \
                 where id = ? and purpose = ? and subject = ? and owner = ? and keep_until > {now}",
            )
            .bind(&claim.key.id.to_string())
            .bind(&claim.key.purpose)
            .bind(&claim.key.user)
            .bind(&claim.owner.hex())
            .fetch_optional::<(i64, Option<Vec<u8>>)>(conn)
            .await?;
        Ok(row.map(|(state, result)| (state, result.unwrap_or_default())))
    }
}

/// Every answer but the one that changes the record.
pub(super) fn answer(record: Record, verdict: Verdict) -> TokenAnswer {
    match verdict {
        Verdict::Take { takeover } => TokenAnswer::Accepted { attempt: record.attempt + 1, takeover },
        Verdict::Mine => TokenAnswer::Accepted { attempt: record.attempt, takeover: record.takeover },
        Verdict::Done => TokenAnswer::AlreadySpent { result: record.result },
        Verdict::InFlight(retry_after) => TokenAnswer::InFlight { retry_after },
        Verdict::Superseded => TokenAnswer::Superseded,
        Verdict::Expired => TokenAnswer::Expired,
        Verdict::Mismatch => TokenAnswer::Mismatch,
    }
}

/// Neither part can hold a space.
fn scope(key: &TokenKey) -> String {
    format!("{} {}", key.purpose, key.user)
}

#[async_trait]
impl<D: Db> TokenStore for SqlStore<D> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn issue(&self, new: &NewToken) -> Result<(), Error> {
        let mut conn = self.conn().await?;
        let (id, life) = (new.key.id.to_string(), micros(new.ttl));
        // A repeat finds its own row. The token counts once the pointer names it; a row that never gets that far was
        // never handed out.
        self.sql
            .sql(
                "{insert_ignore} idem_token (id, purpose, subject, state, revision, attempt, takeover, owner, holder, \
                 fingerprint, expires_at, claimed_at, lease_until, tail, keep_until) \
                 values (?, ?, ?, ?, 0, 0, 0, ?, '', ?, {now} + ?, 0, 0, 0, {now} + ?) {or_ignore}",
            )
            .bind(&id)
            .bind(&new.key.purpose)
            .bind(&new.key.user)
            .bind(ISSUED)
            .bind(&Owner::NOBODY.hex())
            .bind(new.fingerprint.as_bytes())
            .bind(life)
            .bind(micros(new.ttl + new.tombstone))
            .execute(&mut conn)
            .await?;
        if new.latest {
            self.sql
                .sql("insert into idem_latest (scope, id, keep_until) values (?, ?, {now} + ?) {upsert scope: id, keep_until}")
                .bind(&scope(&new.key))
                .bind(&id)
                .bind(micros(new.ttl + new.tombstone))
                .execute(&mut conn)
                .await?;
        }
        Ok(())
    }

    async fn spend(&self, ask: &SpendToken) -> Result<TokenAnswer, Error> {
        let mut conn = self.conn().await?;
        for _ in 0..TRIES {
            let Some(row) = self.read(&mut conn, ask, false).await? else {
                return Ok(TokenAnswer::Absent);
            };
            let verdict = row.record.judge(&ask.owner, &ask.fingerprint);
            match verdict {
                Verdict::Take { takeover } if !self.take(&mut conn, ask, &row, takeover).await? => {}
                _ => return Ok(answer(row.record, verdict)),
            }
        }
        Err(crowded::<D>())
    }

    async fn renew(&self, claim: &ClaimRef, lease: Duration) -> Result<bool, Error> {
        let mut conn = self.conn().await?;
        let renewed = self
            .sql
            .sql(
                "update idem_token set lease_until = {now} + ?, keep_until = {now} + ? + tail, revision = revision + 1 \
                 where id = ? and purpose = ? and subject = ? and owner = ? and state = ? and keep_until > {now}",
            )
            .bind(micros(lease))
            .bind(micros(lease))
            .bind(&claim.key.id.to_string())
            .bind(&claim.key.purpose)
            .bind(&claim.key.user)
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        Ok(renewed.execute(&mut conn).await? == 1)
    }

    async fn complete(&self, claim: &ClaimRef, result: &[u8], retention: Duration) -> Result<bool, Error> {
        let mut conn = self.conn().await?;
        let completed = self
            .sql
            .sql(
                "update idem_token set state = ?, result = ?, keep_until = {now} + ?, revision = revision + 1 \
                 where id = ? and purpose = ? and subject = ? and owner = ? and state = ? and keep_until > {now}",
            )
            .bind(DONE)
            .bind(result)
            .bind(micros(retention))
            .bind(&claim.key.id.to_string())
            .bind(&claim.key.purpose)
            .bind(&claim.key.user)
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        if completed.execute(&mut conn).await? == 1 {
            return Ok(true);
        }
        let last = self.last_claimed(&mut conn, claim).await?;
        Ok(last.is_some_and(|(state, held)| state == DONE && held == result))
    }

    async fn release(&self, claim: &ClaimRef, tombstone: Duration) -> Result<bool, Error> {
        let mut conn = self.conn().await?;
        let released = self
            .sql
            .sql(
                "update idem_token set state = ?, revision = revision + 1, \
                 keep_until = case when expires_at > {now} then expires_at else {now} end + ? \
                 where id = ? and purpose = ? and subject = ? and owner = ? and state = ? and keep_until > {now}",
            )
            .bind(ISSUED)
            .bind(micros(tombstone))
            .bind(&claim.key.id.to_string())
            .bind(&claim.key.purpose)
            .bind(&claim.key.user)
            .bind(&claim.owner.hex())
            .bind(CLAIMED);
        if released.execute(&mut conn).await? == 1 {
            return Ok(true);
        }
        let last = self.last_claimed(&mut conn, claim).await?;
        Ok(last.is_some_and(|(state, _)| state == ISSUED))
    }

    async fn running(&self, purpose: &str, older_than: Duration, limit: usize) -> Result<Vec<RunningClaim>, Error> {
        type Found = (String, String, String, String, i64, i64, i64);
        let mut conn = self.conn().await?;
        let rows = self
            .sql
            .sql(
                "select id, subject, owner, holder, attempt, {now} - claimed_at, lease_until - {now} from idem_token \
                 where state = ? and purpose = ? and claimed_at <= (select {now}) - ? and keep_until > {now} \
                 order by claimed_at limit ?",
            )
            .bind(CLAIMED)
            .bind(purpose)
            .bind(micros(older_than))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all::<Found>(&mut conn)
            .await?;
        rows.into_iter()
            .map(|(id, user, owned, holder, attempts, age, lease)| {
                let key = TokenKey { purpose: purpose.to_owned(), user, id: id.parse()? };
                let claim = ClaimRef { key, owner: owner::<D>(&owned)? };
                Ok(RunningClaim::new(claim, holder, attempt::<D>(attempts)?, left(age), left(lease)))
            })
            .collect()
    }

    async fn issue_bare(&self, key: &str, value: &str, ttl: Duration) -> Result<(), Error> {
        self.put_bare(key, value, ttl).await
    }

    async fn consume_bare(&self, key: &str, value: &str) -> Result<Consume, Error> {
        self.take_bare(key, value).await
    }

    async fn health(&self) -> Result<(), Error> {
        self.ping().await
    }
}
