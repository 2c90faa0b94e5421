//! Records that live in the caller's transaction.

use super::tokens::answer;
use super::{Conn, Db, Error, SqlStore, TRIES, crowded};
use crate::store::MAX_RESULT;
use crate::{ContentAnswer, ContentSlot, SpendToken, TokenAnswer, Verdict};

impl<D: Db> SqlStore<D> {
    /// Spends a token within your transaction, at once and with its result: if the transaction rolls back, the token is
    /// unspent; if it commits, the token is spent and your work is done. There is no state in between, hence no lease.
    ///
    /// A spend of the same token by another transaction waits until this one ends. [`TokenAnswer::Accepted`] means that
    /// this transaction spends it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] or [`Error::Backend`]; of class `Transient`, repeat the whole transaction.
    pub async fn spend_tx(
        &self,
        conn: &mut impl Conn<D>,
        ask: &SpendToken,
        result: &[u8],
    ) -> Result<TokenAnswer, Error> {
        if result.len() > MAX_RESULT {
            return Err(Error::TooLarge { size: result.len(), limit: MAX_RESULT });
        }
        for _ in 0..TRIES {
            let Some(row) = self.read(conn, ask, true).await? else {
                return Ok(if ask.outlived { TokenAnswer::Expired } else { TokenAnswer::Absent });
            };
            let verdict = row.record.judge(&ask.owner, &ask.fingerprint);
            match verdict {
                Verdict::Take { takeover } if !self.spend_at_once(conn, ask, &row, takeover, result).await? => {}
                _ => return Ok(answer(row.record, verdict)),
            }
        }
        Err(crowded::<D>())
    }

    /// Marks a content as processed within your transaction: true if it was not before. If the transaction rolls back, so
    /// does the mark, so that the content is processed once and never lost.
    ///
    /// A claim that another process holds by [`first_time`](crate::Dedup::first_time) counts as not the first while its
    /// lease lasts.
    ///
    /// # Errors
    /// [`Error::Backend`]; of class `Transient`, repeat the whole transaction.
    pub async fn first_time_tx(&self, conn: &mut impl Conn<D>, ask: &ContentSlot) -> Result<bool, Error> {
        let ask = ContentSlot { mark: true, ..ask.clone() };
        let answer = match ask.key.collision_name() {
            None => self.claim_content(conn, &ask.key.name, false, &ask, true).await?,
            Some(own) => self.claim_verified(conn, &own, &ask, true).await?,
        };
        Ok(matches!(answer, ContentAnswer::First { .. }))
    }
}
