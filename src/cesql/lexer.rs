//! From text to tokens (§2.2, §2.3). Sizes are checked by the parser.

use super::error::Error;
use super::error::ErrorKind;
use super::error::Span;
use super::error::excerpt;

/// A token, borrowed from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits and underscores: a keyword, an identifier, the name of a function, the digits of an integer.
    Word(&'a str),
    /// A string with its quotes, as it was written.
    Text(&'a str),
    /// An operator, a parenthesis or a comma.
    Symbol(&'static str),
    /// There is nothing more.
    End,
}

impl<'a> Token<'a> {
    /// As it was written.
    pub(super) fn text(self) -> &'a str {
        match self {
            Token::Word(text) | Token::Text(text) | Token::Symbol(text) => text,
            Token::End => "",
        }
    }

    /// Whether it is that keyword, in any case.
    pub(super) fn is_keyword(self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Symbols; those of two characters before the ones that they begin with.
const SYMBOLS: [&str; 15] = ["<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/", "%"];

/// Reads tokens off a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token, and where it stands.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, Span), Error> {
        let rest = self.rest().trim_start_matches([' ', '\t', '\r', '\n']);
        self.at = self.text.len() - rest.len();
        let token = match rest.bytes().next() {
            None => Token::End,
            Some(quote @ (b'\'' | b'"')) => Token::Text(self.quoted(rest, quote)?),
            Some(first) if is_word(first) => {
                let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
                Token::Word(rest.get(..end).unwrap_or_default())
            }
            Some(_) => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => Token::Symbol(symbol),
                None => return Err(self.unexpected(rest)),
            },
        };
        let start = self.at;
        self.at += token.text().len();
        Ok((token, Span { start, end: self.at }))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// A string up to its closing quote. A backslash takes the next character with it, and so does a quote another one.
    fn quoted(&self, rest: &'a str, quote: u8) -> Result<&'a str, Error> {
        let mut bytes = rest.bytes().enumerate().skip(1).peekable();
        while let Some((at, byte)) = bytes.next() {
            if byte == b'\\' {
                bytes.next();
            } else if byte == quote && bytes.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(rest.get(..=at).unwrap_or_default());
            }
        }
        let span = Span { start: self.at, end: self.text.len() };
        Err(Error::new(ErrorKind::Parse, span, self.text, "this string has no closing quote".to_owned()))
    }

    fn unexpected(&self, rest: &str) -> Error {
        let length = rest.chars().next().map_or(0, char::len_utf8);
        let span = Span { start: self.at, end: self.at + length };
        let found = excerpt(rest.get(..length).unwrap_or_default());
        Error::new(ErrorKind::Parse, span, self.text, format!("{found} means nothing here"))
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
