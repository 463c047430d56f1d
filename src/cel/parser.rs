//! From words to a tree, by precedence. Names are resolved on the way, so that what is unknown is found here.

use std::ops::Range;

use super::error::CompileError;
use super::function;
use super::lexer::{Token, Word, words};
use super::program::pattern;
use super::syntax::{Comprehension, Fold, Kind, Node, Operator, Pattern};
use crate::event::Attribute;

/// How deep brackets may nest while parsing. Each level takes a handful of calls; the stack of a task is 2 MiB.
const MAX_NESTING: usize = 32;

/// Words that the language keeps for itself (CEL language definition, `RESERVED`).
const RESERVED: [&str; 21] = [
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "true",
    "false",
    "null",
];

type Parsed = Result<Node, CompileError>;

/// The tree of `source`.
pub(super) fn parse(source: &str) -> Parsed {
    let words = words(source)?;
    let mut parser = Parser { source, words, next: 0, nesting: 0, variable: None };
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => parser.unexpected("an operator or the end"),
    }
}

struct Parser<'s> {
    source: &'s str,
    words: Vec<Word>,
    next: usize,
    nesting: usize,
    /// The variable of the comprehension that is being read.
    variable: Option<String>,
}

impl Parser<'_> {
    fn word(&self) -> &Word {
        // The last word is the end, and nobody reads past it.
        &self.words[self.next.min(self.words.len() - 1)]
    }

    fn peek(&self) -> &Token {
        &self.word().token
    }

    fn advance(&mut self) -> Word {
        let word = self.word().clone();
        self.next += 1;
        word
    }

    fn eat(&mut self, symbol: &'static str) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), CompileError> {
        if self.eat(symbol) { Ok(()) } else { self.unexpected(&format!("`{symbol}`")) }
    }

    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Result<T, CompileError> {
        Err(CompileError::new(self.source, at, message))
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, CompileError> {
        let Word { token, span } = self.word();
        let found = match token {
            Token::End => "the end".to_owned(),
            _ => format!("`{}`", self.source.get(span.clone()).unwrap_or_default()),
        };
        self.fail(span.start, format!("expected {wanted}, found {found}"))
    }

    /// From `start` to the end of the last word read.
    fn since(&self, start: usize) -> Range<usize> {
        let end = self
            .next
            .checked_sub(1)
            .and_then(|last| self.words.get(last))
            .map_or(start, |word| word.span.end);
        start..end
    }

    fn node(&self, start: usize, kind: Kind) -> Node {
        Node { kind, span: self.since(start) }
    }

    /// `a ? b : c` and everything that binds closer.
    fn expression(&mut self) -> Parsed {
        if self.nesting == MAX_NESTING {
            return self
                .fail(self.word().span.start, format!("brackets nest more than {MAX_NESTING} levels"));
        }
        self.nesting += 1;
        let start = self.word().span.start;
        let mut node = self.any()?;
        if self.eat("?") {
            let one = self.any()?;
            self.expect(":")?;
            let other = self.expression()?;
            node = self.node(start, Kind::Choice(Box::new([node, one, other])));
        }
        self.nesting -= 1;
        Ok(node)
    }

    fn any(&mut self) -> Parsed {
        self.chain("||", Self::all, Kind::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain("&&", Self::relation, Kind::All)
    }

    fn chain(
        &mut self,
        symbol: &'static str,
        next: fn(&mut Self) -> Parsed,
        kind: fn(Vec<Node>) -> Kind,
    ) -> Parsed {
        let start = self.word().span.start;
        let first = next(self)?;
        if *self.peek() != Token::Symbol(symbol) {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.eat(symbol) {
            terms.push(next(self)?);
        }
        Ok(self.node(start, kind(terms)))
    }

    fn relation(&mut self) -> Parsed {
        self.binary(Self::sum, |token| {
            Some(match token {
                Token::Symbol("==") => Operator::Equal,
                Token::Symbol("!=") => Operator::NotEqual,
                Token::Symbol("<") => Operator::Less,
                Token::Symbol("<=") => Operator::LessOrEqual,
                Token::Symbol(">") => Operator::Greater,
                Token::Symbol(">=") => Operator::GreaterOrEqual,
                Token::Name(name) if name == "in" => Operator::In,
                _ => return None,
            })
        })
    }

    fn sum(&mut self) -> Parsed {
        self.binary(Self::product, |token| match token {
            Token::Symbol("+") => Some(Operator::Add),
            Token::Symbol("-") => Some(Operator::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Parsed {
        self.binary(Self::unary, |token| match token {
            Token::Symbol("*") => Some(Operator::Multiply),
            Token::Symbol("/") => Some(Operator::Divide),
            Token::Symbol("%") => Some(Operator::Remainder),
            _ => None,
        })
    }

    /// Operators of one precedence, from left to right.
    fn binary(&mut self, next: fn(&mut Self) -> Parsed, operator: fn(&Token) -> Option<Operator>) -> Parsed {
        let start = self.word().span.start;
        let mut node = next(self)?;
        while let Some(operator) = operator(self.peek()) {
            self.next += 1;
            let right = next(self)?;
            node = self.node(start, Kind::Binary(operator, Box::new([node, right])));
        }
        Ok(node)
    }

    /// `!` or `-`, as often as they are written; the two do not mix.
    fn unary(&mut self) -> Parsed {
        let start = self.word().span.start;
        if *self.peek() == Token::Symbol("!") {
            let mut negations = 0_usize;
            while self.eat("!") {
                negations += 1;
            }
            let mut node = self.member()?;
            // Two of them are not nothing: they demand a boolean.
            for _ in 0..(2 - negations % 2) {
                node = self.node(start, Kind::Not(Box::new(node)));
            }
            return Ok(node);
        }
        if !self.eat("-") {
            return self.member();
        }
        let mut negations = 1_usize;
        while self.eat("-") {
            negations += 1;
        }
        // The smallest integer is a literal of its own: without its sign it would be too large.
        if let Token::Integer(magnitude) = *self.peek()
            && let Some(value) = 0_i64.checked_sub_unsigned(magnitude)
        {
            negations -= 1;
            self.next += 1;
            let literal = self.node(start, Kind::Integer(value));
            let mut node = self.postfix(start, literal)?;
            let rest = if negations == 0 { 0 } else { 2 - negations % 2 };
            for _ in 0..rest {
                node = self.node(start, Kind::Negate(Box::new(node)));
            }
            return Ok(node);
        }
        let mut node = self.member()?;
        for _ in 0..(2 - negations % 2) {
            node = self.node(start, Kind::Negate(Box::new(node)));
        }
        Ok(node)
    }

    /// A primary with what follows it: `.name`, `[index]`, `.call(…)`.
    fn member(&mut self) -> Parsed {
        let start = self.word().span.start;
        if let Token::Name(name) = self.peek()
            && name == "event"
        {
            self.next += 1;
            let node = self.attribute(start)?;
            return self.postfix(start, node);
        }
        let node = self.primary(start)?;
        self.postfix(start, node)
    }

    /// What stands after `event`.
    fn attribute(&mut self, start: usize) -> Parsed {
        if self.eat("[") {
            let name = self.expression()?;
            self.expect("]")?;
            let kind = match name.kind {
                Kind::Text(name) => self.named(start, &name)?,
                _ => Kind::AnyAttribute(Box::new(name)),
            };
            return Ok(self.node(start, kind));
        }
        if !self.eat(".") {
            return self.unexpected("`.` and the name of an attribute");
        }
        let at = self.word().span.start;
        let Token::Name(name) = self.advance().token else {
            self.next -= 1;
            return self.unexpected("the name of an attribute");
        };
        let kind = self.named(at, &name)?;
        Ok(self.node(start, kind))
    }

    fn named(&self, at: usize, name: &str) -> Result<Kind, CompileError> {
        if name == "data" {
            return Ok(Kind::Data);
        }
        match Attribute::parse(name) {
            Ok(attribute) => Ok(Kind::Attribute(attribute)),
            Err(_) => self.fail(
                at,
                format!("`{name}` is not the name of an attribute: lower-case letters and digits, or `data`"),
            ),
        }
    }

    fn postfix(&mut self, start: usize, mut node: Node) -> Parsed {
        loop {
            if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                node = self.node(start, Kind::Index(Box::new([node, index])));
            } else if self.eat(".") {
                let at = self.word().span.start;
                let Token::Name(name) = self.peek().clone() else { return self.unexpected("a name") };
                if ["in", "true", "false", "null"].contains(&name.as_str()) {
                    return self
                        .fail(at, format!("`{name}` is a word of the language; write `[\"{name}\"]`"));
                }
                self.next += 1;
                node = if self.eat("(") {
                    self.method(start, at, node, &name)?
                } else {
                    self.node(start, Kind::Select(Box::new(node), name.into()))
                };
            } else {
                return Ok(node);
            }
        }
    }

    fn method(&mut self, start: usize, at: usize, target: Node, name: &str) -> Parsed {
        let fold = match name {
            "all" => Some(Fold::All),
            "exists" => Some(Fold::Exists),
            "exists_one" | "existsOne" => Some(Fold::ExistsOne),
            "filter" => Some(Fold::Filter),
            "map" => Some(Fold::Map),
            _ => None,
        };
        if let Some(fold) = fold {
            return self.comprehension(start, at, target, fold);
        }
        let mut arguments = self.list(")")?;
        if name == "matches" {
            return self.matches(start, at, target, &arguments);
        }
        match function::find(name, true, arguments.len()) {
            Ok(function) => {
                arguments.insert(0, target);
                Ok(self.node(start, Kind::Call(function, arguments)))
            }
            Err(message) => self.fail(at, message),
        }
    }

    fn matches(&self, start: usize, at: usize, text: Node, arguments: &[Node]) -> Parsed {
        let [Node { kind: Kind::Text(source), span }] = arguments else {
            return self.fail(at, "`matches` takes one regular expression, written as a string");
        };
        match pattern(source) {
            Ok(regex) => {
                let pattern = Pattern { regex, length: source.len() };
                Ok(self.node(start, Kind::Matches(Box::new(text), Box::new(pattern))))
            }
            Err(message) => self.fail(span.start, message),
        }
    }

    fn comprehension(&mut self, start: usize, at: usize, range: Node, fold: Fold) -> Parsed {
        if self.variable.is_some() {
            return self
                .fail(at, "an iteration inside another one takes too long; one level is what there is");
        }
        let name_at = self.word().span.start;
        let Token::Name(name) = self.advance().token else {
            self.next -= 1;
            return self.unexpected("the name of a variable");
        };
        if RESERVED.contains(&name.as_str()) || name == "event" {
            return self.fail(name_at, format!("`{name}` cannot be the name of a variable"));
        }
        self.expect(",")?;
        self.variable = Some(name);
        let first = self.expression()?;
        let second = if fold == Fold::Map && self.eat(",") { Some(self.expression()?) } else { None };
        self.variable = None;
        self.expect(")")?;
        let (predicate, transform) = match (fold, second) {
            (Fold::Map, Some(transform)) => (Some(first), Some(transform)),
            (Fold::Map, None) => (None, Some(first)),
            _ => (Some(first), None),
        };
        let comprehension = Comprehension { range, fold, predicate, transform };
        Ok(self.node(start, Kind::Comprehension(Box::new(comprehension))))
    }

    /// Expressions up to `end`; a comma before it is allowed where it is no `)`.
    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, CompileError> {
        let mut nodes = Vec::new();
        while !self.eat(end) {
            nodes.push(self.expression()?);
            if self.eat(end) {
                break;
            }
            self.expect(",")?;
            if end == ")" && *self.peek() == Token::Symbol(end) {
                return self.unexpected("an argument");
            }
        }
        Ok(nodes)
    }

    fn map(&mut self) -> Result<Kind, CompileError> {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
            if self.eat("}") {
                break;
            }
            self.expect(",")?;
        }
        Ok(Kind::Map(entries))
    }

    fn primary(&mut self, start: usize) -> Parsed {
        let kind = match self.peek().clone() {
            Token::Integer(value) => match i64::try_from(value) {
                Ok(value) => Kind::Integer(value),
                Err(_) => return self.fail(start, "this is not a whole number of 64 bits with a sign"),
            },
            Token::Unsigned(value) => Kind::Unsigned(value),
            Token::Double(value) => Kind::Double(value),
            Token::Text(text) => Kind::Text(text.into()),
            Token::Symbol("(") => {
                self.next += 1;
                let Node { kind, .. } = self.expression()?;
                self.expect(")")?;
                return Ok(self.node(start, kind));
            }
            Token::Symbol("[") => {
                self.next += 1;
                let nodes = self.list("]")?;
                return Ok(self.node(start, Kind::List(nodes)));
            }
            Token::Symbol("{") => {
                self.next += 1;
                let kind = self.map()?;
                return Ok(self.node(start, kind));
            }
            Token::Name(name) => return self.name(start, &name),
            Token::Symbol(_) | Token::End => return self.unexpected("a value"),
        };
        self.next += 1;
        Ok(self.node(start, kind))
    }

    fn name(&mut self, start: usize, name: &str) -> Parsed {
        self.next += 1;
        let kind = match name {
            "null" => Kind::Null,
            "true" => Kind::Boolean(true),
            "false" => Kind::Boolean(false),
            reserved if RESERVED.contains(&reserved) => {
                return self.fail(start, format!("`{reserved}` is a word of the language"));
            }
            "has" if self.eat("(") => {
                let at = self.word().span.start;
                let Node { kind, span: _ } = self.expression()?;
                self.expect(")")?;
                match kind {
                    Kind::Attribute(attribute) => Kind::HasAttribute(attribute),
                    Kind::Data => Kind::HasData,
                    Kind::Select(operand, field) => Kind::Has(operand, field),
                    _ => return self.fail(at, "`has` takes a path that ends in `.name`"),
                }
            }
            _ if self.eat("(") => {
                let arguments = self.list(")")?;
                match function::find(name, false, arguments.len()) {
                    Ok(function) => Kind::Call(function, arguments),
                    Err(message) => return self.fail(start, message),
                }
            }
            name if self.variable.as_deref() == Some(name) => Kind::Variable,
            name => {
                return self.fail(start, format!("there is no `{name}`; the event is called `event`"));
            }
        };
        Ok(self.node(start, kind))
    }
}
