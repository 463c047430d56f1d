//! Long-running operations, which nobody keeps: the name of an operation says what was asked for and of which object,
//! and how far it is is read from that object. So a restart loses none, and every process knows all of them.
//!
//! An object that is gone took with it how its operation ended. That of its deletion has ended well then; any other ends
//! with `NOT_FOUND`, because a client that waits must not wait for ever.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prost_types::Any;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::access::Ask;
use super::convert::{self, is_observed};
use super::fault::Fault;
use super::messages::longrunning::operation::Result as Outcome;
use super::messages::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    ListOperationsResponse, Operation, WaitOperationRequest,
};
use super::messages::rpc;
use super::names::{OperationName, Place};
use super::paging::{Page, position};
use super::status::packed;
use super::{CloudRun, Empty};
use crate::api::{CONDITION_COMPLETED, Execution, Job, Reason, condition};
use crate::ops::Mode;
use crate::plan::{Phase, is_terminal, phase};
use crate::triggers::is_object_name;

/// Between the parts of an operation's id. A Job's name, a uid and a number have none of it.
const SEPARATOR: char = '.';
/// The id of operations that did nothing: their answer says everything, and nobody asks again.
const VALIDATED: &str = "validated";

/// Longest wait for an operation: what is between us and a client ends connections that say nothing for longer. It asks
/// again.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);

/// The type of a run in operations.
const EXECUTION: &str = "google.cloud.run.v2.Execution";

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    CreateJob,
    UpdateJob,
    DeleteJob,
    Run,
    Cancel,
    DeleteExecution,
}

impl Verb {
    const ALL: [Verb; 6] =
        [Verb::CreateJob, Verb::UpdateJob, Verb::DeleteJob, Verb::Run, Verb::Cancel, Verb::DeleteExecution];

    fn as_str(self) -> &'static str {
        match self {
            Verb::CreateJob => "create-job",
            Verb::UpdateJob => "update-job",
            Verb::DeleteJob => "delete-job",
            Verb::Run => "run",
            Verb::Cancel => "cancel",
            Verb::DeleteExecution => "delete-execution",
        }
    }

    fn is_about_a_job(self) -> bool {
        match self {
            Verb::CreateJob | Verb::UpdateJob | Verb::DeleteJob => true,
            Verb::Run | Verb::Cancel | Verb::DeleteExecution => false,
        }
    }

    fn is_deletion(self) -> bool {
        matches!(self, Verb::DeleteJob | Verb::DeleteExecution)
    }
}

/// What the id of an operation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) verb: Verb,
    pub(super) job: String,
    /// The Execution, where it is about one.
    pub(super) execution: Option<String>,
    /// Uid of the object.
    pub(super) uid: String,
    /// The generation that was written, or when the object was deleted, in seconds.
    pub(super) number: i64,
}

impl Handle {
    pub(super) fn of_job(verb: Verb, job: &Job) -> Self {
        Self {
            verb,
            job: job.metadata.name.clone().unwrap_or_default(),
            execution: None,
            uid: job.metadata.uid.clone().unwrap_or_default(),
            number: job.metadata.generation.unwrap_or_default(),
        }
    }

    pub(super) fn of_execution(verb: Verb, execution: &Execution) -> Self {
        Self {
            verb,
            job: execution.spec.job.name.clone(),
            execution: execution.metadata.name.clone(),
            uid: execution.metadata.uid.clone().unwrap_or_default(),
            number: execution.metadata.generation.unwrap_or_default(),
        }
    }

    /// The same for a deletion at that time.
    pub(super) fn at(self, time: Timestamp) -> Self {
        Self { number: time.as_second(), ..self }
    }

    /// The operation of a request that was only judged.
    pub(super) fn validated(place: &Place, answer: Any) -> Operation {
        Operation {
            name: place.operation(VALIDATED.to_owned()).to_string(),
            metadata: Some(answer.clone()),
            done: true,
            result: Some(Outcome::Response(answer)),
        }
    }

