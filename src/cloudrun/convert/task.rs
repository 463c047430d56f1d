//! Tasks: computed, never stored.

use prost_types::Timestamp;

use super::template::task_template;
use super::time;
use crate::api::{ANNOTATION_RESULT, CONDITION_COMPLETED, CONDITION_STARTED, Execution, TaskOutcome};
use crate::cloudrun::messages::rpc;
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::condition::{ExecutionReason, Reasons, Severity, State};
use crate::cloudrun::messages::v2::task_template::Retries;
use crate::cloudrun::names::TaskName;
use crate::plan::{Task, TaskState};

/// The task that a client sees; `log_uri` says where its page is.
pub(in crate::cloudrun) fn task(
    task: &Task,
    execution: &Execution,
    name: &TaskName,
    log_uri: String,
) -> v2::Task {
    let Task { index, shown, state, retried, created, started, completed, last, result } = task;
    let v2::TaskTemplate {
        containers,
        volumes,
        timeout,
        service_account,
        execution_environment,
        encryption_key,
        vpc_access,
        node_selector,
        gpu_zonal_redundancy_disabled,
        retries,
    } = task_template(&execution.spec.template.spec.template.spec);
    let given = &execution.metadata;
    let created = time::of(created.as_ref().or(given.creation_timestamp.as_ref()));
    let (started, completed) = (time::of(started.as_ref()), time::of(completed.as_ref()));
    let generation = given.generation.unwrap_or_default();
    let mut annotations = super::metadata::shown(given.annotations.as_ref());
    annotations.extend(result.clone().map(|result| (ANNOTATION_RESULT.to_owned(), result)));
    v2::Task {
        name: name.to_string(),
        uid: format!("{}-{index}", given.uid.as_deref().unwrap_or_default()),
        generation,
        labels: super::metadata::shown(given.labels.as_ref()),
        annotations,
        create_time: created,
        scheduled_time: created,
        start_time: started,
        completion_time: completed,
        update_time: completed.or(started).or(created),
        delete_time: None,
        expire_time: None,
        job: execution.spec.job.name.clone(),
        execution: given.name.clone().unwrap_or_default(),
        containers,
        volumes,
        max_retries: retries.map_or(0, |Retries::MaxRetries(retries)| retries),
        timeout,
        service_account,
        execution_environment,
        reconciling: !state.is_terminal(),
        conditions: conditions(task, started, completed),
        observed_generation: generation,
        index: *shown,
        retried: *retried,
        last_attempt_result: last.as_ref().map(attempt),
        encryption_key,
        vpc_access,
        log_uri,
        satisfies_pzs: false,
        node_selector,
        gpu_zonal_redundancy_disabled,
        etag: String::new(),
    }
}

fn conditions(task: &Task, started: Option<Timestamp>, completed: Option<Timestamp>) -> Vec<v2::Condition> {
    let end = match task.state {
        TaskState::Succeeded => State::ConditionSucceeded,
        TaskState::Failed | TaskState::Cancelled | TaskState::Abandoned => State::ConditionFailed,
        TaskState::Running => State::ConditionReconciling,
        TaskState::Pending => State::ConditionPending,
    };
    let reason = match task.state {
        TaskState::Failed => Some(ExecutionReason::NonZeroExitCode),
        TaskState::Cancelled | TaskState::Abandoned => Some(ExecutionReason::Cancelled),
        TaskState::Succeeded | TaskState::Running | TaskState::Pending => None,
    };
    let start = if started.is_some() || task.state == TaskState::Succeeded {
        State::ConditionSucceeded
    } else if task.state.is_terminal() {
        State::ConditionFailed
    } else {
        State::ConditionPending
    };
    let message =
        task.last.as_ref().filter(|_| task.state == TaskState::Failed).map(words).unwrap_or_default();
    let condition = |kind: &str, state: State, time: Option<Timestamp>| {
        let failed = state == State::ConditionFailed;
        v2::Condition {
            r#type: kind.to_owned(),
            state: state.into(),
            message: if failed { message.clone() } else { String::new() },
            last_transition_time: time,
            severity: if failed { Severity::Error } else { Severity::Unspecified }.into(),
            reasons: reason.filter(|_| failed).map(|reason| Reasons::ExecutionReason(reason.into())),
        }
    };
    vec![condition(CONDITION_COMPLETED, end, completed), condition(CONDITION_STARTED, start, started)]
}

/// How the last attempt at a task ended.
pub(in crate::cloudrun) fn attempt(last: &TaskOutcome) -> v2::TaskAttemptResult {
    let succeeded = last.exit_code == Some(0) && last.signal.is_none();
    let code = if succeeded { rpc::Code::Ok } else { rpc::Code::Unknown };
    let message = if succeeded { String::new() } else { words(last) };
    v2::TaskAttemptResult {
        status: Some(rpc::Status { code: code.into(), message, details: Vec::new() }),
        // At most one of the two is set.
        exit_code: last.exit_code.filter(|_| last.signal.is_none()).unwrap_or(0),
        term_signal: last.signal.unwrap_or(0),
    }
}

/// How an attempt ended, for people.
fn words(last: &TaskOutcome) -> String {
    let TaskOutcome {
        index: _,
        attempts: _,
        exit_code,
        signal,
        reason,
        message,
        started_at: _,
        finished_at: _,
    } = last;
    let end = match (signal, exit_code, reason) {
        (Some(signal), _, _) => format!("signal {signal}"),
        (None, Some(code), _) => format!("exit code {code}"),
        (None, None, Some(reason)) => reason.clone(),
        (None, None, None) => "its Pod is gone, and with it what happened".to_owned(),
    };
    match message {
        Some(message) => format!("{end}: {message}"),
        None => end,
    }
}
