//! How a run is doing, for whoever holds its Location.
//!
//! An unknown run is 404, not 410: an Execution that was removed leaves nothing behind that would tell it from one that
//! never was.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use kube::Api;
use serde_json::Value;
use serde_json::json;

use super::Sink;
use super::access::Ask;
use super::access::may_see;
use super::answer::Refusal;
use super::receive::unreadable;
use crate::api::CONDITION_COMPLETED;
use crate::api::CauseKind;
use crate::api::Execution;
use crate::api::condition;
use crate::plan;
use crate::triggers::is_object_name;

/// `GET /namespaces/{namespace}/executions/{execution}`: 200 in every state.
pub(super) async fn show(
    State(sink): State<Sink>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((namespace, name)) = path.map_err(unreadable)?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let (parts, body) = request.into_parts();
        sink.read_off(&parts.headers, body);
        return Err(Refusal::Method { allow: "GET, HEAD" });
    }
    sink.looks_after(&namespace)?;
    let unknown = || Refusal::NotFound(format!("there is no execution {name} in namespace {namespace}"));
    if !is_object_name(&namespace) || !is_object_name(&name) {
        return Err(unknown());
    }
    let caller = sink.admit(request.headers(), &Ask::to_see(&namespace, &name)).await?;
    let api = Api::<Execution>::namespaced(sink.inner.client.clone(), &namespace);
    let found = api.get_opt(&name).await.map_err(|error| {
        tracing::warn!(namespace, execution = name, error = &error as &dyn std::error::Error, "cannot read");
        Refusal::Unavailable("the execution cannot be read now".to_owned())
    })?;
    let execution = found.ok_or_else(unknown)?;
    // Who started a run by hand was given no Location. Its name is short enough to be guessed, so whoever asks for it must
    // say who he is.
    let is_guess = caller.is_none() && execution.spec.cause.kind == CauseKind::Manual;
    if is_guess || !may_see(caller.as_ref(), &namespace, &execution.spec.job.name) {
        return Err(unknown());
    }
    let mut response = Response::new(Body::from(summary(&execution).to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a sender can use of an Execution. Members that are not known yet are null.
fn summary(execution: &Execution) -> Value {
    let status = execution.status.clone().unwrap_or_default();
    let completed = condition(&status.conditions, CONDITION_COMPLETED);
    json!({
        "namespace": execution.metadata.namespace,
        "name": execution.metadata.name,
        "job": execution.spec.job.name,
        "state": plan::phase(execution).as_str(),
        "reason": completed.map(|condition| &condition.reason),
        "message": completed.map(|condition| &condition.message),
        "createTime": execution.metadata.creation_timestamp,
        "startTime": status.start_time,
        "completionTime": status.completion_time,
        "taskCount": execution.spec.template.spec.task_count,
        "runningCount": status.running_count,
        "succeededCount": status.succeeded_count,
        "failedCount": status.failed_count,
        "cancelledCount": status.cancelled_count,
        "retriedCount": status.retried_count,
        "result": status.result,
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::CONDITION_STARTED;
    use crate::api::ExecutionStatus;
    use crate::api::NewCondition;
    use crate::api::Reason;
    use crate::api::Status;
    use crate::api::set_condition;

    fn with(conditions: &[(&str, Status, Reason)]) -> Execution {
        let mut status = ExecutionStatus::default();
        for &(kind, holds, reason) in conditions {
            let new = NewCondition { kind, status: holds, reason, message: "words".to_owned() };
            set_condition(&mut status.conditions, new, None, Timestamp::UNIX_EPOCH);
        }
        Execution { status: Some(status), ..Execution::default() }
    }

    #[test]
    fn the_state_is_one_word() {
        for (conditions, expected) in [
            ([].as_slice(), "Pending"),
            (&[(CONDITION_STARTED, Status::Unknown, Reason::Pending)], "Pending"),
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
        let failed = with(&[(CONDITION_COMPLETED, Status::False, Reason::TaskTimeout)]);
        let summary = summary(&failed);
        assert_eq!((&summary["reason"], &summary["message"]), (&json!("TaskTimeout"), &json!("words")));
    }
}
