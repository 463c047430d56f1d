//! Tasks: looked at. Nobody polls them, so they are read from the API server when somebody asks.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tonic::Code;

use super::labels::{EXECUTION, JOB, RUNNING_STATE};
use super::shape::{API_VERSION, AttemptResult, Condition, List, ListMetadata, RpcStatus, Task, TaskStatus};
use super::{Listing, show};
use crate::api::{
    ANNOTATION_RESULT, CONDITION_COMPLETED, CONDITION_STARTED, Execution, MAX_TASK_COUNT, Reason, Status,
    TaskOutcome,
};
use crate::cloudrun::CloudRun;
use crate::cloudrun::convert;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::messages::{rpc, v2};
use crate::cloudrun::names::Place;
use crate::plan::{self, TaskState};

/// Between the name of an Execution and the index of a task.
const INFIX: &str = "-task";

impl CloudRun {
    /// The tasks of one Execution, by index.
    pub(super) async fn v1_tasks(&self, place: &Place, listing: Listing) -> Result<List<Task>, Fault> {
        let Listing { selector, limit, token } = listing;
        let Some(name) = selector.only(EXECUTION) else {
            let rule = format!("tasks are listed by execution: {EXECUTION} = NAME");
            return Err(Fault::invalid_field("labelSelector", rule));
        };
        let wrong = |field: &str| Fault::invalid_field(field, "is no number that can stand here");
        let first = if token.is_empty() { Ok(0) } else { token.parse() };
        let first: i32 = first.map_err(|_| wrong("continue"))?;
        let limit = limit.unwrap_or(MAX_TASK_COUNT);
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| wrong("limit"))?;
        let execution = self.live_execution_of_any(place, name).await?;
        let found = self.tasks_of(&execution, first..MAX_TASK_COUNT).await?;
        let page = |task: &plan::Task| self.page_of(&execution, Some(task.index));
        let shown = found.iter().map(|task| show_task(task, &execution, &place.location, page(task)));
        let mut items: Vec<Task> =
            shown.filter(|task| selector.matches(&task.metadata.labels)).take(limit + 1).collect();
        let next = items.get(limit).map(|task| task.status.index.to_string()).unwrap_or_default();
        items.truncate(limit);
        Ok(List { api_version: API_VERSION, kind: "TaskList", metadata: ListMetadata { next }, items })
    }

    pub(super) async fn v1_task(&self, place: &Place, name: &str) -> Result<Task, Fault> {
        let missing = || Fault::not_found("task", name);
        let (run, index) = parts(name).ok_or_else(missing)?;
        let index: u16 = index.parse().map_err(|_| missing())?;
        let execution = match self.live_execution_of_any(place, run).await {
            Err(fault) if fault.code == Code::NotFound => return Err(missing()),
            found => found?,
        };
        let index = i32::from(index);
        let found = self.tasks_of(&execution, index..index + 1).await?;
        let page = self.page_of(&execution, Some(index));
        let task = found.first().map(|task| show_task(task, &execution, &place.location, page));
        // One task has one name.
        task.filter(|task| task.metadata.name == name).ok_or_else(missing)
    }
}

/// The Execution and the index that the name of a task says.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once(INFIX)
}

/// The Execution that a task of that name is one of. What is no name of a task is one of none, and is not found.
pub(super) fn run_of(name: &str) -> &str {
    parts(name).map_or(name, |(run, _)| run)
}

/// The task that a client in that location sees; `log_uri` says where its page is.
fn show_task(task: &plan::Task, execution: &Execution, location: &str, log_uri: String) -> Task {
    let plan::Task { index, shown, state, retried, created, started, completed, last, result: said } = task;
    let run = execution.metadata.name.as_deref().unwrap_or_default();
    let given = ObjectMeta {
        name: Some(format!("{run}{INFIX}{index}")),
        namespace: execution.metadata.namespace.clone(),
        uid: execution.metadata.uid.as_ref().map(|uid| format!("{uid}-{index}")),
        creation_timestamp: created.clone().or_else(|| execution.metadata.creation_timestamp.clone()),
        ..ObjectMeta::default()
    };
    let mut metadata = show::metadata(&given, "tasks", location);
    // It is no object: nothing compares it.
    metadata.resource_version = String::new();
    metadata.labels.insert(JOB.to_owned(), execution.spec.job.name.clone());
    metadata.labels.insert(EXECUTION.to_owned(), run.to_owned());
    metadata.annotations.extend(said.clone().map(|said| (ANNOTATION_RESULT.to_owned(), said)));
    metadata.labels.insert(RUNNING_STATE.to_owned(), word(*state).to_owned());
    Task {
        api_version: API_VERSION.to_owned(),
        kind: "Task".to_owned(),
        metadata,
        spec: show::task_spec(&execution.spec.template.spec.template.spec),
        status: TaskStatus {
            index: *shown,
            conditions: conditions(*state, started.is_some(), last.as_ref()),
            start_time: started.clone(),
            completion_time: completed.clone(),
            retried: *retried,
            last_attempt_result: last.as_ref().map(result),
            log_uri,
        },
    }
}

/// The word in the label that `gcloud` draws its marks from.
fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "Pending",
        TaskState::Running => "Running",
        TaskState::Succeeded => "Succeeded",
        TaskState::Failed => "Failed",
        TaskState::Cancelled => "Cancelled",
        TaskState::Abandoned => "Abandoned",
    }
}

fn conditions(state: TaskState, has_started: bool, last: Option<&TaskOutcome>) -> Vec<Condition> {
    let started = match state {
        TaskState::Running | TaskState::Succeeded | TaskState::Failed => Status::True,
        _ if has_started => Status::True,
        TaskState::Pending => Status::Unknown,
        TaskState::Cancelled | TaskState::Abandoned => Status::False,
    };
    let (completed, reason) = match state {
        TaskState::Succeeded => (Status::True, Reason::Succeeded.as_str()),
        TaskState::Failed => (Status::False, Reason::NonZeroExitCode.as_str()),
        TaskState::Cancelled => (Status::False, Reason::Cancelled.as_str()),
        TaskState::Abandoned => (Status::False, "Abandoned"),
        TaskState::Pending | TaskState::Running => (Status::Unknown, ""),
    };
    let message = last.filter(|_| state == TaskState::Failed).and_then(|last| last.message.clone());
    let condition = |kind: &str, status: Status, reason: &str, message: String| Condition {
        kind: kind.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: None,
    };
    vec![
        condition(CONDITION_COMPLETED, completed, reason, message.unwrap_or_default()),
        condition(CONDITION_STARTED, started, "", String::new()),
    ]
}

fn result(last: &TaskOutcome) -> AttemptResult {
    let v2::TaskAttemptResult { status, exit_code: _, term_signal: _ } = convert::attempt(last);
    let rpc::Status { code, message, details: _ } = status.unwrap_or_default();
    AttemptResult {
        // Here there is a word for a code that nobody knows: none.
        exit_code: last.exit_code.filter(|_| last.signal.is_none()),
        term_signal: last.signal,
        status: RpcStatus { code, message },
    }
}
