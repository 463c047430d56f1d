//! CESQL, the `CloudEvents` SQL expression language 1.0.0: conditions over the attributes of an event.
//!
//! An expression is parsed once into a tree of plain values, and evaluated often. The language is total: evaluation
//! always yields a value, and a list of what went wrong on the way; it cannot panic, and takes time and memory bounded
//! by the lengths of the expression and of the attributes. Text is borrowed from the event and the expression, so that
//! comparing allocates nothing.
//!
//! Sections (§) are those of the language's specification. Where it is silent or speaks twice:
//!
//! - `AND`, `OR` and `XOR` share one level and are evaluated from left to right (§3.6; its grammar, and the Go engine,
//!   group from the right). Parentheses leave no doubt.
//! - `4-1` is a subtraction, although the grammar reads `-1` as a literal and then fails.
//! - An integer that does not fit into 32 bits is 0 and a math error, as is a division by zero.
//! - An operation of which an operand failed, in whatever way, is the zero value of its own type: what §3.2 says of missing
//!   attributes, and the compatibility kit of everything.
//! - In a string a backslash escapes the quote and itself, in a pattern `%` and `_` too; before anything else it is a
//!   character like any other. A doubled quote is a quote.
//! - The elements of `IN` are looked at until one is equal.
//!
//! Floor 0: it knows events, and nothing of Triggers.

mod ast;
mod cast;
mod error;
mod eval;
mod explain;
mod function;
mod lexer;
mod like;
mod parser;
mod print;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::cast::Type;
pub use self::cast::Value;
pub use self::error::Error;
pub use self::error::ErrorKind;
pub use self::error::Span;

use self::ast::Node;
use self::eval::Evaluator;
use crate::event::Attribute;
use crate::event::Event;

/// Longest expression, in bytes. It bounds what one evaluation costs: every node is visited once, and takes time linear
/// in the texts that it looks at. A screen full of conditions is half of this.
pub const MAX_BYTES: usize = 4096;

/// Most levels of parentheses, arguments and prefix operators. Parsing and evaluating recurse once for each, and this
/// many fit into a small stack.
pub const MAX_DEPTH: usize = 64;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: Box<str>,
    root: Node,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation<'a> {
    /// The value, whatever went wrong.
    pub value: Value<'a>,
    /// What went wrong, in the order of evaluation.
    pub errors: Vec<Error>,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// If it is none, with the place of the first mistake; or if it is too long or too deep.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let root = parser::parse(text)?;
        Ok(Self { text: text.into(), root })
    }

    /// The text that it was parsed from. [`fmt::Display`] prints what was understood.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates it over an event. Attributes have the types that they were sent with.
    pub fn evaluate<'a>(&'a self, event: &'a Event) -> Evaluation<'a> {
        let (value, errors) = Evaluator::complete(event, &self.text).run(&self.root);
        Evaluation { value, errors }
    }

    /// Whether an event passes: the value is the Boolean true, and nothing went wrong (§1.2). Ends at the first error
    /// (§4.1).
    ///
    /// Here every attribute is text, whatever type it was sent with. Binary mode has no types, and a filter that passes
    /// in one mode and fails in the other would be of no use.
    pub fn matches(&self, event: &Event) -> bool {
        self.ask(event, u32::MAX).0 == Some(true)
    }

    /// The same within so many steps: whether the event passes, if they suffice to tell, and how many it took. One is a part
    /// of the expression, or a few dozen bytes of text.
    pub fn ask(&self, event: &Event, limit: u32) -> (Option<bool>, u32) {
        Evaluator::fail_fast(event, &self.text, limit).passes(&self.root)
    }

    /// The values of which an event must have one for that attribute, if it is to pass; none if it may pass without. Not
    /// every such value is found: it is for telling events apart beforehand.
    pub fn necessary(&self, attribute: &Attribute) -> Option<Vec<&str>> {
        self.root.necessary(attribute)
    }

    /// What keeps it from ever being a predicate: a function that does not exist, a value that is never a Boolean.
    /// For [`Self::matches`], in which every attribute is text.
    pub fn why_no_predicate(&self) -> Option<Error> {
        if let Some((name, arguments, span)) = self.root.unknown_function() {
            let message = function::unknown(name, arguments);
            return Some(Error::new(ErrorKind::MissingFunction, span, &self.text, message));
        }
        let kind = self.root.result_type().unwrap_or(Type::String);
        (kind != Type::Boolean).then(|| {
            let message = format!("a filter is a condition, and this is {kind}; compare it with something");
            Error::new(ErrorKind::Cast, self.root.span, &self.text, message)
        })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}
