//! From tokens to a tree (§2, §3.6): operators by how strongly they bind, each level from left to right.

use super::MAX_BYTES;
use super::MAX_DEPTH;
use super::ast::Kind;
use super::ast::Level;
use super::ast::Node;
use super::ast::Operator;
use super::error::Error;
use super::error::ErrorKind;
use super::error::Span;
use super::error::excerpt;
use super::function::Function;
use super::lexer::Lexer;
use super::lexer::Token;
use super::like::Item;
use super::like::MAX_PLACES;
use super::like::Pattern;
use crate::event::Attribute;

const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"];

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let whole = Span { start: 0, end: text.len() };
    if text.len() > MAX_BYTES {
        let message = format!("the expression is longer than {MAX_BYTES} bytes");
        return Err(Error::new(ErrorKind::Parse, whole, text, message));
    }
    let mut lexer = Lexer::new(text);
    let (token, span) = lexer.next()?;
    let mut parser = Parser { text, lexer, token, span, depth: 0, suffixes: 0 };
    let root = parser.expression()?;
    match parser.token {
        Token::End => Ok(root),
        Token::Symbol(")") => Err(parser.error("this parenthesis closes nothing")),
        _ => Err(parser.expected("an operator or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The next token, and where it stands.
    token: Token<'a>,
    span: Span,
    /// Levels of nesting around the next token.
    depth: usize,
    /// Times that `LIKE` or `IN` followed right upon the result of another one. The tree is that much deeper.
    suffixes: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Parse, self.span, self.text, message.into())
    }

    fn expected(&self, what: &str) -> Error {
        match self.token {
            Token::End => self.error(format!("{what} is expected, and here it ends")),
            token => self.error(format!("{what} is expected, not {}", excerpt(token.text()))),
        }
    }

    /// Takes the next token.
    fn next(&mut self) -> Result<(Token<'a>, Span), Error> {
        let taken = (self.token, self.span);
        (self.token, self.span) = self.lexer.next()?;
        Ok(taken)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    /// Takes that symbol, if it is next.
    fn takes(&mut self, symbol: &str) -> Result<bool, Error> {
        let is_next = self.is_symbol(symbol);
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }

    /// Takes that keyword, if it is next.
    fn takes_keyword(&mut self, keyword: &str) -> Result<bool, Error> {
        let is_next = self.token.is_keyword(keyword);
        if is_next {
            self.next()?;
        }
        Ok(is_next)
    }

    /// Something one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("the expression nests more than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Node, Error> {
        self.deeper(|parser| parser.chain(Level::Logic))
    }

    /// Operands, joined by operators that bind at least as strongly as that level.
    fn chain(&mut self, least: Level) -> Result<Node, Error> {
        let mut first = self.suffixed()?;
        while let Some(level) = self.operator().map(Operator::level).filter(|level| *level >= least) {
            let mut rest = Vec::new();
            let mut span = first.span;
            while let Some(operator) = self.operator().filter(|operator| operator.level() == level) {
                self.next()?;
                let operand = self.chain(level.tighter())?;
                span = span.to(operand.span);
                rest.push((operator, operand));
            }
            first = Node { span, kind: Kind::Chain { first: Box::new(first), rest } };
        }
        Ok(first)
    }

    /// The operator that is next.
    fn operator(&self) -> Option<Operator> {
        let symbol = match self.token {
            Token::Symbol(symbol) => symbol,
            token if token.is_keyword("AND") => return Some(Operator::And),
            token if token.is_keyword("OR") => return Some(Operator::Or),
            token if token.is_keyword("XOR") => return Some(Operator::Xor),
            _ => return None,
        };
        Some(match symbol {
            "*" => Operator::Multiply,
            "/" => Operator::Divide,
            "%" => Operator::Remainder,
            "+" => Operator::Add,
            "-" => Operator::Subtract,
            "=" => Operator::Equal,
            "!=" | "<>" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return None,
        })
    }

    /// An operand with what `LIKE` and `IN` ask of it.
    fn suffixed(&mut self) -> Result<Node, Error> {
        let mut node = self.operand()?;
        let mut again = false;
        loop {
            let negated = self.takes_keyword("NOT")?;
            let start = node.span;
            let operand = Box::new(node);
            let (end, kind) = if self.takes_keyword("LIKE")? {
                let (end, pattern) = self.pattern()?;
                (end, Kind::Like { operand, negated, pattern })
            } else if self.takes_keyword("IN")? {
                let (end, set) = self.set()?;
                (end, Kind::In { operand, negated, set })
            } else if negated {
                return Err(self.expected("`LIKE` or `IN` after `NOT`"));
            } else {
                return Ok(*operand);
            };
            self.suffixes += usize::from(again);
            if self.suffixes > MAX_DEPTH {
                return Err(
                    self.error(format!("`LIKE` and `IN` follow upon each other more than {MAX_DEPTH} times"))
                );
            }
            again = true;
            node = Node { span: start.to(end), kind };
        }
    }

    /// An operand with the operators before it, which bind the strongest.
    fn operand(&mut self) -> Result<Node, Error> {
        let (token, span) = (self.token, self.span);
        if self.takes_keyword("NOT")? {
            let operand = self.deeper(Self::operand)?;
            return Ok(Node { span: span.to(operand.span), kind: Kind::Not(Box::new(operand)) });
        }
        if self.takes_keyword("EXISTS")? {
            let attribute = self.attribute()?;
            let (_, end) = self.next()?;
            return Ok(Node { span: span.to(end), kind: Kind::Exists(attribute) });
        }
        if let Token::Symbol(sign @ ("-" | "+")) = token {
            self.next()?;
            // A sign is part of an integer that follows at once.
            let integer =
                matches!(self.token, Token::Word(word) if is_integer(word) && self.span.start == span.end);
            if integer {
                let (_, end) = self.next()?;
                return self.integer(span.to(end));
            }
            if sign == "-" {
                let operand = self.deeper(Self::operand)?;
                return Ok(Node { span: span.to(operand.span), kind: Kind::Negate(Box::new(operand)) });
            }
            return Err(self.expected("an integer after `+`"));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let kind = match self.token {
            Token::Text(_) => Kind::Text(self.string()?.into()),
            Token::Symbol("(") => {
                let (_, start) = self.next()?;
                let mut node = self.expression()?;
                node.span = start.to(self.closed("an operator or `)`")?);
                return Ok(node);
            }
            Token::Word(word) if is_integer(word) => {
                let (_, span) = self.next()?;
                return self.integer(span);
            }
            token if token.is_keyword("TRUE") => Kind::Boolean(true),
            token if token.is_keyword("FALSE") => Kind::Boolean(false),
            Token::Word(word) if !is_keyword(word) => return self.named(word),
            _ => return Err(self.expected("a value")),
        };
        let (_, span) = self.next()?;
        Ok(Node { span, kind })
    }

    /// A call, or else an attribute.
    fn named(&mut self, word: &'a str) -> Result<Node, Error> {
        let (start, name) = (self.span, word.to_ascii_uppercase());
        let attribute = self.attribute();
        self.next()?;
        if !self.is_symbol("(") {
            return Ok(Node { span: start, kind: Kind::Attribute(attribute?) });
        }
        if !word.starts_with(|first: char| first.is_ascii_alphabetic())
            || word.contains(|c: char| c.is_ascii_digit())
        {
            let message = format!("{} is no name of a function: letters and `_`", excerpt(word));
            return Err(Error::new(ErrorKind::Parse, start, self.text, message));
        }
        self.next()?;
        let mut arguments = Vec::new();
        let end = if self.is_symbol(")") { self.next()?.1 } else { self.list(&mut arguments)? };
        let function = Function::find(&name, arguments.len());
        Ok(Node { span: start.to(end), kind: Kind::Call { name: name.into(), function, arguments } })
    }

    /// Expressions up to the closing parenthesis, which is where it ends.
    fn list(&mut self, into: &mut Vec<Node>) -> Result<Span, Error> {
        loop {
            into.push(self.expression()?);
            if !self.takes(",")? {
                return self.closed("`,` or `)`");
            }
        }
    }

    fn closed(&mut self, expected: &str) -> Result<Span, Error> {
        if self.is_symbol(")") { Ok(self.next()?.1) } else { Err(self.expected(expected)) }
    }

    /// What `IN` looks in: at least one expression.
    fn set(&mut self) -> Result<(Span, Vec<Node>), Error> {
        if !self.takes("(")? {
            return Err(self.expected("`(` after `IN`"));
        }
        let mut set = Vec::new();
        Ok((self.list(&mut set)?, set))
    }

    /// The attribute that the next word names. The word is not taken.
    fn attribute(&self) -> Result<Attribute, Error> {
        match self.token {
            Token::Word(word) if is_keyword(word) => Err(self
                .error(format!("{} is a word of the language, and names no attribute here", excerpt(word)))),
            Token::Word(word) => {
                Attribute::parse(&word.to_ascii_lowercase()).map_err(|error| self.error(error.to_string()))
            }
            _ => Err(self.expected("the name of an attribute")),
        }
    }

    fn integer(&self, span: Span) -> Result<Node, Error> {
        let digits = self.text.get(span.start..span.end).unwrap_or_default();
        let value = digits.parse().map_err(|_| {
            let message = format!("{} does not fit into an integer of 32 bits", excerpt(digits));
            Error::new(ErrorKind::Parse, span, self.text, message)
        })?;
        Ok(Node { span, kind: Kind::Integer(value) })
    }

    /// What the next token, a string, spells. It is not taken.
    fn string(&self) -> Result<String, Error> {
        let items = self.spelled(false)?;
        Ok(items
            .into_iter()
            .filter_map(|item| if let Item::Character(c) = item { Some(c) } else { None })
            .collect())
    }

    /// Takes a pattern.
    fn pattern(&mut self) -> Result<(Span, Pattern), Error> {
        let too_long =
            || format!("with a `_` among them, at most {MAX_PLACES} characters may stand between two `%`");
        let pattern = Pattern::new(self.spelled(true)?).ok_or_else(|| self.error(too_long()))?;
        Ok((self.next()?.1, pattern))
    }

    /// The characters of the next token, a string, with its escapes read in one go: those of `%` and `_` in a pattern
    /// could not be told from others later.
    fn spelled(&self, pattern: bool) -> Result<Vec<Item>, Error> {
        let Token::Text(text) = self.token else {
            return Err(self.expected("a string as the pattern of `LIKE`"));
        };
        let mut characters = text.chars();
        let quote = characters.next();
        characters.next_back();
        let mut characters = characters.peekable();
        let mut items = Vec::with_capacity(text.len());
        while let Some(character) = characters.next() {
            let escaped = match character {
                '\\' => characters.next_if(|next| {
                    Some(*next) == quote || *next == '\\' || pattern && matches!(next, '%' | '_')
                }),
                doubled if Some(doubled) == quote => characters.next(),
                _ => None,
            };
            items.push(match (escaped, character) {
                (Some(escaped), _) => Item::Character(escaped),
                (None, '%') if pattern => Item::AnyText,
                (None, '_') if pattern => Item::AnyCharacter,
                (None, other) => Item::Character(other),
            });
        }
        Ok(items)
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn is_integer(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}
