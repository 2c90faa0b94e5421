//! Tables whose columns are as wide as what is in them.

use std::fmt::{self, Write};

/// A table in the making.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    /// One row more.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    /// The table, or what to say if there is nothing in it.
    pub fn or(&self, nothing: &str) -> String {
        if self.rows.len() > 1 { self.to_string() } else { format!("{nothing}\n") }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A text that stays in its line and gives a terminal no orders.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, c| {
        if c.is_control() {
            plain.extend(c.escape_default())
        } else {
            plain.push(c)
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_rows_stay_rows() {
        let mut table = Table::new(["a", "name"]);
        table.row(["long one".to_owned(), String::new()]);
        table.row(["é".to_owned(), "two\nlines \u{1b}[31m".to_owned()]);
        assert_eq!(table.to_string(), "a         name\nlong one\né         two\\nlines \\u{1b}[31m\n");
        assert_eq!(Table::new(["a"]).or("nothing"), "nothing\n");
    }
}
