//! A compiled filter as a plain value.

use std::sync::Arc;

use crate::cel::Input;
use crate::cel::Program;
use crate::cesql;
use crate::event::Attribute;
use crate::term::decided;

/// What has to hold of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// Every one of them; of none: always.
    All(Vec<Expression>),
    /// At least one of them; of none: never.
    Any(Vec<Expression>),
    /// The inner one does not hold.
    Not(Box<Expression>),
    /// The event has the attribute, and its value satisfies the test.
    Has(Attribute, Test),
    /// The condition in CESQL is true, and nothing went wrong in it.
    Cesql(Box<cesql::Expression>),
    /// The expression is true.
    Cel(Arc<Program>),
}

/// What has to hold of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// It is this, to the letter.
    Exact(Box<str>),
    /// It starts with this.
    Prefix(Box<str>),
    /// It ends with this.
    Suffix(Box<str>),
    /// It is not empty: Knative's legacy form with an empty value.
    NotEmpty,
}

impl Expression {
    pub(super) fn matches(&self, input: &Input<'_>) -> bool {
        self.verdict(input) == Some(true)
    }

    /// Whether it holds; none if nobody can tell, which is neither yes nor no: what must not hold is not let pass for it.
    /// Recursion is as deep as the filter, which admission and the compiler bound.
    pub(super) fn verdict(&self, input: &Input<'_>) -> Option<bool> {
        match self {
            Expression::All(inner) => decided(inner.iter().map(|term| term.verdict(input)), false),
            Expression::Any(inner) => decided(inner.iter().map(|term| term.verdict(input)), true),
            Expression::Not(inner) => inner.verdict(input).map(|holds| !holds),
            Expression::Has(attribute, test) => {
                let value = input.event().get(attribute);
                Some(value.is_some_and(|value| value.is(|text| test.holds(text))))
            }
            Expression::Cesql(condition) => {
                let (passes, steps) = condition.ask(input.event(), input.allowed());
                input.spend(steps);
                passes
            }
            Expression::Cel(program) => program.holds(input),
        }
    }
}

impl Test {
    pub(super) fn holds(&self, text: &str) -> bool {
        match self {
            Test::Exact(wanted) => text == &**wanted,
            Test::Prefix(wanted) => text.starts_with(&**wanted),
            Test::Suffix(wanted) => text.ends_with(&**wanted),
            Test::NotEmpty => !text.is_empty(),
        }
    }
}
