//! What was decided about an event, and why: the answer to "why did nothing run?".
//!
//! The sink keeps a [`Decision`] of each event and tells it to whoever may know; `kakehi explain` makes one without a sink,
//! for an event that nobody has sent. Both are made of the same words by the same functions. An Execution holds the
//! [`Trail`] of its own acceptance, so that it can be read when every sink has forgotten it.
//!
//! Everything here is short, whatever the event, the filters and the parameters are.

mod trail;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use trail::{MAX_TRAIL, Trail};

use crate::api::{ConcurrencyPolicy, DEFAULT_CONCURRENCY_LIMIT, Job, ParameterValue};
use crate::event::Event;
use crate::term::{Term, shortened};

/// Most characters of a parameter's value, or of an attribute's, that are repeated.
const MAX_VALUE: usize = 200;

/// What became of an event, or what would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The event.
    pub event: Seen,
    /// The namespace that it was sent to.
    pub namespace: String,
    /// The Job that it was sent to; none if the Triggers of the namespace decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When it came, RFC 3339; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// What each Trigger said, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Verdict>,
    /// Triggers that are not told of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub untold: usize,
    /// What became of each Job that was to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// What its sender was told.
    pub answer: Answer,
}

/// An event, without its data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Its attributes, as text. Of a request that was no event, what its headers said.
    pub attributes: BTreeMap<String, String>,
    /// Bytes of its data; none without data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_bytes: Option<usize>,
}

/// What a Trigger said about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Its name.
    pub trigger: String,
    /// Its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The Job that it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Whether it let the event pass.
    pub matches: bool,
    /// Whether it was made or changed after the event came; then its terms are what they would be now.
    #[serde(default, skip_serializing_if = "is_false")]
    pub changed: bool,
    /// Why it lets nothing pass at all, if it does not compile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its terms. All of them must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Term>,
}

/// What became of a Job that was to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its name.
    pub job: String,
    /// The Triggers that wanted it; they share one run. None if the event was sent to the Job itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The name of the Execution that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What was computed from the event; long values are shortened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterValue>,
    /// Why it was accepted and does not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// What becomes of it while others of its Job are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<String>,
    /// What its Execution says now, for whoever looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Answer>,
}

/// What became of a Job that was to run, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nobody sent the event: an Execution would be created.
    Planned,
    /// An Execution was created.
    Created,
    /// It was there already: the event was received before.
    Duplicate,
    /// There is none.
    Refused,
}

/// An answer to a sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The status code of HTTP.
    pub status: u16,
    /// Why it is not a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a sink has to say about decisions of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The process that was asked. Each one knows the events that it received itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The newest first.
    pub decisions: Vec<Decision>,
    /// Decisions that fit the question and are not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// When the oldest event came that is still known of, in any namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Decisions that were forgotten to make room.
    pub forgotten: u64,
}

impl Seen {
    /// What is told of an event.
    pub fn of(event: &Event) -> Self {
        let text = |(name, value): (&str, crate::event::ValueRef<'_>)| {
            (name.to_owned(), shortened(&value.text(), MAX_VALUE))
        };
        let attributes = event.attributes().filter(|(name, _)| *name != "specversion").map(text).collect();
        Self { attributes, data_bytes: event.data().map(bytes::Bytes::len) }
    }

    /// What the attribute of that name is.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

impl Answer {
    /// The event is stored, or nothing wanted it.
    pub fn accepted() -> Self {
        Self { status: 202, detail: None }
    }
}

impl Decision {
    /// Whether anything runs, or would, because of this event.
    pub fn runs_something(&self) -> bool {
        self.runs.iter().any(|run| run.outcome != Outcome::Refused)
    }
}

/// Parameters as they are told.
pub fn parameters(values: &[ParameterValue]) -> Vec<ParameterValue> {
    let told = |one: &ParameterValue| {
        let ParameterValue { name, value } = one;
        ParameterValue { name: name.clone(), value: shortened(value, MAX_VALUE) }
    };
    values.iter().map(told).collect()
}

/// What becomes of a run of that Job, with that key, while others are under way; none if it does not matter.
pub fn places(job: &Job, key: Option<&str>) -> Option<String> {
    let concurrency = job.spec.concurrency.as_ref()?;
    let fate = match concurrency.policy {
        ConcurrencyPolicy::Allow => return None,
        ConcurrencyPolicy::Queue => "it waits",
        ConcurrencyPolicy::Forbid => "it ends at once",
        ConcurrencyPolicy::Replace => "the oldest is stopped for it",
    };
    let key = key.map(|key| format!(" with the key {:?}", shortened(key, MAX_VALUE))).unwrap_or_default();
    let (runs, are) = match concurrency.limit.unwrap_or(DEFAULT_CONCURRENCY_LIMIT) {
        1 => ("another run".to_owned(), "is"),
        limit => (format!("{limit} runs"), "are"),
    };
    Some(format!("while {runs}{key} {are} under way, {fate}"))
}

/// Why a run of that Job is accepted and does not start, as far as the Job says.
pub fn waits(job: &Job) -> Option<String> {
    job.spec.suspend.then(|| "the job is suspended".to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands on a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands on a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_without_its_data() {
        let long = "x".repeat(10_000);
        let built = Event::builder().required("7", "/shop", "order").set("n", 5).set("long", long.as_str());
        let seen = Seen::of(&built.data("12345").build().unwrap());
        assert_eq!(seen.data_bytes, Some(5));
        assert_eq!((seen.attribute("id"), seen.attribute("n")), (Some("7"), Some("5")));
        assert_eq!(seen.attribute("long").unwrap().chars().count(), MAX_VALUE + 1);
        assert_eq!(seen.attribute("specversion"), None);
    }

    #[test]
    fn what_becomes_of_a_run_beside_others_is_said() {
        let said = |concurrency: serde_json::Value, key| {
            let job = serde_json::json!({
                "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "j"},
                "spec": {"concurrency": concurrency, "template": {"spec": {"template": {"spec": {"containers": []}}}}},
            });
            places(&serde_json::from_value(job).unwrap(), key)
        };
        let queue = serde_json::json!({"policy": "Queue", "limit": 3, "key": "event.subject"});
        let expected = "while 3 runs with the key \"eu\" are under way, it waits";
        assert_eq!(said(queue, Some("eu")).as_deref(), Some(expected));
        let forbid = serde_json::json!({"policy": "Forbid"});
        assert_eq!(said(forbid, None).as_deref(), Some("while another run is under way, it ends at once"));
        assert_eq!(said(serde_json::json!({"queueLimit": 3}), None), None);
        assert_eq!(said(serde_json::json!(null), None), None);
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        let decision = Decision {
            event: Seen::default(),
            namespace: "apps".to_owned(),
            job: None,
            received: None,
            triggers: Vec::new(),
            untold: 0,
            runs: Vec::new(),
            answer: Answer::accepted(),
        };
        let json =
            serde_json::json!({"event": {"attributes": {}}, "namespace": "apps", "answer": {"status": 202}});
        assert_eq!(serde_json::to_value(&decision).unwrap(), json);
        assert_eq!(serde_json::from_value::<Decision>(json).unwrap(), decision);
        assert!(!decision.runs_something());
    }
}
