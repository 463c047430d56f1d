//! Looks at the API server itself, for the few questions that a cache must not answer.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

use super::world::{key, template_of};
use crate::api::{Execution, Job};
use crate::ops;
use crate::plan::Template;

/// The reason of Events in which the Job controller says that it cannot make a Pod.
const FAILED_CREATE: &str = "FailedCreate";
/// Events of one task set that are looked through.
const MAX_EVENTS: u32 = 500;
/// Longest complaint that is repeated, in characters.
const MAX_WORDS: usize = 300;

/// The `batch/v1` Job of that run's name, whoever owns it.
pub(super) async fn task_set(
    client: &Client,
    execution: &Execution,
) -> Result<Option<batchv1::Job>, ops::Error> {
    let (namespace, name) = key(&execution.metadata);
    found(ops::get(client, &namespace, &name).await)
}

/// What the run's Job says about starting.
pub(super) async fn template(client: &Client, execution: &Execution) -> Result<Template, ops::Error> {
    let (namespace, _) = key(&execution.metadata);
    let job: Option<Job> = found(ops::get(client, &namespace, &execution.spec.job.name).await)?;
    Ok(job.and_then(|job| template_of(&job, execution)).unwrap_or(Template::Gone))
}

/// The run's Pods.
pub(super) async fn pods(client: &Client, execution: &Execution) -> Result<Vec<Arc<Pod>>, ops::Error> {
    let (namespace, name) = key(&execution.metadata);
    Ok(ops::pods(client, &namespace, &name).await?.into_iter().map(Arc::new).collect())
}

/// Why the Job controller could not make a Pod the last time that it tried, as it reports it in an Event. Only words hang on
/// it, so a question that fails has no answer.
pub(super) async fn complaint(client: &Client, task_set: &batchv1::Job) -> Option<String> {
    let (namespace, name) = key(&task_set.metadata);
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let about = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(MAX_EVENTS);
    let found = match events.list(&about).await {
        Ok(found) => found.items,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot read why there are no Pods");
            return None;
        }
    };
    let is_mine = |event: &&Event| {
        event.involved_object.uid == task_set.metadata.uid && event.reason.as_deref() == Some(FAILED_CREATE)
    };
    let time = |event: &&Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or_else(|| event.event_time.as_ref().map(|time| time.0))
    };
    let last = found.iter().filter(is_mine).max_by_key(time)?;
    last.message.as_deref().map(|message| message.chars().take(MAX_WORDS).collect())
}

/// Whether that namespace is being deleted. Without an answer it is not.
pub(super) async fn is_leaving(client: &Client, namespace: &str) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_metadata_opt(namespace).await {
        Ok(found) => found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot read whether a namespace is deleted"
            );
            false
        }
    }
}

/// The run itself; none if it was deleted or is another one of the same name.
pub(super) async fn execution(
    client: &Client,
    execution: &Execution,
) -> Result<Option<Execution>, ops::Error> {
    let (namespace, name) = key(&execution.metadata);
    let now: Option<Execution> = found(ops::get(client, &namespace, &name).await)?;
    Ok(now.filter(|now| now.metadata.uid == execution.metadata.uid))
}

fn found<T>(result: Result<T, ops::Error>) -> Result<Option<T>, ops::Error> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(ops::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
