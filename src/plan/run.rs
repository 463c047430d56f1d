//! The next step of a run: (Execution, its Job, task set, Pods, now) → [`Plan`].
//!
//! The function starts from the world each time and knows nothing of what it said before, except what the status
//! keeps: that the tasks were made once (`Starting` and everything after it), and that the run has ended, which is for
//! good. The order in which a plan is to be applied is the order of its fields; a crash between two of them is mended by
//! planning again.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::admission::{Fate, Standing};
use super::attempt::Attempt;
use super::notice::Notice;
use super::phase::{Phase, phase};
use super::progress::Progress;
use super::start::{self, Start};
use super::verdict::{Verdict, tasks};
use super::{files, ownership, standing, task_set};
use crate::api::{Condition, Execution, ExecutionStatus, Reason};

/// Annotation on a task set that we stopped: the reason, a blank, and the message. It tells our stop from a queue's
/// that holds the task set back, and keeps the reason over a crash.
const ANNOTATION_STOPPED: &str = "run.kakehi.dev/stopped";

/// How long to wait for the garbage collector to take what an earlier Execution of the same name left.
const LEFTOVER_PAUSE: SignedDuration = SignedDuration::from_secs(2);

/// How soon a run is looked at again of which nothing is told because it is about to start. If it is not, it says so then.
const SOON: SignedDuration = SignedDuration::from_secs(15);

/// What a step is planned from.
#[derive(Debug, Clone)]
pub struct Observed<'a> {
    /// The run.
    pub execution: &'a Execution,
    /// What its Job says about starting.
    pub template: Template,
    /// Whether it has a place among the runs that may be under way.
    pub standing: Standing,
    /// The `batch/v1` Job of its name. That there is none must be certain where the status says that there was one.
    pub task_set: Option<&'a batchv1::Job>,
    /// Its Pods.
    pub pods: &'a [Arc<Pod>],
    /// Whether the Pods were listed just now, and are not from a cache that may lag behind the task set.
    pub pods_are_fresh: bool,
    /// Why the Job controller cannot make Pods, in its words; asked for where the Pods were listed and there are none.
    pub complaint: Option<&'a str>,
}

/// What the Job of a run says about starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Go.
    Active,
    /// Not now.
    Suspended,
    /// It does not exist any more, or is being deleted.
    Gone,
}

/// What to do, in this order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The cache lags behind: list the Pods and plan again. Nothing else is in such a plan.
    pub look_again: bool,
    /// Make the tasks.
    pub create: Option<Box<Tasks>>,
    /// Stop the tasks: a merge patch for the `batch/v1` Job.
    pub stop: Option<Value>,
    /// Let more or fewer tasks run at a time: a merge patch for the `batch/v1` Job.
    pub adjust: Option<Value>,
    /// Write this status; absent if it would say what it says now.
    pub status: Option<Box<ExecutionStatus>>,
    /// Whether that status only counts on; such a write may wait for the next.
    pub minor: bool,
    /// Report this once the status is written.
    pub notice: Option<Notice>,
    /// Plan again at that time, should nothing happen before.
    pub wake: Option<Timestamp>,
}

/// The objects that carry the tasks of a run, in the order in which they are created.
#[derive(Debug, Clone, PartialEq)]
pub struct Tasks {
    /// The event's files, where there is an event.
    pub files: Vec<ConfigMap>,
    /// The `batch/v1` Job.
    pub task_set: batchv1::Job,
}

/// The next step of a run.
pub fn run(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let execution = observed.execution;
    let phase = phase(execution);
    if phase.is_terminal() || execution.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    match observed.task_set {
        Some(task_set) if ownership::owns(execution, &task_set.metadata) => {
            tasks_exist(observed, task_set, now)
        }
        Some(other) if !tasks_were_made(phase) && ownership::is_leftover(execution, &other.metadata) => {
            Plan { wake: now.saturating_add(LEFTOVER_PAUSE).ok(), ..Plan::default() }
        }
        Some(_) if !tasks_were_made(phase) => refused(execution, NAME_TAKEN, now),
        Some(_) | None => tasks_are_missing(observed, phase, now),
    }
}

