//! Trigger filters: which events a Trigger lets pass.
//!
//! A filter is compiled once into a plain value; matching an event reads it, allocates nothing and cannot fail. The
//! dialects are those of the `CloudEvents` Subscriptions API, Knative's legacy attributes, CESQL (see [`crate::cesql`]),
//! and CEL ([`crate::cel`]), which alone sees the event's data. An expression in CEL that has no value for an event, or one
//! that is not a boolean, has no verdict: neither it nor its contrary lets the event pass.
//!
//! **Filters fail closed.** One that does not compile matches nothing, and the [`Error`] says where and why. Knative
//! drops such filters, so that a list of one bad filter lets everything pass; nobody means that. For the same reason an
//! object without a dialect, an empty list inside a dialect, an empty value, and a CESQL expression that can never be true
//! are errors here.
//!
//! An attribute that an event does not have is absent: it equals nothing, not even `""`, and starts with nothing.
//! Values compare as their canonical strings, so `5` and `"5"` are the same in every mode and dialect.

mod compile;
mod error;
mod explain;
mod expression;
mod index;
mod terms;
#[cfg(test)]
mod tests;

pub use error::{Error, Problem};
pub use index::{Candidates, Index, Matches};

use std::sync::Arc;

use crate::api::TriggerSpec;
use crate::cel::Input;
use crate::event::Event;
use crate::term::Term;
use expression::Expression;

/// A compiled filter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Arc<Expression>);

impl Filter {
    /// Compiles what a Trigger filters by. No filter at all lets everything pass.
    ///
    /// # Errors
    /// Every mistake in it, each with its place. Whoever goes on regardless uses [`Filter::nothing`].
    pub fn compile(spec: &TriggerSpec) -> Result<Self, Error> {
        compile::compile(spec).map(|expression| Self(Arc::new(expression)))
    }

    /// Lets nothing pass.
    pub fn nothing() -> Self {
        Self(Arc::new(Expression::Any(Vec::new())))
    }

    /// Whether the event passes.
    pub fn matches(&self, event: &Event) -> bool {
        self.lets_pass(&Input::new(event))
    }

    /// What becomes of each of its terms for an event; the event passes if all of them hold. For whoever wants to know why:
    /// it takes longer than [`Filter::matches`], and every term is evaluated.
    pub fn explain(&self, input: &Input<'_>) -> Vec<Term> {
        match &*self.0 {
            Expression::All(terms) => terms.iter().map(|term| term.explain(input)).collect(),
            other => vec![other.explain(input)],
        }
    }

    /// Whether the event passes, for whoever asks several filters: the event's data is parsed once for all of them.
    pub fn lets_pass(&self, input: &Input<'_>) -> bool {
        self.0.matches(input)
    }

    /// The same within so many steps of the event's budget; none if they did not suffice to tell.
    fn lets_pass_within(&self, input: &Input<'_>, steps: u32) -> Option<bool> {
        input.allow(steps);
        match self.0.verdict(input) {
            None if input.ran_out() => None,
            verdict => Some(verdict == Some(true)),
        }
    }
}
