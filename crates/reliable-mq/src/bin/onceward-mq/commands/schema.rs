//! `schema`: the tables as SQL.

use onceward_backend::Dialect;
use onceward_backend::internal::cli::Answer;
use serde_json::json;

use crate::args::SqlOf;

pub(crate) fn run(of: SqlOf) -> Answer {
    let dialect = Dialect::from(of);
    let sql = onceward_reliable_mq::schema(dialect);
    let json = json!({ "dialect": dialect.name(), "sql": sql });
    Answer::new(sql, json)
}