/// Why a run cannot go on when its name belongs to somebody else.
pub const NAME_TAKEN: &str = "an object of this name exists and belongs to something else";

/// The end of a run whose tasks the API server does not accept.
pub fn refused(execution: &Execution, message: &str, now: Timestamp) -> Plan {
    end(execution, None, &Verdict::failed(Reason::Refused, message, now))
}

/// The step of a run whose tasks cannot be made for now: it waits, and says why.
///
/// Held back for as long as its start deadline, without a break, it ends; nothing waits for ever. Time for which its Job
/// was suspended does not count.
pub fn held_back(execution: &Execution, message: &str, now: Timestamp) -> Plan {
    if start::deadline(execution, standing::held_since(execution, now)) <= now {
        return refused(execution, message, now);
    }
    status_only(execution, standing::held(execution, message, now))
}

/// Whether what a cache says of the task set must be asked of the API server first.
///
/// A cache may not have seen yet what was made a moment ago, and may still show what is gone. That matters where a
/// missing or foreign task set is the run's end.
pub fn doubts_task_set(
    execution: &Execution,
    cached: Option<&batchv1::Job>,
    template: Template,
    fate: &Fate,
) -> bool {
    let phase = phase(execution);
    if phase.is_terminal() {
        return false;
    }
    match cached {
        Some(task_set) => !ownership::owns(execution, &task_set.metadata),
        None => {
            tasks_were_made(phase) || execution.spec.cancelled || template == Template::Gone || fate.is_end()
        }
    }
}

/// Whether Pods were taken away from a run that goes on, as it happens where its namespace is being deleted.
///
/// That deletes Pods before anything else and waits for them; but of an index that is to be tried again, the Job controller
/// keeps the failed Pod until it has made the next one, which nobody can there. Both would wait for ever.
pub fn doubts_namespace(execution: &Execution, task_set: Option<&batchv1::Job>, pods: &[Arc<Pod>]) -> bool {
    let Some(task_set) = task_set.filter(|task_set| ownership::owns(execution, &task_set.metadata)) else {
        return false;
    };
    let attempts = attempts(task_set, pods);
    !start::is_suspended(task_set) && attempts.iter().any(|attempt| attempt.was_taken_away())
}

fn tasks_were_made(phase: Phase) -> bool {
    match phase {
        Phase::Starting | Phase::Running | Phase::Cancelling => true,
        Phase::Pending | Phase::Queued | Phase::Succeeded | Phase::Failed | Phase::Cancelled => false,
    }
}

fn tasks_are_missing(observed: &Observed<'_>, phase: Phase, now: Timestamp) -> Plan {
    let execution = observed.execution;
    if execution.spec.cancelled {
        let verdict = Verdict::failed(Reason::Cancelled, "cancelled on request", now);
        return end(execution, None, &verdict);
    }
    let Standing { fate, until } = &observed.standing;
    if let Fate::End { reason, message } = fate {
        return end(execution, None, &Verdict::failed(*reason, message, now));
    }
    if tasks_were_made(phase) {
        let message = "the batch/v1 Job was deleted by somebody else";
        return end(execution, None, &Verdict::failed(Reason::JobLost, message, now));
    }
    let wait = |message: &str| Plan {
        wake: *until,
        ..status_only(execution, standing::waiting(execution, Reason::Queued, message, now))
    };
    match (observed.template, fate) {
        (Template::Gone, _) => {
            let message = format!("job {} was deleted before the run started", execution.spec.job.name);
            end(execution, None, &Verdict::failed(Reason::JobNotFound, message, now))
        }
        // What is to end has ended above.
        (Template::Suspended, _) => wait(&format!("job {} is suspended", execution.spec.job.name)),
        (Template::Active, Fate::Wait { message }) => wait(message),
        (Template::Active, Fate::Soon | Fate::End { .. }) => {
            Plan { wake: now.saturating_add(SOON).ok(), ..Plan::default() }
        }
        (Template::Active, Fate::Go) => match files::files(execution) {
            Err(error) => refused(execution, &format!("the event of this run is no event: {error}"), now),
            Ok(files) => {
                let tasks = Tasks { files, task_set: task_set::task_set(execution) };
                let message = "the tasks wait for their Pods";
                let status = standing::waiting(execution, Reason::Starting, message, now);
                Plan { create: Some(Box::new(tasks)), ..status_only(execution, status) }
            }
        },
    }
}

