//! What is decided about a run's place.

use k8s_openapi::jiff::Timestamp;

use super::group::Group;
use super::terms::Terms;
use crate::api::{ConcurrencyPolicy, Reason};

/// What is decided about a run's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It has a place: its tasks are made, or may be.
    Go,
    /// It waits, and nothing is worth telling: it is about to have a place, or too little is known to say.
    Soon,
    /// It waits.
    Wait {
        /// What for, in words that stay the same while it does.
        message: String,
    },
    /// It ends without having started, or is stopped if it has.
    End {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        message: String,
    },
}

impl Fate {
    /// Whether the run is to end.
    pub fn is_end(&self) -> bool {
        match self {
            Fate::End { .. } => true,
            Fate::Go | Fate::Soon | Fate::Wait { .. } => false,
        }
    }
}

/// A fate, and when to ask again should nothing happen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is decided.
    pub fate: Fate,
    /// When the run's patience ends, if it waits.
    pub until: Option<Timestamp>,
}

impl From<Fate> for Standing {
    fn from(fate: Fate) -> Self {
        Self { fate, until: None }
    }
}

/// With which key runs are counted, in words.
fn with_key(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(" with key {key:?}"))
}

fn runs(number: usize) -> String {
    if number == 1 { "1 run".to_owned() } else { format!("{number} runs") }
}

/// The run that found every place taken and may not wait.
pub(super) fn forbidden(terms: &Terms, key: Option<&str>) -> Fate {
    let (job, limit) = (&terms.job, terms.limit.unwrap_or(0));
    let message = format!("job {job} has at most {} at a time{}", runs(limit), with_key(key));
    Fate::End { reason: Reason::ConcurrencyForbidden, message }
}

/// The run whose place a later one takes.
pub(super) fn replaced(by: &str) -> Fate {
    Fate::End { reason: Reason::Replaced, message: format!("replaced by {by}") }
}

/// The run that waited too long.
pub(super) fn late(terms: &Terms) -> Fate {
    Fate::End { reason: Reason::QueueTimeout, message: format!("did not start within {}", terms.timeout()) }
}

/// What its Job makes a run wait for, in words, if it does.
pub(super) fn obstacle(group: &Group, terms: &Terms, key: Option<&str>) -> Option<String> {
    let (job, with_key) = (&terms.job, with_key(key));
    match terms.policy {
        ConcurrencyPolicy::Allow | ConcurrencyPolicy::Forbid => None,
        ConcurrencyPolicy::Replace => (group.free(terms.limit) == 0)
            .then(|| format!("waits until the run that it replaces has stopped{with_key}")),
        ConcurrencyPolicy::Queue => match terms.limit {
            _ if group.free(terms.limit) > 0 => None,
            Some(1) | None => Some(format!("waits for the one place of job {job}{with_key}")),
            Some(limit) => Some(format!("waits for one of {limit} places of job {job}{with_key}")),
        },
    }
}