    /// The id.
    pub(super) fn id(&self) -> String {
        let Self { verb, job, execution, uid, number } = self;
        let number = number.to_string();
        let mut parts = vec![verb.as_str(), job];
        parts.extend(execution.as_deref());
        parts.extend([uid.as_str(), &number]);
        parts.join(&SEPARATOR.to_string())
    }

    /// What that id says.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (verb, rest) = id.split_once(SEPARATOR)?;
        let verb = Verb::ALL.into_iter().find(|known| known.as_str() == verb)?;
        let (rest, number) = rest.rsplit_once(SEPARATOR)?;
        let (rest, uid) = rest.rsplit_once(SEPARATOR)?;
        let (job, execution) = match rest.split_once(SEPARATOR) {
            // The name of an Execution that somebody made by hand may have dots.
            Some((job, execution)) => (job, Some(execution.to_owned())),
            None => (rest, None),
        };
        // They become parts of a path at the API server.
        let are_names = is_object_name(job) && execution.as_deref().is_none_or(is_object_name);
        let number = number.parse().ok().filter(|_| are_names)?;
        let handle = Self { verb, job: job.to_owned(), execution, uid: uid.to_owned(), number };
        (verb.is_about_a_job() == handle.execution.is_none()).then_some(handle)
    }
}

