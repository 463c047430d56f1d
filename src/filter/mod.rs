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
mod expression;
mod index;
mod terms;
#[cfg(test)]
mod tests;

pub use error::{Error, Problem};
pub use index::{Candidates, Index};

use crate::api::TriggerSpec;
use crate::cel::Input;
use crate::event::Event;
use expression::Expression;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Expression);

impl Filter {
    /// Compiles what a Trigger filters by. No filter at all lets everything pass.
    ///
    /// # Errors
    /// Every mistake in it, each with its place. Whoever goes on regardless uses [`Filter::nothing`].
    pub fn compile(spec: &TriggerSpec) -> Result<Self, Error> {
        compile::compile(spec).map(Self)
    }

    /// Lets nothing pass.
    pub fn nothing() -> Self {
        Self(Expression::Any(Vec::new()))
    }

    /// Whether the event passes.
    pub fn matches(&self, event: &Event) -> bool {
        self.lets_pass(&Input::new(event))
    }

    /// The same for whoever asks several filters: the event's data is parsed once for all of them.
    fn lets_pass(&self, input: &Input<'_>) -> bool {
        self.0.matches(input)
    }
}
