//! The event that tells the end of a run, and whether it is still to be sent.
//!
//! The same run has the same event each time it is asked for: its id comes from the run's uid and how it ended, and a run
//! ends once. So whoever gets it twice can tell.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::chain::chain;
use super::phase::{Phase, is_terminal, phase};
use super::rerun::shown;
use super::summary::Summary;
use super::trace::trace;
use crate::api::{
    API_VERSION, Cause, EXTENSION_CHAIN, Execution, Overrides, ParameterValue, Rerun, TaskOutcome,
};
use crate::event::{Event, TraceContext};

/// Most bytes, as JSON, of the overrides and of the parameters in such an event. Larger ones are left out, so that the
/// whole stays below what every Broker takes; the Execution has them.
const MAX_PART: usize = 16 * 1024;
/// The same of all attributes of the event behind the run.
const MAX_ATTRIBUTES: usize = 32 * 1024;

/// What the data of the event holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_tasks: Vec<TaskOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<&'a Overrides>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerun_of: Option<&'a Rerun>,
    /// The attributes of the event behind the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<BTreeMap<&'a str, String>>,
}

/// The event that tells the end of `execution`; none while it has not ended.
pub fn completion(execution: &Execution) -> Option<Event> {
    let outcome = match phase(execution) {
        Phase::Succeeded => "succeeded",
        Phase::Failed => "failed",
        Phase::Cancelled => "cancelled",
        Phase::Pending | Phase::Queued | Phase::Starting | Phase::Running | Phase::Cancelling => return None,
    };
    let metadata = &execution.metadata;
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let id = format!("{}-{outcome}", metadata.uid.as_deref()?);
    let source = format!("/apis/{API_VERSION}/namespaces/{namespace}/executions/{name}");
    let mut builder = Event::builder()
        .required(&id, &source, &format!("dev.kakehi.execution.{outcome}"))
        .set("datacontenttype", "application/json")
        .data(serde_json::to_vec(&data(execution)).expect("what was JSON is JSON"));
    if let Some(chain) = chain(execution) {
        builder = builder.set("subject", execution.spec.job.name.as_str()).set(EXTENSION_CHAIN, chain);
    }
    if let Some(end) = execution.status.as_ref().and_then(|status| status.completion_time.as_ref()) {
        builder = builder.set("time", end.0.to_string());
    }
    if let Some(trace) = trace(execution) {
        builder = builder.set(TraceContext::PARENT, trace.parent());
        if let Some(state) = trace.state() {
            builder = builder.set(TraceContext::STATE, state);
        }
    }
    builder.build().ok()
}

/// Why an event could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it was to go.
    pub destination: String,
    /// The status that was answered last, if there was an answer.
    pub code: Option<u16>,
    /// The beginning of that answer, in Base64.
    pub data: String,
    /// The same in words.
    pub words: String,
}

/// The same event as a dead letter, with what Knative's Brokers add to one.
pub fn dead_letter(event: &Event, letter: &DeadLetter) -> Option<Event> {
    let DeadLetter { destination, code, data, words: _ } = letter;
    let mut builder = Event::builder();
    for (name, value) in event.attributes() {
        builder = builder.set(name, value.text().into_owned());
    }
    builder = builder.set("knativeerrordest", destination.as_str()).set("knativeerrordata", data.as_str());
    if let Some(code) = code {
        builder = builder.set("knativeerrorcode", i32::from(*code));
    }
    event.data().map(|data| builder.data(data.clone()))?.build().ok()
}

/// Whether the end of that run is to be told and was not yet. Until then the run is kept.
pub fn owes_completion(execution: &Execution) -> bool {
    let told = execution.status.as_ref().is_some_and(|status| status.completion.is_some());
    execution.spec.completion.is_some() && !told && is_terminal(execution)
}

fn data(execution: &Execution) -> Data<'_> {
    let spec = &execution.spec;
    let Cause { kind: _, trigger, rerun_of } = &spec.cause;
    let parameters: BTreeMap<_, _> = spec
        .parameters
        .iter()
        .map(|ParameterValue { name, value }| (name.as_str(), value.as_str()))
        .collect();
    let attributes = spec.events.first().map(|event| event.attributes().into_iter().collect());
    let failed = execution.status.iter().flat_map(|status| &status.failed_tasks);
    Data {
        summary: Summary::of(execution),
        failed_tasks: failed
            .map(|task| TaskOutcome { index: shown(execution, task.index), ..task.clone() })
            .collect(),
        overrides: spec.overrides.as_ref().filter(|overrides| fits(overrides, MAX_PART)),
        parameters: Some(parameters).filter(|all| !all.is_empty() && fits(all, MAX_PART)),
        trigger: trigger.as_deref(),
        rerun_of: rerun_of.as_ref(),
        event: attributes.filter(|all| fits(all, MAX_ATTRIBUTES)),
    }
}