impl CloudRun {
    pub(super) async fn get_operation(&self, request: GetOperationRequest) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let GetOperationRequest { name } = request;
        let name = OperationName::parse("name", &name)?;
        let handle = handle(&name)?;
        self.operation(&handle, &name.place).await
    }

    /// The runs of a namespace as operations, newest first. Those of other requests end at once, or nearly.
    pub(super) async fn list_operations(
        &self,
        request: ListOperationsRequest,
    ) -> Result<ListOperationsResponse, Fault> {
        self.admit(&request).await?;
        let ListOperationsRequest { name, filter, page_size, page_token, return_partial_success: _ } =
            request;
        // Clients say the collection or what it is in.
        let place = Place::parse("name", name.strip_suffix("/operations").unwrap_or(&name))?;
        let done = read_filter(&filter)?;
        let page = Page::of(format!("operations of {} {filter}", place.project), page_size, &page_token)?;
        let mut all = self.executions(&place).await?;
        all.retain(|execution| done.is_none_or(|done| done == is_terminal(execution)));
        let (found, next_page_token) = page.cut(all, |execution| position(execution.as_ref()));
        let shown = found.iter().map(|execution| {
            self.operation_of_execution(&Handle::of_execution(Verb::Run, execution), execution, &place)
        });
        Ok(ListOperationsResponse { operations: shown.collect(), next_page_token, unreachable: Vec::new() })
    }

    /// Answers when the operation is done, or as it is when the time is over.
    pub(super) async fn wait_operation(&self, request: WaitOperationRequest) -> Result<Operation, Fault> {
        let needs = request.needs()?;
        let WaitOperationRequest { name, timeout } = request;
        let name = OperationName::parse("name", &name)?;
        let handle = handle(&name)?;
        let asked = timeout.map(|timeout| Duration::try_from(timeout).unwrap_or_default());
        let deadline = Instant::now() + asked.unwrap_or(MAX_WAIT).min(MAX_WAIT);
        // Before the first look, so that nothing happens between the two.
        let (mut jobs, mut executions) = (self.cache.jobs.changes(), self.cache.executions.changes());
        loop {
            // Again and again: a right may be taken away while somebody waits.
            self.allow(&needs).await?;
            let found = self.operation(&handle, &name.place).await?;
            let changed = async {
                let change = if handle.execution.is_none() { jobs.changed() } else { executions.changed() };
                // The sender lives as long as we do.
                change.await.is_ok()
            };
            if found.done || !timeout_at(deadline, changed).await.unwrap_or(false) {
                return Ok(found);
            }
        }
    }

    /// There is nothing to forget: the objects tell.
    pub(super) async fn delete_operation(&self, request: DeleteOperationRequest) -> Result<Empty, Fault> {
        self.admit(&request).await?;
        let DeleteOperationRequest { name } = request;
        let name = OperationName::parse("name", &name)?;
        self.operation(&handle(&name)?, &name.place).await.map(drop)
    }

    /// Stops a run. Everything else that can be asked for is done before anybody could stop it.
    pub(super) async fn cancel_operation(&self, request: CancelOperationRequest) -> Result<Empty, Fault> {
        self.admit(&request).await?;
        let CancelOperationRequest { name } = request;
        let name = OperationName::parse("name", &name)?;
        let handle = handle(&name)?;
        let found = self.operation(&handle, &name.place).await?;
        match &handle.execution {
            _ if found.done => Ok(()),
            Some(execution) if handle.verb == Verb::Run => {
                let execution = name.place.job(&handle.job).execution(execution);
                self.cancel(&execution, "", Mode::Commit).await.map(drop)
            }
            Some(_) | None => Err(Fault::new(Code::Unimplemented, "only runs can be cancelled")),
        }
    }

    /// How far it is.
    pub(super) async fn operation(&self, handle: &Handle, place: &Place) -> Result<Operation, Fault> {
        let job = place.job(&handle.job);
        let found = match &handle.execution {
            None => match self.job(&job).await {
                Ok(job) if job.metadata.uid.as_ref() == Some(&handle.uid) => {
                    Ok(self.operation_of_job(handle, &job, place))
                }
                Ok(_) => Err(Fault::not_found("job", &handle.job)),
                Err(fault) => Err(fault),
            },
            Some(execution) => match self.execution(&job.execution(execution)).await {
                Ok(execution) if execution.metadata.uid.as_ref() == Some(&handle.uid) => {
                    Ok(self.operation_of_execution(handle, &execution, place))
                }
                Ok(_) => Err(Fault::not_found("execution", execution)),
                Err(fault) => Err(fault),
            },
        };
        match found {
            Err(fault) if fault.code == Code::NotFound => Ok(of_a_gone_object(handle, place)),
            found => found,
        }
    }

    pub(super) fn operation_of_job(&self, handle: &Handle, job: &Job, place: &Place) -> Operation {
        let shown = self.packed_job(job, place, None);
        let is_done = match handle.verb {
            Verb::DeleteJob => false,
            _ => is_observed(job) && job.metadata.generation >= Some(handle.number),
        };
        operation(handle, place, shown.clone(), is_done.then_some(Outcome::Response(shown)))
    }

    pub(super) fn packed_job(&self, job: &Job, place: &Place, deleted: Option<Timestamp>) -> Any {
        packed("google.cloud.run.v2.Job", &self.shown_job(job, place, deleted))
    }

    /// How far what was asked of an Execution is.
    pub(super) fn operation_of_execution(
        &self,
        handle: &Handle,
        execution: &Execution,
        place: &Place,
    ) -> Operation {
        let shown = self.packed_execution(execution, place, None);
        let phase = phase(execution);
        let outcome = match handle.verb {
            _ if !phase.is_terminal() => None,
            Verb::DeleteExecution => None,
            // However it ended, it has stopped.
            Verb::Cancel => Some(Outcome::Response(shown.clone())),
            _ if phase == Phase::Succeeded => Some(Outcome::Response(shown.clone())),
            _ => Some(Outcome::Error(end(execution))),
        };
        operation(handle, place, shown, outcome)
    }

    /// An Execution as operations carry it.
    pub(super) fn packed_execution(
        &self,
        execution: &Execution,
        place: &Place,
        deleted: Option<Timestamp>,
    ) -> Any {
        packed(EXECUTION, &self.shown_execution(execution, place, deleted))
    }
}

/// What a filter asks for: operations that are done, or that are not; all without one.
fn read_filter(filter: &str) -> Result<Option<bool>, Fault> {
    let words: String = filter.chars().filter(|letter| !letter.is_whitespace()).collect();
    match words.as_str() {
        "" => Ok(None),
        "done=true" | "done:true" => Ok(Some(true)),
        "done=false" | "done:false" => Ok(Some(false)),
        _ => Err(Fault::invalid_field("filter", "must be done=true or done=false")),
    }
}

