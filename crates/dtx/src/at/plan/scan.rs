//! The tokens of a statement with their places, so that its text is cut and never printed anew.

use onceward_backend::Dialect;
use sqlparser::dialect::{self, PostgreSqlDialect, SQLiteDialect};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{PREFIX, refused};
use crate::DtxError;
use crate::at::image::Kind;

/// Each operator or keyword may nest what follows one deeper, and who walks the parsed statement needs stack for that.
const MOST_LINKS: usize = 4_000;
/// No database takes more.
const MOST_ARGUMENTS: usize = 65_535;

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
    with: Option<With>,
    /// Where the statement proper begins.
    start: usize,
}

/// A part of the text, from its first byte to the first behind it.
pub(super) type Part = (usize, usize);

/// Where the list behind WITH begins.
#[derive(Clone, Copy)]
struct With {
    list: usize,
    recursive: bool,
}

/// Where the parts of a change lie.
pub(super) struct Parts {
    pub(super) assignments: Option<Part>,
    pub(super) from: Option<Part>,
    pub(super) filter: Option<Part>,
    pub(super) returning: Option<Part>,
    /// Where RETURNING begins, or the statement ends.
    pub(super) end: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(dialect: Dialect, text: &'a str) -> Result<Self, DtxError> {
        let unread = |_| refused("a text that is not SQL", "check quotes and comments");
        let spanned = Tokenizer::new(grammar(dialect), text).tokenize_with_location().map_err(unread)?;
        let mut cursor = Cursor::new(text);
        let unicode = |pair: &[TokenWithSpan]| match pair {
            [TokenWithSpan { token: Token::Word(word), .. }, TokenWithSpan { token: Token::Ampersand, .. }] => {
                word.value.eq_ignore_ascii_case("u") && word.quote_style.is_none()
            }
            _ => false,
        };
        if spanned.windows(2).any(unicode) {
            return Err(refused("U&, which writes names in other letters", "write the name as it is"));
        }
        if spanned.iter().filter(|spanned| is_link(&spanned.token)).count() > MOST_LINKS {
            let part = format!("a text of more than {MOST_LINKS} operators and keywords");
            return Err(refused(part, "split it, or bind lists as arrays"));
        }
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
        Ok(Self { dialect, text, tokens, with: None, start: 0 })
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

    /// Lets the statement proper begin behind the parenthesis there, which ends its WITH.
    pub(super) fn begin_behind(&mut self, parenthesis: Location, recursive: bool) -> Result<(), DtxError> {
        let last = Cursor::new(self.text).seek(parenthesis, self.text.len());
        let mut solid = self.tokens.iter().filter(|(token, ..)| !matches!(token, Token::Whitespace(_)));
        let start = solid.find(|(_, offset, _)| *offset > last).map(|(_, offset, _)| *offset).ok_or_else(lost)?;
        let word = if recursive { Keyword::RECURSIVE } else { Keyword::WITH };
        let list = self.keyword(word).next().ok_or_else(lost)? + if recursive { "recursive" } else { "with" }.len();
        self.with = Some(With { list, recursive });
        self.start = start;
        Ok(())
    }

    /// The statement proper up to there; on SQLite with its WITH.
    pub(super) fn body(&self, end: usize) -> Result<String, DtxError> {
        let start = if self.dialect == Dialect::Sqlite { 0 } else { self.start };
        Ok(self.text.get(start..end).ok_or_else(lost)?.trim_end().to_owned())
    }

    /// What a further query in front of the statement has to begin with: on SQLite nothing if there is no WITH.
    pub(super) fn with(&self) -> Result<String, DtxError> {
        let plain = self.dialect == Dialect::Sqlite;
        let Some(With { list, recursive }) = self.with else {
            return Ok(if plain { String::new() } else { "with ".to_owned() });
        };
        let (list, recursive) = (self.numbered((list, self.start))?, if recursive { "recursive" } else { "" });
        Ok(format!("with {recursive}{list}{}", if plain { "" } else { ", " }))
    }

    fn end(&self) -> usize {
        let semicolon = self.tokens.iter().find(|(token, _, depth)| *token == Token::SemiColon && *depth == 0);
        semicolon.map_or(self.text.len(), |(_, offset, _)| *offset)
    }

    /// Where the parts of a change lie, of which these are there.
    pub(super) fn parts(&self, kind: Kind, joined: bool, filtered: bool, returning: bool) -> Result<Parts, DtxError> {
        let last = self.end();
        let returning = returning.then(|| self.keyword(Keyword::RETURNING).last().ok_or_else(lost)).transpose()?;
        let end = returning.unwrap_or(last);
        let filter = filtered.then(|| self.keyword(Keyword::WHERE).next().ok_or_else(lost)).transpose()?;
        let upto = filter.unwrap_or(end);
        let word = if kind == Kind::Update { Keyword::FROM } else { Keyword::USING };
        let from = joined.then(|| self.keyword(word).next().ok_or_else(lost)).transpose()?;
        let set = match kind {
            Kind::Update => Some(self.keyword(Keyword::SET).next().ok_or_else(lost)?),
            Kind::Insert | Kind::Delete => None,
        };
        Ok(Parts {
            assignments: set.map(|set| (set + "set".len(), from.unwrap_or(upto))),
            from: from.map(|from| (from + if kind == Kind::Update { "from" } else { "using" }.len(), upto)),
            filter: filter.map(|filter| (filter + "where".len(), end)),
            returning: returning.map(|returning| (returning + "returning".len(), last)),
            end,
        })
    }

    /// The query before its FROM, and from there on.
    pub(super) fn around_from(&self) -> Result<(String, String), DtxError> {
        let from = self.keyword(Keyword::FROM).next().ok_or_else(lost)?;
        Ok((self.written((0, from))?, self.written((from, self.end()))?))
    }

    /// A part as it is written.
    pub(super) fn written(&self, (start, end): Part) -> Result<String, DtxError> {
        // A comment to the end of the line would swallow what is put behind.
        Ok(format!("{}\n", self.text.get(start..end).ok_or_else(lost)?))
    }

    /// A part whose placeholders say their numbers: what counts them by their place must not count anew.
    pub(super) fn numbered(&self, (start, end): Part) -> Result<String, DtxError> {
        if self.dialect != Dialect::Sqlite {
            return self.written((start, end));
        }
        let mut part = String::new();
        let mut copied = start;
        for (number, offset, length) in self.placeholders()? {
            if offset >= start && offset < end {
                part.push_str(self.text.get(copied..offset).ok_or_else(lost)?);
                part.push_str(&format!("?{number}"));
                copied = offset + length;
            }
        }
        part.push_str(&self.written((copied, end))?);
        Ok(part)
    }

    /// The list behind RETURNING. A bare `*` means `row`, if one is given, also where other rows are at hand.
    pub(super) fn returning(&self, (start, end): Part, row: Option<&String>) -> Result<String, DtxError> {
        let mut copied = start;
        let mut list = String::new();
        let mut before = None;
        for (token, offset, depth) in &self.tokens {
            if *offset < copied || *offset >= end || matches!(token, Token::Whitespace(_)) {
                continue;
            }
            let bare = *token == Token::Mul && *depth == 0 && matches!(before, None | Some(Token::Comma));
            if let (Some(row), true) = (row, bare && self.dialect == Dialect::Postgres) {
                list.push_str(self.text.get(copied..*offset).ok_or_else(lost)?);
                list.push_str(row);
                list.push_str(".*");
                copied = offset + 1;
            }
            before = Some(token.clone());
        }
        list.push_str(&self.written((copied, end))?);
        Ok(list)
    }

    /// Refuses names that would be taken for those which stand around a captured statement. Of `table` the catalogue knows more.
    pub(super) fn names_of_ours(&self, table: &str) -> Result<(), DtxError> {
        let ours = |word: &&str| {
            let begins = word.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX));
            begins && *word != table && self.dialect == Dialect::Postgres
        };
        let words = self.tokens.iter().filter_map(|(token, ..)| match token {
            Token::Word(word) => Some(word.value.as_str()),
            _ => None,
        });
        match { words }.find(ours) {
            Some(name) => Err(refused(format!("the name {name}"), "names that begin with onceward_ are this crate's")),
            None => Ok(()),
        }
    }

    /// Where a keyword stands on the outermost level, and is no name behind AS or a point, nor part of IS DISTINCT FROM.
    pub(super) fn keyword(&self, keyword: Keyword) -> impl Iterator<Item = usize> {
        let mut named = false;
        let solid = self.tokens.iter().filter(|(token, ..)| !matches!(token, Token::Whitespace(_)));
        solid.filter_map(move |(token, offset, depth)| {
            let word = match token {
                Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
                _ => None,
            };
            let found = word == Some(keyword) && *depth == 0 && !named && *offset >= self.start;
            named = *token == Token::Period
                || word == Some(Keyword::AS)
                || (word == Some(Keyword::DISTINCT) && keyword == Keyword::FROM);
            found.then_some(*offset)
        })
    }

    /// How many arguments the statement needs.
    pub(super) fn arguments(&self) -> Result<usize, DtxError> {
        let most = self.placeholders()?.iter().map(|(number, ..)| *number).max().unwrap_or_default();
        if most > MOST_ARGUMENTS {
            return Err(refused(format!("a placeholder of the number {most}"), "count from 1, without gaps"));
        }
        Ok(most)
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

/// True for all but what a long list consists of.
fn is_link(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            let leaf = [Keyword::NoKeyword, Keyword::NULL, Keyword::TRUE, Keyword::FALSE, Keyword::DEFAULT];
            !leaf.contains(&word.keyword)
        }
        Token::Comma | Token::LParen | Token::RParen | Token::Period | Token::Whitespace(_) => false,
        Token::Number(..) | Token::Placeholder(_) | Token::SingleQuotedString(_) | Token::DollarQuotedString(_) => {
            false
        }
        Token::EscapedStringLiteral(_) | Token::HexStringLiteral(_) | Token::UnicodeStringLiteral(_) => false,
        _ => true,
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

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.char_indices(), line: 1, column: 1, offset: 0 }
    }

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
