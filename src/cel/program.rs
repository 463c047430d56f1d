//! A compiled expression.

use regex::Regex;
use regex::RegexBuilder;

use super::error::{CompileError, Error, Failure};
use super::evaluate::Evaluation;
use super::input::Input;
use super::parser::parse;
use super::syntax::{Kind, Node};
use super::value::Value;

/// Longest expression, in bytes.
pub const MAX_SOURCE: usize = 1024;
/// Most steps of an evaluation. A step is a part of the expression that is evaluated, an element that is compared, or
/// [`STEP_BYTES`] bytes that are copied: so this bounds the memory, too. It is more than a simple predicate needs for each
/// of the 30,000 elements that fit 64 KiB, and takes some hundredths of a second.
pub const MAX_STEPS: u32 = 500_000;
/// Bytes that can be copied for one step.
pub(super) const STEP_BYTES: usize = 16;
/// Largest data, in bytes, that an expression with `all`, `exists`, `map` or `filter` is asked about.
pub const MAX_DATA_TO_ITERATE: usize = 64 * 1024;
/// How deep an expression may be: the stack that an evaluation takes.
const MAX_DEPTH: usize = 64;
/// Largest compiled regular expression, in bytes.
const MAX_PATTERN: usize = 64 * 1024;

/// A compiled expression. Two are equal if they are written alike.
#[derive(Debug)]
pub struct Program {
    source: Box<str>,
    root: Node,
    iterates: bool,
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Program {}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// The first mistake in it, with its position.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        if source.len() > MAX_SOURCE {
            let message =
                format!("an expression has at most {MAX_SOURCE} bytes; this one has {}", source.len());
            return Err(CompileError::new(source, 0, message));
        }
        let root = parse(source)?;
        if root.depth() > MAX_DEPTH {
            let message = format!("the expression nests more than {MAX_DEPTH} levels");
            return Err(CompileError::new(source, 0, message));
        }
        let iterates = root.contains(&|kind| matches!(kind, Kind::Comprehension(_)));
        Ok(Self { source: source.into(), root, iterates })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The tree.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Whether it iterates over something.
    pub(super) fn iterates(&self) -> bool {
        self.iterates
    }

    /// Its value for that event.
    ///
    /// # Errors
    /// Which part of it has no value, and why.
    pub fn evaluate<'a>(&'a self, input: &'a Input<'_>) -> Result<Value<'a>, Error> {
        self.run(input).map_err(|Failure { span, problem }| {
            let path = self.source.get(span).unwrap_or_default();
            Error { path: path.to_owned(), problem }
        })
    }

    /// Whether it is true for that event; none if it has no value or one that is not a boolean.
    pub fn holds(&self, input: &Input<'_>) -> Option<bool> {
        match self.run(input) {
            Ok(Value::Boolean(value)) => Some(value),
            _ => None,
        }
    }

    fn run<'a>(&'a self, input: &'a Input<'_>) -> Result<Value<'a>, Failure> {
        Evaluation::new(input, self.iterates).run(&self.root)
    }
}

/// A regular expression within bounds. Matching takes time in proportion to the text, whatever the expression.
pub(super) fn pattern(source: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(source).size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        error => format!("this is no regular expression: {}", error.to_string().replace('\n', " ")),
    })
}