/// What the id of that operation says.
fn handle(name: &OperationName) -> Result<Handle, Fault> {
    Handle::parse(&name.id).ok_or_else(|| Fault::not_found("operation", &name.id))
}

pub(super) fn operation(handle: &Handle, place: &Place, metadata: Any, result: Option<Outcome>) -> Operation {
    Operation {
        name: place.operation(handle.id()).to_string(),
        metadata: Some(metadata),
        done: result.is_some(),
        result,
    }
}

/// The error of a run that did not succeed: in the words of its own condition.
fn end(execution: &Execution) -> rpc::Status {
    let conditions = execution.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let completed = condition(conditions, CONDITION_COMPLETED);
    let reason =
        completed.and_then(|completed| Reason::ALL.iter().find(|one| one.as_str() == completed.reason));
    let code = match reason {
        Some(Reason::Cancelled | Reason::Replaced) => Code::Cancelled,
        Some(Reason::TaskTimeout | Reason::StartDeadlineExceeded | Reason::QueueTimeout) => {
            Code::DeadlineExceeded
        }
        Some(
            Reason::ImagePullFailed | Reason::ContainerConfigFailed | Reason::Unschedulable | Reason::Refused,
        ) => Code::FailedPrecondition,
        Some(Reason::ConcurrencyForbidden | Reason::JobLost | Reason::JobNotFound) => Code::Aborted,
        // What a failing program means is not for us to say.
        _ => Code::Unknown,
    };
    let message = completed.map(|completed| completed.message.clone()).unwrap_or_default();
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    rpc::Status { code: code.into(), message: format!("execution {name}: {message}"), details: Vec::new() }
}

/// The operation of an object that does not exist any more.
fn of_a_gone_object(handle: &Handle, place: &Place) -> Operation {
    let Handle { verb, job, execution, uid, number } = handle;
    let time = verb.is_deletion().then(|| Timestamp::from_second(*number).unwrap_or_default());
    let metadata = match execution {
        None => {
            let mut gone = Job::new(job, crate::api::JobSpec::default());
            gone.metadata.uid = Some(uid.clone());
            packed("google.cloud.run.v2.Job", &convert::job(&gone, place, None, time))
        }
        Some(execution) => {
            let mut gone = Execution::new(execution, crate::api::ExecutionSpec::default());
            gone.metadata.uid = Some(uid.clone());
            gone.spec.job.name.clone_from(job);
            packed(EXECUTION, &convert::execution(&gone, place, time, String::new()))
        }
    };
    let outcome = if verb.is_deletion() {
        Outcome::Response(metadata.clone())
    } else {
        let what = execution
            .as_ref()
            .map_or_else(|| format!("job {job}"), |execution| format!("execution {execution}"));
        let message = format!("{what} was deleted, and with it how this ended");
        Outcome::Error(rpc::Status { code: Code::NotFound.into(), message, details: Vec::new() })
    };
    operation(handle, place, metadata, Some(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_everything() {
        for verb in Verb::ALL {
            let execution = (!verb.is_about_a_job()).then(|| "resize-by.hand".to_owned());
            let handle = Handle { verb, job: "resize".into(), execution, uid: "7a1f-9".into(), number: 3 };
            assert_eq!(Handle::parse(&handle.id()), Some(handle.clone()), "{}", handle.id());
        }
    }

    #[test]
    fn what_is_no_id_says_nothing() {
        for id in [
            "",
            "run",
            "run.a.b",
            "run.job.uid.3",
            "create-job.job.execution.uid.3",
            "walk.job.run.uid.3",
            VALIDATED,
            "create-job..uid.3",
            "run.job.a/b.uid.3",
        ] {
            assert_eq!(Handle::parse(id), None, "{id}");
        }
    }
}
