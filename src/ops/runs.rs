//! What one does to a run: ask for it, stop it, look at it, wait for its end.

use futures::{Stream, StreamExt};
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use serde_json::{Value, json};
use uuid::Uuid;

use super::accept::{Accepted, accept, find};
use super::error::Error;
use super::objects::{Mode, create, get, list};
use crate::api::{Execution, FIELD_MANAGER, Job, Overrides};
use crate::plan;
use crate::plan::Planned;

/// Runs the Job of that name once, by hand.
///
/// `nonce` makes the request repeatable: the same nonce at the same Job is the same run. Without one each call is a
/// run of its own.
pub async fn run(
    client: &Client,
    namespace: &str,
    job: &str,
    nonce: Option<&str>,
) -> Result<Accepted, Error> {
    let job: Job = get(client, namespace, job).await?;
    let random = Uuid::new_v4().to_string();
    let planned = plan::manual(&job, nonce.unwrap_or(&random), None)?;
    accept_within_limits(client, &job, &planned).await
}

/// Accepts a run of `job` as it is now, unless the Job lets no more of them wait.
pub async fn accept_within_limits(client: &Client, job: &Job, planned: &Planned) -> Result<Accepted, Error> {
    let Some(limit) = plan::is_full(job, 0) else { return accept(client, planned).await };
    let job = job.metadata.name.clone().unwrap_or_default();
    find(client, planned).await?.ok_or(Error::QueueFull { job, limit })
}

/// Runs that Job once, with those overrides, and returns the run. In [`Mode::Validate`] only says what it would be.
///
/// `nonce` is that of [`run`].
pub async fn run_with(
    client: &Client,
    job: &Job,
    nonce: Option<&str>,
    overrides: Option<&Overrides>,
    mode: Mode,
) -> Result<Execution, Error> {
    let random = Uuid::new_v4().to_string();
    let planned = plan::manual(job, nonce.unwrap_or(&random), overrides)?;
    match mode {
        Mode::Commit => {
            let accepted = accept_within_limits(client, job, &planned).await?;
            get(client, planned.namespace(), &accepted.execution).await
        }
        // The first name will do: the run itself will have another.
        Mode::Validate => {
            let name = planned.names().first().map(String::as_str).unwrap_or_default();
            create(client, &planned.named(name), mode).await
        }
    }
}

/// Repeats a run, with its snapshot and its event; or each of its failed tasks, as runs of one task.
///
/// `nonce` is that of [`run`]: a request that is repeated with it completes what is missing.
pub async fn rerun(
    client: &Client,
    old: &Execution,
    failed_tasks: bool,
    nonce: Option<&str>,
) -> Result<Vec<Accepted>, Error> {
    let job = Box::pin(job_of(client, old)).await?;
    let tasks = if failed_tasks {
        let task_set = Box::pin(task_set(client, old)).await?;
        plan::failed_tasks(old, task_set.as_ref())?.into_iter().map(Some).collect()
    } else {
        vec![None]
    };
    let random = Uuid::new_v4().to_string();
    let mut started = Vec::new();
    for task in tasks {
        let planned = plan::rerun(old, task, nonce.unwrap_or(&random));
        started.push(Box::pin(accept_within_limits(client, &job, &planned)).await?);
    }
    Ok(started)
}

/// The Job of that run, if it is still there: what runs without it goes with it.
async fn job_of(client: &Client, run: &Execution) -> Result<Box<Job>, Error> {
    let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
    let reference = &run.spec.job;
    let job: Option<Job> = match get(client, namespace, &reference.name).await {
        Err(Error::NotFound { .. }) => None,
        found => Some(found?),
    };
    let is_there = |job: &Job| {
        job.metadata.uid.as_deref() == Some(&reference.uid) && job.metadata.deletion_timestamp.is_none()
    };
    let gone = || {
        let name = run.metadata.name.clone().unwrap_or_default();
        plan::NotRerun::JobGone(reference.name.clone(), name)
    };
    Ok(Box::new(job.filter(is_there).ok_or_else(gone)?))
}

/// Asks a run to stop. Asking again, or too late, changes nothing.
pub async fn cancel(client: &Client, namespace: &str, execution: &str) -> Result<Execution, Error> {
    stop(client, namespace, execution, json!({"spec": {"cancelled": true}}), Mode::Commit).await
}