fn fits(part: &impl Serialize, limit: usize) -> bool {
    serde_json::to_string(part).is_ok_and(|text| text.len() <= limit)
}

/// The Execution as JSON with its result as data, for whoever reads it and does not write it back.
pub fn with_result_as_data(mut execution: Value) -> Value {
    let result = execution.pointer_mut("/status/result");
    if let Some(result) = result
        && let Some(data) = result.as_str().and_then(|text| serde_json::from_str(text).ok())
    {
        *result = data;
    }
    execution
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn run(completed: &Value, more: &str) -> Execution {
        let more: Value = serde_saphyr::from_str(more).unwrap();
        let mut run: Value = serde_saphyr::from_str(
            "
metadata:
  {name: ship-abc, namespace: shop, uid: 7f3e, creationTimestamp: '2026-01-01T10:00:00Z', annotations: {}}
spec:
  job: {name: ship, uid: j1, generation: 3}
  cause: {type: Trigger, trigger: orders}
  events: [{id: '1', source: /s, type: order, subject: a, extensions: {n: 7, kakehichain: shop/first}, data: '{}'}]
  parameters: [{name: ORDER, value: '42'}]
  completion: {sink: {uri: 'http://r.example'}}
  template: {spec: {taskCount: 3, template: {spec: {containers: [{image: i}]}}}}
status: {startTime: '2026-01-01T10:00:01Z', completionTime: '2026-01-01T10:00:09Z', succeededCount: 2, failedCount: 1}
",
        )
        .unwrap();
        run["metadata"]["annotations"]["run.kakehi.dev/traceparent"] = json!(PARENT);
        run["status"]["conditions"] = json!([completed]);
        json_patch::merge(&mut run, &more);
        serde_json::from_value(run).unwrap()
    }

    fn ended(status: &str, reason: &str) -> Value {
        json!({"type": "Completed", "status": status, "reason": reason, "message": "words",
            "lastTransitionTime": "2026-01-01T10:00:09Z"})
    }

    fn data_of(event: &Event) -> Value {
        serde_json::from_slice(event.data().unwrap()).unwrap()
    }

    #[test]
    fn the_event_of_a_failed_run() {
        let more = "{status: {result: '{\"total\": 1.50}', failedTasks: [{index: 1, attempts: 4, exitCode: 9, message: 'no'}]}}";
        let event = completion(&run(&ended("False", "NonZeroExitCode"), more)).unwrap();
        let attributes: BTreeMap<&str, String> =
            event.attributes().map(|(name, value)| (name, value.text().into_owned())).collect();
        let wanted: BTreeMap<&str, String> = [
            ("specversion", "1.0"),
            ("id", "7f3e-failed"),
            ("source", "/apis/run.kakehi.dev/v1alpha1/namespaces/shop/executions/ship-abc"),
            ("type", "dev.kakehi.execution.failed"),
            ("subject", "ship"),
            ("time", "2026-01-01T10:00:09Z"),
            ("datacontenttype", "application/json"),
            ("kakehichain", "shop/first,shop/ship"),
            ("traceparent", PARENT),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        assert_eq!(attributes, wanted);
        let wanted: Value = serde_saphyr::from_str(
            "
namespace: shop
name: ship-abc
job: ship
state: Failed
reason: NonZeroExitCode
message: words
createTime: '2026-01-01T10:00:00Z'
startTime: '2026-01-01T10:00:01Z'
completionTime: '2026-01-01T10:00:09Z'
taskCount: 3
runningCount: 0
succeededCount: 2
failedCount: 1
cancelledCount: 0
retriedCount: 0
result: {total: 1.5}
failedTasks: [{index: 1, attempts: 4, exitCode: 9, message: 'no'}]
parameters: {ORDER: '42'}
trigger: orders
event: {specversion: '1.0', id: '1', source: /s, type: order, subject: a, n: '7', kakehichain: shop/first}
",
        )
        .unwrap();
        assert_eq!(data_of(&event), wanted);
        let text = String::from_utf8(event.data().unwrap().to_vec()).unwrap();
        assert!(text.contains("\"result\":{\"total\": 1.50}"), "as the task wrote it: {text}");
    }

    #[test]
    fn each_end_has_its_type_and_nothing_else_an_event() {
        for (status, reason, word) in [
            ("True", "Succeeded", "succeeded"),
            ("False", "TaskTimeout", "failed"),
            ("False", "JobLost", "failed"),
            ("False", "Cancelled", "cancelled"),
        ] {
            let event = completion(&run(&ended(status, reason), "{}")).unwrap();
            assert_eq!(event.kind(), format!("dev.kakehi.execution.{word}"));
            assert_eq!(event.id(), format!("7f3e-{word}"));
        }
        assert!(completion(&run(&ended("Unknown", "Running"), "{}")).is_none());
    }

    #[test]
    fn the_event_of_a_run_by_hand_tells_what_was_overridden() {
        let more = "{spec: {cause: {type: Manual, trigger: null}, events: null, parameters: null, overrides: {taskCount: 3}}}";
        let event = completion(&run(&ended("True", "Succeeded"), more)).unwrap();
        let data = data_of(&event);
        assert_eq!(data["overrides"], json!({"taskCount": 3}));
        assert!(
            data.get("event").is_none() && data.get("parameters").is_none() && data.get("trigger").is_none()
        );
        assert_eq!(event.attribute("kakehichain").unwrap().text(), "shop/ship");
    }

    #[test]
    fn an_event_of_many_large_parts_stays_small() {
        let mut large = run(&ended("True", "Succeeded"), "{}");
        let value = "x".repeat(MAX_PART);
        large.spec.parameters = vec![ParameterValue { name: "P".into(), value: value.clone() }];
        let env = vec![ParameterValue { name: "E".into(), value }];
        let with = crate::api::ContainerOverride { env, ..Default::default() };
        large.spec.overrides = Some(Overrides { container_overrides: vec![with], ..Default::default() });
        large.spec.events[0].subject = Some("s".repeat(MAX_ATTRIBUTES));
        let data = data_of(&completion(&large).unwrap());
        assert_eq!((data.get("parameters"), data.get("overrides"), data.get("event")), (None, None, None));
    }

    #[test]
    fn a_dead_letter_tells_why_it_is_one() {
        let event = completion(&run(&ended("True", "Succeeded"), "{}")).unwrap();
        let letter = DeadLetter {
            destination: "http://r.example/".to_owned(),
            code: Some(500),
            data: "bm8=".to_owned(),
            words: String::new(),
        };
        let dead = dead_letter(&event, &letter).unwrap();
        let text = |name: &str| dead.attribute(name).map(|value| value.text().into_owned());
        assert_eq!(text("knativeerrordest").as_deref(), Some("http://r.example/"));
        assert_eq!(text("knativeerrorcode").as_deref(), Some("500"));
        assert_eq!(text("knativeerrordata").as_deref(), Some("bm8="));
        assert_eq!((dead.id(), dead.kind(), dead.data()), (event.id(), event.kind(), event.data()));
        let silent = dead_letter(&event, &DeadLetter { code: None, data: String::new(), ..letter }).unwrap();
        assert!(silent.attribute("knativeerrorcode").is_none());
        assert_eq!(silent.attribute("knativeerrordata").unwrap().text(), "");
    }

    #[test]
    fn an_end_is_owed_until_it_is_told() {
        let done = "{status: {completion: {outcome: Failed, attempts: 3, time: '2026-01-01T10:00:09Z'}}}";
        assert!(owes_completion(&run(&ended("False", "Cancelled"), "{}")));
        assert!(!owes_completion(&run(&ended("False", "Cancelled"), done)));
        assert!(!owes_completion(&run(&ended("Unknown", "Running"), "{}")));
        assert!(!owes_completion(&run(&ended("True", "Succeeded"), "{spec: {completion: null}}")));
    }

    #[test]
    fn an_object_shows_its_result_as_data() {
        let shown = |result: &str| {
            with_result_as_data(json!({"status": {"result": result}}))["status"]["result"].clone()
        };
        assert_eq!((shown("[1]"), shown("done")), (json!([1]), json!("done")));
        assert_eq!(with_result_as_data(json!({"spec": 1})), json!({"spec": 1}));
    }
}
