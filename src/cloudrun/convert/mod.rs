//! Cloud Run's v2 messages ⇄ our objects. Pure: no client, no clock.
//!
//! Each type is taken apart completely, so that a field that is added on either side does not compile until somebody
//! has decided what it means. Three things can be done with a field of a message: it has a counterpart; it is what the
//! server says, and ignored when a client says it; or it asks for something that we do not have, and is refused by name,
//! because a job that runs without what it asked for is worse than one that does not.
//!
//! Our objects can say more than the messages. An update through this API replaces what the messages have words for and
//! leaves the rest alone: it is read on top of the object that is stored. What would be shown as the same is taken as
//! not changed.

mod condition;
mod container;
mod execution;
mod job;
mod metadata;
mod overrides;
mod task;
mod template;
mod text;
mod time;
mod volume;

use super::fault::{Fault, Violation};

pub(super) use execution::execution;
pub(super) use job::{CREATOR, LAST_MODIFIER, changed, etag, is_observed, job, of_stored, read_job};
pub(super) use overrides::read_overrides;
pub(super) use task::{attempt, task};

/// What of a request cannot be honoured.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Violation>);

impl Refusals {
    /// That field cannot.
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    /// That field cannot, unless it says nothing.
    fn unless_unset<T: Default + PartialEq>(&mut self, field: &str, value: &T, description: &str) {
        if *value != T::default() {
            self.add(field, description);
        }
    }

    /// `found`, if there is none.
    pub(super) fn pass<T>(self, found: T) -> Result<T, Fault> {
        if self.0.is_empty() { Ok(found) } else { Err(Fault::invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests;