/// The same for that very run, if it is still as it was read: a change in between is [`Error::Conflict`].
pub async fn cancel_exactly(client: &Client, execution: &Execution, mode: Mode) -> Result<Execution, Error> {
    let metadata = &execution.metadata;
    let exactly = json!({"uid": metadata.uid, "resourceVersion": metadata.resource_version});
    let patch = json!({"metadata": exactly, "spec": {"cancelled": true}});
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    stop(client, namespace, metadata.name.as_deref().unwrap_or_default(), patch, mode).await
}

async fn stop(
    client: &Client,
    namespace: &str,
    execution: &str,
    patch: Value,
    mode: Mode,
) -> Result<Execution, Error> {
    let api: Api<Execution> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams {
        dry_run: mode == Mode::Validate,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = api.patch(execution, &parameters, &Patch::Merge(patch)).await;
    patched.map_err(|error| Error::of::<Execution>(error, execution))
}

/// Everything that is known of a run.
#[derive(Debug, Clone)]
pub struct Description {
    /// The run.
    pub execution: Execution,
    /// Its task set, while there is one.
    pub task_set: Option<batchv1::Job>,
    /// The attempts of its tasks that still have a Pod, by index and attempt.
    pub pods: Vec<Pod>,
    /// What was reported of it, oldest first.
    pub events: Vec<Event>,
}

/// Gathers what is known of a run.
pub async fn describe(client: &Client, namespace: &str, execution: &str) -> Result<Description, Error> {
    let found: Execution = get(client, namespace, execution).await?;
    let task_set = task_set(client, &found).await?;
    let pods = pods(client, namespace, execution).await?;
    let events = events(client, &found).await?;
    Ok(Description { execution: found, task_set, pods, events })
}

/// The task set of a run, while there is one.
pub async fn task_set(client: &Client, execution: &Execution) -> Result<Option<batchv1::Job>, Error> {
    let namespace = execution.metadata.namespace.as_deref().unwrap_or_default();
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    match get::<batchv1::Job>(client, namespace, name).await {
        Ok(task_set) => Ok(Some(task_set).filter(|task_set| plan::owns(execution, &task_set.metadata))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The Pods of a run, by index and attempt.
pub async fn pods(client: &Client, namespace: &str, execution: &str) -> Result<Vec<Pod>, Error> {
    let mut pods: Vec<Pod> = list(client, Some(namespace), Some(&plan::selector(execution))).await?;
    pods.sort_by_cached_key(|pod| {
        let attempt = plan::Attempt::of(pod);
        (attempt.index(), attempt.number(), pod.metadata.creation_timestamp.clone().map(|time| time.0))
    });
    Ok(pods)
}

async fn events(client: &Client, execution: &Execution) -> Result<Vec<Event>, Error> {
    let namespace = execution.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    let parameters = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let found = api.list(&parameters).await.map_err(|error| Error::of::<Event>(error, name))?;
    let uid = execution.metadata.uid.as_deref();
    let mut events: Vec<_> =
        found.items.into_iter().filter(|event| event.involved_object.uid.as_deref() == uid).collect();
    events.sort_by_cached_key(|event| event.event_time.as_ref().map(|time| time.0));
    Ok(events)
}

/// The run's states, from now on; `None` while or once it does not exist.
///
/// Broken connections are mended; an error is an item, and the stream goes on after it.
pub fn watch(
    client: &Client,
    namespace: &str,
    execution: &str,
) -> impl Stream<Item = Result<Option<Execution>, Error>> + Send + 'static {
    let api: Api<Execution> = Api::namespaced(client.clone(), namespace);
    watch_object(api, execution)
        .default_backoff()
        .map(|item| item.map_err(|error| Error::Watch(Box::new(error))))
}

/// Waits until a run has ended. Set a deadline around it; it has none of its own.
pub async fn wait(client: &Client, namespace: &str, execution: &str) -> Result<Execution, Error> {
    let mut states = std::pin::pin!(watch(client, namespace, execution));
    let mut seen = false;
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(found)) if plan::is_terminal(&found) => return Ok(found),
            Ok(Some(_)) => seen = true,
            Ok(None) if seen => {
                return Err(Error::Nothing(format!("execution {execution} was deleted before it ended")));
            }
            Ok(None) => return Err(Error::not_found::<Execution>(execution)),
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Err(Error::Nothing(format!("the watch of execution {execution} ended")))
}

/// Whether a watch's error will not mend by itself.
fn is_final(error: &Error) -> bool {
    let Error::Watch(error) = error else { return false };
    let code = match error.as_ref() {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status)
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        _ => return false,
    };
    matches!(code, 401 | 403 | 404)
}
