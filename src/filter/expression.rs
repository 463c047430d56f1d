//! A compiled filter as a plain value.

use crate::cesql;
use crate::event::Attribute;
use crate::event::Event;

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
    /// Recursion is as deep as the filter, which admission and the compiler bound.
    pub(super) fn matches(&self, event: &Event) -> bool {
        match self {
            Expression::All(inner) => inner.iter().all(|expression| expression.matches(event)),
            Expression::Any(inner) => inner.iter().any(|expression| expression.matches(event)),
            Expression::Not(inner) => !inner.matches(event),
            Expression::Has(attribute, test) => {
                event.get(attribute).is_some_and(|value| value.is(|text| test.holds(text)))
            }
            Expression::Cesql(condition) => condition.matches(event),
        }
    }
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Test::Exact(wanted) => text == &**wanted,
            Test::Prefix(wanted) => text.starts_with(&**wanted),
            Test::Suffix(wanted) => text.ends_with(&**wanted),
            Test::NotEmpty => !text.is_empty(),
        }
    }
}
