//! A run in short, for whoever holds its address or waited for its end. Members that are not known yet are null.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::value::RawValue;

use super::phase::phase;
use crate::api::{CONDITION_COMPLETED, Execution, condition};

/// What a sender can use of an Execution.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary<'a> {
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    job: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    message: Option<&'a str>,
    create_time: Option<&'a Time>,
    start_time: Option<&'a Time>,
    completion_time: Option<&'a Time>,
    task_count: i32,
    running_count: i32,
    succeeded_count: i32,
    failed_count: i32,
    cancelled_count: i32,
    retried_count: i32,
    result: Option<Box<RawValue>>,
}

impl<'a> Summary<'a> {
    /// What `execution` says of itself.
    pub fn of(execution: &'a Execution) -> Self {
        let status = execution.status.as_ref();
        let completed = status.and_then(|status| condition(&status.conditions, CONDITION_COMPLETED));
        Self {
            namespace: execution.metadata.namespace.as_deref(),
            name: execution.metadata.name.as_deref(),
            job: &execution.spec.job.name,
            state: phase(execution).as_str(),
            reason: completed.map(|condition| condition.reason.as_str()),
            message: completed.map(|condition| condition.message.as_str()),
            create_time: execution.metadata.creation_timestamp.as_ref(),
            start_time: status.and_then(|status| status.start_time.as_ref()),
            completion_time: status.and_then(|status| status.completion_time.as_ref()),
            task_count: execution.spec.template.spec.task_count,
            running_count: status.map_or(0, |status| status.running_count),
            succeeded_count: status.map_or(0, |status| status.succeeded_count),
            failed_count: status.map_or(0, |status| status.failed_count),
            cancelled_count: status.map_or(0, |status| status.cancelled_count),
            retried_count: status.map_or(0, |status| status.retried_count),
            result: status.and_then(|status| status.result.as_deref()).map(data),
        }
    }
}

/// A result as data: what it is where it is JSON, to the last digit, and a string where it is not.
fn data(result: &str) -> Box<RawValue> {
    serde_json::from_str(result)
        .or_else(|_| serde_json::value::to_raw_value(result))
        .expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{CONDITION_STARTED, ExecutionStatus, NewCondition, Reason, Status, set_condition};

    fn with(conditions: &[(&str, Status, Reason)]) -> Execution {
        let mut status = ExecutionStatus::default();
        for &(kind, holds, reason) in conditions {
            let new = NewCondition { kind, status: holds, reason, message: "words".to_owned() };
            set_condition(&mut status.conditions, new, None, Timestamp::UNIX_EPOCH);
        }
        Execution { status: Some(status), ..Execution::default() }
    }

    fn summary(execution: &Execution) -> Value {
        serde_json::to_value(Summary::of(execution)).unwrap()
    }

    #[test]
    fn the_state_is_one_word() {
        for (conditions, expected) in [
            ([].as_slice(), "Pending"),
            (&[(CONDITION_STARTED, Status::Unknown, Reason::Starting)], "Pending"),
            (&[(CONDITION_COMPLETED, Status::Unknown, Reason::Queued)], "Queued"),
            (&[(CONDITION_COMPLETED, Status::Unknown, Reason::Starting)], "Starting"),
            (
                &[
                    (CONDITION_STARTED, Status::True, Reason::Running),
                    (CONDITION_COMPLETED, Status::Unknown, Reason::Running),
                ],
                "Running",
            ),
            (
                &[
                    (CONDITION_STARTED, Status::True, Reason::Running),
                    (CONDITION_COMPLETED, Status::Unknown, Reason::Cancelling),
                ],
                "Cancelling",
            ),
            (&[(CONDITION_COMPLETED, Status::True, Reason::Succeeded)], "Succeeded"),
            (&[(CONDITION_COMPLETED, Status::False, Reason::NonZeroExitCode)], "Failed"),
            (&[(CONDITION_COMPLETED, Status::False, Reason::Cancelled)], "Cancelled"),
        ] {
            assert_eq!(summary(&with(conditions))["state"], expected, "{conditions:?}");
        }
        assert_eq!(summary(&Execution::default())["state"], "Pending");
    }

    #[test]
    fn the_summary_tells_why() {
        let summary = summary(&with(&[(CONDITION_COMPLETED, Status::False, Reason::TaskTimeout)]));
        assert_eq!((&summary["reason"], &summary["message"]), (&json!("TaskTimeout"), &json!("words")));
        assert_eq!(summary["result"], Value::Null);
    }

    #[test]
    fn a_result_is_json_where_it_parses_and_a_string_where_it_does_not() {
        for (written, shown) in [
            ("{\"n\": 1.50}\n", "{\"n\": 1.50}"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("done", "\"done\""),
            ("{\"n\":", "\"{\\\"n\\\":\""),
            ("", "\"\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(data(written).get(), shown, "{written}");
        }
        let deep = "[".repeat(4096);
        assert_eq!(data(&deep).get().len(), 4098);
    }
}