fn tasks_exist(observed: &Observed<'_>, task_set: &batchv1::Job, now: Timestamp) -> Plan {
    let execution = observed.execution;
    let attempts = attempts(task_set, observed.pods);
    let progress = Progress::of(execution, task_set, &attempts);
    let verdict = Verdict::of(execution, task_set, &progress, now)
        .or_else(|| stopped(execution, task_set, &progress, now));
    if let Some(verdict) = verdict {
        if progress.incomplete && !observed.pods_are_fresh {
            return Plan { look_again: true, ..Plan::default() };
        }
        return end(execution, Some(&progress), &verdict);
    }
    if let Some((reason, message)) = wanted_stop(observed, task_set) {
        let stop = (!is_stopped(task_set)).then(|| stop(reason, message));
        let status = standing::cancelling(execution, &progress, now);
        return Plan { stop, ..status_only(execution, status) };
    }
    let plan = on_the_way(observed, task_set, (&progress, &attempts), now);
    let adjust = if plan.stop.is_some() || plan.look_again { None } else { adjust(execution, task_set) };
    Plan { adjust, ..plan }
}

/// The step of a run that has not ended and shall go on.
fn on_the_way(
    observed: &Observed<'_>,
    task_set: &batchv1::Job,
    (progress, attempts): (&Progress, &[Attempt<'_>]),
    now: Timestamp,
) -> Plan {
    let execution = observed.execution;
    match start::start(execution, task_set, progress, (attempts, observed.complaint), now) {
        Start::Held => {
            let message = "the batch/v1 Job is suspended by a queue";
            let status =
                standing::progressing(execution, progress, (Reason::Queued, message.to_owned()), now);
            status_only(execution, status)
        }
        Start::Waiting { until, obstacle } => {
            let why = obstacle.unwrap_or((Reason::Starting, "the tasks wait for their Pods".to_owned()));
            let status = standing::progressing(execution, progress, why, now);
            Plan { wake: Some(until), ..status_only(execution, status) }
        }
        Start::Started => {
            let message = format!("{} of {} done", progress.done(), tasks(progress.total));
            status_only(
                execution,
                standing::progressing(execution, progress, (Reason::Running, message), now),
            )
        }
        Start::Abandoned { until } if now < until => {
            let message = "the batch/v1 Job is suspended by somebody else".to_owned();
            let status = standing::progressing(execution, progress, (Reason::Queued, message), now);
            Plan { wake: Some(until), ..status_only(execution, status) }
        }
        Start::Abandoned { .. } => {
            let message = "the batch/v1 Job was suspended by somebody else, and not resumed";
            let verdict = Verdict::failed(Reason::JobLost, message, now);
            let stop = stop(verdict.reason, &verdict.message);
            Plan { stop: Some(stop), ..end(execution, Some(progress), &verdict) }
        }
        // The end of a run needs more than a cache that has not seen its first container yet.
        Start::Late { .. } if !observed.pods_are_fresh => Plan { look_again: true, ..Plan::default() },
        Start::Late { reason, message } => {
            let verdict = Verdict::failed(reason, message, now);
            let stop = stop(verdict.reason, &verdict.message);
            Plan { stop: Some(stop), ..end(execution, Some(progress), &verdict) }
        }
    }
}

/// Why tasks that exist are to stop, if they are. A later run that took the place of this one has it for good.
fn wanted_stop<'a>(observed: &'a Observed<'_>, task_set: &'a batchv1::Job) -> Option<(Reason, &'a str)> {
    if let Some(stopped) = stop_of(task_set).filter(|(reason, _)| *reason == Reason::Replaced) {
        return Some(stopped);
    }
    if observed.execution.spec.cancelled {
        return Some((Reason::Cancelled, "cancelled on request"));
    }
    match &observed.standing.fate {
        Fate::End { reason, message } => Some((*reason, message)),
        Fate::Go | Fate::Soon | Fate::Wait { .. } => None,
    }
}

/// The patch that gives the tasks the parallelism that the run asks for, whoever changed it. A queue that holds task sets back
/// may start one with fewer tasks at a time: there only what was asked for in words goes before its word.
fn adjust(execution: &Execution, task_set: &batchv1::Job) -> Option<Value> {
    if execution.spec.parallelism.is_none() && start::is_queued(task_set) {
        return None;
    }
    let wanted = task_set::parallelism(execution);
    let found = task_set.spec.as_ref().and_then(|spec| spec.parallelism);
    (found.is_some_and(|found| found != wanted)).then(|| json!({"spec": {"parallelism": wanted}}))
}

/// The Pods of that very task set, not of one of the same name before it.
fn attempts<'a>(task_set: &batchv1::Job, pods: &'a [Arc<Pod>]) -> Vec<Attempt<'a>> {
    let uid = task_set.metadata.uid.as_deref();
    let is_mine = |pod: &&Arc<Pod>| {
        let mut owners = pod.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
    };
    pods.iter().filter(is_mine).map(|pod| Attempt::of(pod)).collect()
}

