//! The common case of a commit, many branches at once.

use std::collections::BTreeSet;

use onceward_backend::{Conn, Db, Dialect};

use super::{Log, NORMAL, OURS};
use crate::DtxError;
use crate::list::is_listable;

impl<D: Db> Log<D> {
    /// Removes the undo of branches that hold nothing, in one statement, and answers of which. A branch whose name the list
    /// cannot carry is left out.
    pub(crate) async fn remove_all_plain(
        &self,
        conn: &mut impl Conn<D>,
        names: &[(&str, i64)],
    ) -> Result<BTreeSet<(String, i64)>, DtxError> {
        let names: Vec<_> = names.iter().filter(|(xid, _)| is_listable(xid)).map(listed).collect();
        let statement = match D::DIALECT {
            Dialect::Postgres => {
                // By a list of keys and not as a join, for which the server uses the index whatever it believes of the table.
                "with b as materialized (select split_part(name, '/', 2) as xid, split_part(name, '/', 1)::bigint as branch_id \
                 from unnest(string_to_array(?, ' ')) as name) \
                 delete from undo_log where xid = any (array(select xid from b)) \
                 and (xid, branch_id) in (select xid, branch_id from b) and context = ? and log_status = ? \
                 returning xid, branch_id"
            }
            _ => {
                "delete from undo_log where (xid, branch_id) in (select substr(value, instr(value, '/') + 1), \
                 cast(value as integer) from json_each('[\"' || replace(?, ' ', '\",\"') || '\"]')) \
                 and context = ? and log_status = ? returning xid, branch_id"
            }
        };
        let statement = self.0.sql(statement).bind(names.join(" ").as_str()).bind(OURS).bind(NORMAL);
        Ok(statement.fetch_all(conn).await?.into_iter().collect())
    }
}

fn listed((xid, branch_id): &(&str, i64)) -> String {
    format!("{branch_id}/{xid}")
}
