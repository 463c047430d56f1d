//! From the source to words (CEL language definition, "Syntax").

use std::ops::Range;

use super::error::CompileError;

/// A word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Integer(u64),
    Unsigned(u64),
    Double(f64),
    Text(String),
    Name(String),
    Symbol(&'static str),
    End,
}

/// A word and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}",
];

/// The words of `source`, the last one being [`Token::End`].
pub(super) fn words(source: &str) -> Result<Vec<Word>, CompileError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut words = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        words.push(Word { token, span: start..lexer.at });
        if is_end {
            return Ok(words);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let length = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError::new(self.source, at, message))
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|character| matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|character| character != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, CompileError> {
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(Token::End) };
        let second = self.rest().chars().nth(1);
        if first.is_ascii_digit() || first == '.' && second.is_some_and(|second| second.is_ascii_digit()) {
            return self.number();
        }
        if first == '"' || first == '\'' {
            return self.text(false).map(Token::Text);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|character| character.is_ascii_alphanumeric() || character == '_');
            if matches!(self.peek(), Some('"' | '\'')) {
                match name {
                    "r" | "R" => return self.text(true).map(Token::Text),
                    "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB" => {
                        return self.error(start, "there are no bytes here, only strings");
                    }
                    _ => {}
                }
            }
            return Ok(Token::Name(name.to_owned()));
        }
        match SYMBOLS.into_iter().find(|symbol| self.eat(symbol)) {
            Some(symbol) => Ok(Token::Symbol(symbol)),
            None => self.error(start, format!("`{}` means nothing here", first.escape_default())),
        }
    }

    fn number(&mut self) -> Result<Token, CompileError> {
        let start = self.at;
        if self.eat("0x") || self.eat("0X") {
            let digits = self.take_while(|character| character.is_ascii_hexdigit());
            return self.integer(start, digits, 16);
        }
        let whole = self.take_while(|character| character.is_ascii_digit());
        let mut is_double = false;
        let after_dot = self.rest().strip_prefix('.').and_then(|rest| rest.chars().next());
        if after_dot.is_some_and(|character| character.is_ascii_digit()) {
            self.at += 1;
            self.take_while(|character| character.is_ascii_digit());
            is_double = true;
        }
        let before_exponent = self.at;
        if self.eat("e") || self.eat("E") {
            if !self.eat("+") {
                self.eat("-");
            }
            if self.take_while(|character| character.is_ascii_digit()).is_empty() {
                self.at = before_exponent;
            } else {
                is_double = true;
            }
        }
        if !is_double {
            return self.integer(start, whole, 10);
        }
        match self.source.get(start..self.at).unwrap_or_default().parse::<f64>() {
            Ok(value) if value.is_finite() && self.ends_here() => Ok(Token::Double(value)),
            _ => self.error(start, "this is not a number of 64 bits"),
        }
    }

    fn integer(&mut self, start: usize, digits: &str, radix: u32) -> Result<Token, CompileError> {
        let is_unsigned = self.eat("u") || self.eat("U");
        match u64::from_str_radix(digits, radix) {
            Ok(value) if self.ends_here() => {
                Ok(if is_unsigned { Token::Unsigned(value) } else { Token::Integer(value) })
            }
            _ => self.error(start, "this is not a whole number of 64 bits"),
        }
    }

    /// Whether a number ends where it ends: `1a` is neither a number nor a name.
    fn ends_here(&self) -> bool {
        !self.peek().is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
    }

    fn text(&mut self, raw: bool) -> Result<String, CompileError> {
        let start = self.at;
        let quote =
            ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| self.eat(quote)).unwrap_or_default();
        let mut text = String::new();
        loop {
            if self.eat(quote) {
                return Ok(text);
            }
            match self.peek() {
                None => return self.error(start, "this string has no end"),
                Some('\n' | '\r') if quote.len() == 1 => {
                    return self.error(start, "this string has no end on its line");
                }
                Some('\\') if !raw => text.push(self.escape()?),
                Some(character) => {
                    self.at += character.len_utf8();
                    text.push(character);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, CompileError> {
        let start = self.at;
        self.at += 1;
        let Some(kind) = self.peek() else { return self.error(start, "an escape is cut off") };
        if kind.is_ascii_digit() {
            return self.code(start, 3, 8);
        }
        self.at += kind.len_utf8();
        Ok(match kind {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '?' | '"' | '\'' | '`' => kind,
            'x' | 'X' => return self.code(start, 2, 16),
            'u' => return self.code(start, 4, 16),
            'U' => return self.code(start, 8, 16),
            _ => return self.error(start, format!("there is no escape `\\{}`", kind.escape_default())),
        })
    }

    fn code(&mut self, start: usize, length: usize, radix: u32) -> Result<char, CompileError> {
        let digits =
            self.rest().get(..length).filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)));
        let character =
            digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()).and_then(char::from_u32);
        self.at += length;
        character.map_or_else(|| self.error(start, "this escape names no character"), Ok)
    }
}
