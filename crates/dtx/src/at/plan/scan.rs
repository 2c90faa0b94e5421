//! The tokens of a statement with their places, so that its text is cut and never printed anew.

use onceward_backend::Dialect;
use sqlparser::dialect::{self, PostgreSqlDialect, SQLiteDialect};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::refused;
use crate::DtxError;

/// How a database reads statements.
pub(super) fn grammar(dialect: Dialect) -> &'static dyn dialect::Dialect {
    match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        _ => &SQLiteDialect {},
    }
}

/// A tokenised statement.
pub(super) struct Scan<'a> {
    dialect: Dialect,
    text: &'a str,
    /// Token, offset of its first byte, depth in parentheses.
    tokens: Vec<(Token, usize, usize)>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(dialect: Dialect, text: &'a str) -> Result<Self, DtxError> {
        let unread = |_| refused("a text that is not SQL", "check quotes and comments");
        let spanned = Tokenizer::new(grammar(dialect), text).tokenize_with_location().map_err(unread)?;
        let mut cursor = Cursor { rest: text.char_indices(), line: 1, column: 1, offset: 0 };
        let mut depth = 0_usize;
        let mut tokens = Vec::with_capacity(spanned.len());
        for spanned in spanned {
            if let Token::CustomBinaryOperator(operator) = &spanned.token
                && (operator.contains("--") || operator.contains("/*"))
            {
                // Where the database sees a comment.
                return Err(refused(format!("the operator {operator}"), "put a space before the comment"));
            }
            if spanned.token == Token::RParen {
                depth = depth.saturating_sub(1);
            }
            let offset = cursor.seek(spanned.span.start, text.len());
            tokens.push((spanned.token, offset, depth));
            if matches!(tokens.last(), Some((Token::LParen, ..))) {
                depth += 1;
            }
        }
        Ok(Self { dialect, text, tokens })
    }

    /// The first word in capitals; empty if the text has none.
    pub(super) fn first_word(&self) -> String {
        let mut solid =
            self.tokens.iter().filter(|(token, ..)| !matches!(token, Token::Whitespace(_) | Token::SemiColon));
        match solid.next() {
            Some((Token::Word(word), ..)) => word.value.to_uppercase(),
            Some((other, ..)) => other.to_string(),
            None => String::new(),
        }
    }

    /// The statement up to there.
    pub(super) fn body(&self, end: usize) -> Result<String, DtxError> {
        Ok(self.text.get(..end).ok_or_else(lost)?.trim_end().to_owned())
    }

    fn end(&self) -> usize {
        let semicolon = self.tokens.iter().find(|(token, _, depth)| *token == Token::SemiColon && *depth == 0);
        semicolon.map_or(self.text.len(), |(_, offset, _)| *offset)
    }

    /// Where RETURNING begins, or the statement ends.
    pub(super) fn end_of_body(&self, returning: bool) -> Result<usize, DtxError> {
        if returning { self.keyword(Keyword::RETURNING).last().ok_or_else(lost) } else { Ok(self.end()) }
    }

    /// ` where …` of the outermost level, up to `end`.
    pub(super) fn filter(&self, end: usize) -> Result<String, DtxError> {
        let start = self.keyword(Keyword::WHERE).next().ok_or_else(lost)?;
        let mut filter = String::from(" ");
        let mut copied = start;
        // What counts placeholders by their place must not count anew in a part of the statement.
        let plain = if self.dialect == Dialect::Sqlite { self.placeholders()? } else { Vec::new() };
        for (number, offset, length) in plain {
            if offset >= start && offset < end {
                filter.push_str(self.text.get(copied..offset).ok_or_else(lost)?);
                filter.push_str(&format!("?{number}"));
                copied = offset + length;
            }
        }
        filter.push_str(self.text.get(copied..end).ok_or_else(lost)?);
        // A comment to the end of the line would swallow what is put behind.
        filter.push('\n');
        Ok(filter)
    }

    /// What stands between SET and WHERE, or `end`.
    pub(super) fn assignments(&self, filtered: bool, end: usize) -> Result<String, DtxError> {
        let start = self.keyword(Keyword::SET).next().ok_or_else(lost)? + "set".len();
        let end = if filtered { self.keyword(Keyword::WHERE).next().ok_or_else(lost)? } else { end };
        Ok(format!("{}\n", self.text.get(start..end).ok_or_else(lost)?))
    }

    /// The list behind RETURNING. A bare `*` means the row that is changed, also where other rows are at hand.
    pub(super) fn returning(&self, row: &str) -> Result<String, DtxError> {
        let mut copied = self.end_of_body(true)? + "returning".len();
        let end = self.end();
        let mut list = String::new();
        let mut before = None;
        for (token, offset, depth) in &self.tokens {
            if *offset < copied || *offset >= end || matches!(token, Token::Whitespace(_)) {
                continue;
            }
            let bare = *token == Token::Mul && *depth == 0 && matches!(before, None | Some(Token::Comma));
            if bare && self.dialect == Dialect::Postgres {
                list.push_str(self.text.get(copied..*offset).ok_or_else(lost)?);
                list.push_str(row);
                list.push_str(".*");
                copied = offset + 1;
            }
            before = Some(token.clone());
        }
        list.push_str(self.text.get(copied..end).ok_or_else(lost)?);
        list.push('\n');
        Ok(list)
    }

    /// Where a keyword stands on the outermost level, and is no name behind AS or a point.
    pub(super) fn keyword(&self, keyword: Keyword) -> impl Iterator<Item = usize> {
        let mut named = false;
        let solid = self.tokens.iter().filter(|(token, ..)| !matches!(token, Token::Whitespace(_)));
        solid.filter_map(move |(token, offset, depth)| {
            let word = match token {
                Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
                _ => None,
            };
            let found = (word == Some(keyword) && *depth == 0 && !named).then_some(*offset);
            named = *token == Token::Period || word == Some(Keyword::AS);
            found
        })
    }

    /// How many arguments the statement needs.
    pub(super) fn arguments(&self) -> Result<usize, DtxError> {
        Ok(self.placeholders()?.iter().map(|(number, ..)| *number).max().unwrap_or_default())
    }

    /// Number, offset and length of each placeholder. The driver counts `?` by its place among the arguments, so mixing it
    /// with numbered ones gives other values than one would think.
    fn placeholders(&self) -> Result<Vec<(usize, usize, usize)>, DtxError> {
        let (mut found, mut plain) = (Vec::new(), 0);
        let mut numbered = false;
        for (token, offset, _) in &self.tokens {
            match token {
                // Operators there.
                Token::Colon | Token::DoubleColon | Token::AtSign if self.dialect == Dialect::Postgres => {}
                Token::Placeholder(name) if name == "?" => {
                    plain += 1;
                    found.push((plain, *offset, 1));
                }
                Token::Placeholder(name) => {
                    numbered = true;
                    let number = name[1..].parse().map_err(|_| named())?;
                    if number == 0 {
                        return Err(refused("the placeholder number 0", "count from 1"));
                    }
                    found.push((number, *offset, name.len()));
                }
                Token::Colon | Token::DoubleColon | Token::AtSign => return Err(named()),
                _ => {}
            }
        }
        if plain > 0 && numbered {
            return Err(refused("placeholders with and without numbers together", "number all of them or none"));
        }
        Ok(found)
    }
}

fn lost() -> DtxError {
    refused("a part that is not found again in the text", "write the statement in a plainer form")
}

fn named() -> DtxError {
    refused("a named parameter", "use ? or ?1")
}

/// Follows the tokenizer's count of lines and columns, which are in characters.
struct Cursor<'a> {
    rest: std::str::CharIndices<'a>,
    line: u64,
    column: u64,
    offset: usize,
}

impl Cursor<'_> {
    fn seek(&mut self, to: Location, end: usize) -> usize {
        while (self.line, self.column) < (to.line, to.column) {
            let Some((offset, c)) = self.rest.next() else { return end };
            self.offset = offset + c.len_utf8();
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset
    }
}
