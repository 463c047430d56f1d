//! How a run came about, for its Execution to hold.

use serde::{Deserialize, Serialize};

use super::{Verdict, is_zero};
use crate::api::{ANNOTATION_DECISION, Execution};

/// Longest trail, in bytes.
pub const MAX_TRAIL: usize = 4096;
/// What is kept of it for everything but the Triggers.
const HEAD: usize = 256;

/// The acceptance of one event for one Job, as its Execution tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// When the event came, RFC 3339.
    pub received: String,
    /// The process that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The Triggers that matched, with their terms as far as there is room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Verdict>,
    /// Triggers that matched, too, and for which there was no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

impl Trail {
    /// A trail without Triggers.
    pub fn new(received: String, sink: Option<&str>) -> Self {
        Self { received, sink: sink.map(str::to_owned), triggers: Vec::new(), more: 0 }
    }

    /// The same with the Triggers that matched, as many as there is room for: first their terms are left out, then they
    /// are only counted.
    #[must_use]
    pub fn matched(mut self, verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut room = MAX_TRAIL - HEAD;
        for mut verdict in verdicts {
            if size(&verdict) > room {
                verdict.terms.clear();
            }
            match room.checked_sub(size(&verdict)) {
                Some(rest) => {
                    room = rest;
                    self.triggers.push(verdict);
                }
                None => self.more += 1,
            }
        }
        self
    }

    /// The trail that an Execution was created with.
    pub fn of(execution: &Execution) -> Option<Self> {
        let text = execution.metadata.annotations.as_ref()?.get(ANNOTATION_DECISION)?;
        serde_json::from_str(text).ok()
    }

    /// As an Execution holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and numbers are JSON")
    }
}

/// What it takes in the trail, with the comma.
fn size(verdict: &Verdict) -> usize {
    serde_json::to_string(verdict).map_or(usize::MAX, |text| text.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Dialect, Term};

    fn verdict(name: &str, terms: usize) -> Verdict {
        let term = Term::new(Dialect::Exact, &"x".repeat(100), Some(true));
        Verdict {
            trigger: name.to_owned(),
            generation: Some(1),
            job: String::new(),
            matches: true,
            changed: false,
            problem: None,
            terms: vec![term; terms],
        }
    }

    fn trail(verdicts: Vec<Verdict>) -> Trail {
        Trail::new("2026-01-02T03:04:05.000000006Z".to_owned(), Some(&"n".repeat(63))).matched(verdicts)
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let short = trail(vec![verdict("a", 1), verdict("b", 2)]);
        assert_eq!((short.triggers.len(), short.triggers[1].terms.len(), short.more), (2, 2, 0));
        let long = trail((0..1000).map(|number| verdict(&format!("t{number}"), 20)).collect());
        assert_eq!(long.triggers[0].terms.len(), 20);
        assert!(long.triggers.len() > 10 && long.triggers[9].terms.is_empty());
        assert_eq!(long.triggers.len() + long.more, 1000);
        assert!(long.to_json().len() <= MAX_TRAIL, "{}", long.to_json().len());
    }

    #[test]
    fn an_execution_gives_back_what_it_holds() {
        let trail = trail(vec![verdict("a", 1)]);
        let mut execution = Execution::default();
        assert_eq!(Trail::of(&execution), None);
        let annotations = execution.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_DECISION.to_owned(), trail.to_json());
        assert_eq!(Trail::of(&execution), Some(trail));
        execution
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(ANNOTATION_DECISION.to_owned(), "no".to_owned());
        assert_eq!(Trail::of(&execution), None);
    }
}