/// The end of a run that we stopped, once nothing of it runs any more.
fn stopped(
    execution: &Execution,
    task_set: &batchv1::Job,
    progress: &Progress,
    now: Timestamp,
) -> Option<Verdict> {
    let (reason, message) = stop_of(task_set)?;
    if !is_asked_for(reason) {
        // Nothing had started, so there is nothing to wait for.
        return Some(Verdict::failed(reason, message, now));
    }
    if reason == Reason::Cancelled && !execution.spec.cancelled || !is_quiet(task_set) {
        return None;
    }
    // The last task may have succeeded while it was asked to stop.
    if progress.succeeded == progress.total {
        return Some(Verdict::succeeded(progress, Time(now)));
    }
    Some(Verdict::stopped((reason, message), progress, Time(now)))
}

/// Whether somebody wanted a run to stop that may have been running.
fn is_asked_for(reason: Reason) -> bool {
    matches!(reason, Reason::Cancelled | Reason::Replaced)
}

/// Whether the Job controller has seen the suspension and every Pod is gone.
fn is_quiet(task_set: &batchv1::Job) -> bool {
    task_set.status.as_ref().is_some_and(|status| {
        let mut conditions = status.conditions.iter().flatten();
        let suspended =
            conditions.any(|condition| condition.type_ == "Suspended" && condition.status == "True");
        suspended && status.active.unwrap_or(0) == 0 && status.terminating.unwrap_or(0) == 0
    })
}

fn is_stopped(task_set: &batchv1::Job) -> bool {
    start::is_suspended(task_set) && stop_of(task_set).is_some()
}

/// The patch that stops a task set and says why.
fn stop(reason: Reason, message: &str) -> Value {
    json!({
        "metadata": {"annotations": {ANNOTATION_STOPPED: format!("{reason} {message}")}},
        "spec": {"suspend": true},
    })
}

/// Why we stopped a task set, if we did.
fn stop_of(task_set: &batchv1::Job) -> Option<(Reason, &str)> {
    let text = task_set.metadata.annotations.as_ref()?.get(ANNOTATION_STOPPED)?;
    let (word, message) = text.split_once(' ').unwrap_or((text, ""));
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word)?;
    Some((*reason, message))
}

fn end(execution: &Execution, progress: Option<&Progress>, verdict: &Verdict) -> Plan {
    status_only(execution, standing::ended(execution, progress, verdict))
}

/// A plan that writes `status` if it says anything new, and reports what changed.
fn status_only(execution: &Execution, status: ExecutionStatus) -> Plan {
    if execution.status.as_ref() == Some(&status) {
        return Plan::default();
    }
    let old = execution.status.as_ref();
    let notice = Notice::between(old, &status);
    let minor = old.is_some_and(|old| says_the_same(&old.conditions, &status.conditions));
    Plan { status: Some(Box::new(status)), minor, notice, ..Plan::default() }
}

/// Whether two lists of conditions differ at most in their messages.
fn says_the_same(old: &[Condition], new: &[Condition]) -> bool {
    let words = |list: &[Condition]| -> Vec<(String, String, String)> {
        list.iter().map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone())).collect()
    };
    words(old) == words(new)
}

#[cfg(test)]
mod tests;
