//! Looks at the API server itself, for the few questions that a cache must not answer.

use std::sync::Arc;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use super::world::{key, template_of};
use crate::api::{Execution, Job};
use crate::ops;
use crate::plan::Template;

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
