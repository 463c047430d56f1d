//! What can be wrong with an expression, and what can go wrong with one.

use std::ops::Range;

/// Why an expression does not compile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct CompileError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl CompileError {
    pub(super) fn new(source: &str, at: usize, message: impl Into<String>) -> Self {
        let before = source.get(..at).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: message.into(),
        }
    }
}

/// Why an expression has no value for an event, and which part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct Error {
    /// The part of the expression that has no value, as it is written: `event.data.order.id`.
    pub path: String,
    /// What happened there.
    pub problem: Problem,
}

impl Error {
    /// Whether something is not there that could be, so that a default may take its place. Everything else is a mistake.
    pub fn is_missing(&self) -> bool {
        matches!(self.problem, Problem::Missing | Problem::NoJson(_))
    }
}

/// What happened in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The event, an object in its data or a list has no such member.
    #[error("is missing")]
    Missing,
    /// `event.data` of an event whose data cannot be read.
    #[error("is missing: {0}")]
    NoJson(&'static str),
    /// A value of another type.
    #[error("is {found}, not {expected}")]
    Type {
        /// What can be used there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An operator that takes values of other types.
    #[error("does not go with {left} and {right}")]
    Operands {
        /// What is on its left.
        left: &'static str,
        /// What is on its right.
        right: &'static str,
    },
    /// The result is no number that can be held.
    #[error("has a result that is no 64-bit number")]
    Overflow,
    /// Division by zero.
    #[error("divides by zero")]
    Zero,
    /// A text or number that cannot become what it should.
    #[error("cannot be made {0}")]
    Conversion(&'static str),
    /// The budget is used up.
    #[error("takes more than {} steps", super::MAX_STEPS)]
    Spent,
    /// What all expressions may cost that are asked together about an event is used up, by this one and others.
    #[error("takes more steps than are left to all expressions together")]
    Exhausted,
    /// An expression that iterates, and data that is too large for that.
    #[error(
        "is more than {} bytes, which is too large for an expression that iterates",
        super::MAX_DATA_TO_ITERATE
    )]
    TooLarge,
}

impl Problem {
    /// Whether no other operand can make up for it.
    pub(super) fn ends_it(self) -> bool {
        matches!(self, Problem::Spent | Problem::Exhausted)
    }
}

/// A problem and the part of the source it is about. Filters fail often, so nothing is allocated yet.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) span: Range<usize>,
    pub(super) problem: Problem,
}
