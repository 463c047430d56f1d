//! Our objects as rows of a table: what a person wants to see of each kind, and under which heading.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::output::{age, span};
use super::story;
use crate::api::{CONDITION_READY, Condition, Execution, Filter, Job, Trigger, TriggerSpec, condition};

/// Widest summary of a filter; the whole is in `describe`.
const FILTER_WIDTH: usize = 48;

/// Heading of [`job`].
pub(crate) const JOB: &[&str] = &["NAME", "READY", "EXECUTIONS", "RUNNING", "QUEUED", "LATEST", "AGE"];
/// Heading of [`execution`].
pub(crate) const EXECUTION: &[&str] = &["NAME", "JOB", "STATUS", "TASKS", "CAUSE", "DURATION", "AGE"];
/// Heading of [`trigger`].
pub(crate) const TRIGGER: &[&str] = &["NAME", "JOB", "READY", "FILTER", "AGE"];

/// A Job in one row.
pub(crate) fn job(job: &Job, now: Timestamp) -> Vec<String> {
    let status = job.status.clone().unwrap_or_default();
    let latest = status.latest_created_execution.map(|latest| latest.name).unwrap_or_default();
    let ready = if job.spec.suspend { "Suspended".to_owned() } else { ready(&status.conditions) };
    vec![
        job.name_any(),
        ready,
        status.execution_count.to_string(),
        status.running_count.to_string(),
        status.queued_count.to_string(),
        latest,
        age(created(job), now),
    ]
}

/// An Execution in one row.
pub(crate) fn execution(execution: &Execution, now: Timestamp) -> Vec<String> {
    vec![
        execution.name_any(),
        execution.spec.job.name.clone(),
        story::state(execution),
        story::tasks(execution),
        story::cause(&execution.spec.cause),
        story::took(execution, now).map(span).unwrap_or_default(),
        age(created(execution), now),
    ]
}

/// A Trigger in one row.
pub(crate) fn trigger(trigger: &Trigger, now: Timestamp) -> Vec<String> {
    let conditions = trigger.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    vec![
        trigger.name_any(),
        trigger.spec.job.name.clone(),
        ready(conditions),
        shorten(&filter(&trigger.spec), FILTER_WIDTH),
        age(created(trigger), now),
    ]
}

/// When an object was created.
pub(crate) fn created(object: &impl kube::Resource) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

/// `True`, the reason why not, or nothing where nobody has looked yet.
fn ready(conditions: &[Condition]) -> String {
    match condition(conditions, CONDITION_READY) {
        None => String::new(),
        Some(ready) if ready.status == "True" || ready.reason.is_empty() => ready.status.clone(),
        Some(ready) => ready.reason.clone(),
    }
}

/// The filters of a Trigger as one expression; parts that say nothing are left out: `type=com.example.order and not(source^=/test)`.
pub(crate) fn filter(spec: &TriggerSpec) -> String {
    let TriggerSpec { filter, filters, job: _, parameters: _ } = spec;
    if !filters.is_empty() {
        return joined(filters, " and ");
    }
    let attributes = filter.as_ref().map(|filter| &filter.attributes);
    match attributes.filter(|attributes| !attributes.is_empty()) {
        None => "every event".to_owned(),
        Some(attributes) => {
            let words = attributes.iter().map(|(name, value)| {
                if value.is_empty() { format!("{name} present") } else { format!("{name}={value}") }
            });
            words.collect::<Vec<_>>().join(" and ")
        }
    }
}

fn joined(filters: &[Filter], word: &str) -> String {
    said(filters.iter().map(dialect)).join(word)
}

/// Those that are not empty.
fn said(words: impl Iterator<Item = String>) -> Vec<String> {
    words.filter(|words| !words.is_empty()).collect()
}

fn dialect(one: &Filter) -> String {
    let Filter { exact, prefix, suffix, all, any, not, cesql, cel } = one;
    let compared = [(exact, "="), (prefix, "^="), (suffix, "$=")].into_iter().filter_map(|(map, sign)| {
        let words = map.as_ref()?.iter().map(|(name, value)| format!("{name}{sign}{value}"));
        Some(words.collect::<Vec<_>>().join(" and "))
    });
    let all = all.as_ref().map(|all| format!("all({})", joined(all, ", ")));
    let any = any.as_ref().map(|any| format!("any({})", joined(any, ", ")));
    let not = not.as_ref().map(|not| format!("not({})", dialect(not)));
    let cesql = cesql.as_ref().map(|text| format!("cesql({})", one_line(text)));
    let cel = cel.as_ref().map(|text| format!("cel({})", one_line(text)));
    said(compared.chain(all).chain(any).chain(not).chain(cesql).chain(cel)).join(" and ")
}

/// A text that somebody may have written over several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:03:00Z".parse().unwrap()
    }

    fn triggered(spec: &serde_json::Value) -> Trigger {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger",
            "metadata": {"name": "orders", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn an_execution_shows_state_tasks_and_cause() {
        let run = story::tests::execution("True", "Succeeded", "", [0, 3, 0, 0]);
        let row = execution(&run, now());
        assert_eq!(row, ["resize-abc", "resize", "Succeeded", "3/3", "trigger/orders", "4s", "3m"]);
        assert_eq!(row.len(), EXECUTION.len());
    }

    #[test]
    fn a_job_shows_whether_it_is_fit_for_use() {
        let mut one: Job = serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "resize", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
            "status": {
                "executionCount": 4, "runningCount": 1, "latestCreatedExecution": {"name": "resize-abc"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        }))
        .unwrap();
        assert_eq!(job(&one, now()), ["resize", "True", "4", "1", "0", "resize-abc", "3m"]);
        one.spec.suspend = true;
        one.status = None;
        assert_eq!(job(&one, now()), ["resize", "Suspended", "0", "0", "0", "", "3m"]);
        assert_eq!(job(&one, now()).len(), JOB.len());
    }

    #[test]
    fn filters_read_as_one_expression() {
        let table = [
            (json!({"job": {"name": "j"}}), "every event"),
            (
                json!({"job": {"name": "j"}, "filter": {"attributes": {"type": "a", "source": ""}}}),
                "source present and type=a",
            ),
            (
                json!({"job": {"name": "j"}, "filter": {"attributes": {"type": "a"}}, "filters": [
                    {"exact": {"type": "b"}},
                    {"not": {"prefix": {"source": "/test"}}},
                    {"any": [{"suffix": {"subject": ".png"}}, {"suffix": {"subject": ".jpg"}}]},
                ]}),
                "type=b and not(source^=/test) and any(subject$=.png, subject$=.jpg)",
            ),
            (
                json!({"job": {"name": "j"}, "filters": [{"not": {"cesql": "id = '1'\n  AND EXISTS time\n"}}]}),
                "not(cesql(id = '1' AND EXISTS time))",
            ),
            (
                json!({"job": {"name": "j"}, "filters": [{"exact": {}}, {"exact": {}, "prefix": {"Bad-Name": "x"}}]}),
                "Bad-Name^=x",
            ),
        ];
        for (spec, words) in table {
            let trigger = triggered(&spec);
            assert_eq!(filter(&trigger.spec), words);
        }
    }

    #[test]
    fn a_long_filter_is_cut() {
        let spec = json!({"job": {"name": "j"}, "filter": {"attributes": {"type": "x".repeat(99)}}});
        let row = trigger(&triggered(&spec), now());
        assert_eq!(row[3].chars().count(), FILTER_WIDTH);
        assert!(row[3].ends_with('…'));
        assert_eq!(row.len(), TRIGGER.len());
    }
}
