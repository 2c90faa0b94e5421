//! Many names as one bound text, separated by spaces, so that a statement has one text however many there are.

/// A statement with such a list as a subquery of one column, between two halves of its text.
macro_rules! listed {
    ($dialect:expr, $before:literal, $after:literal) => {
        match $dialect {
            ::onceward_backend::Dialect::Postgres => {
                concat!($before, "(select unnest(string_to_array(?, ' ')))", $after)
            }
            ::onceward_backend::Dialect::MySql => concat!(
                $before,
                "(select name from json_table(concat('[\"', replace(?, ' ', '\",\"'), '\"]'), '$[*]' \
                 columns (name varchar(255) character set ascii collate ascii_bin path '$')) names)",
                $after
            ),
            _ => concat!($before, "(select value from json_each('[\"' || replace(?, ' ', '\",\"') || '\"]'))", $after),
        }
    };
}

pub(crate) use listed;

/// False for what would be taken apart, or would not be plain in JSON: such names are taken one by one.
pub(crate) fn is_listable(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| matches!(c, ' ' | '/' | '"' | '\\') || c.is_control())
}
