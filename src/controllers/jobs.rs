//! The controllers of Jobs and Triggers: sum up, forget, tell whether they are ready.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};

use super::accounts::Accounts;
use super::apply::write;
use super::world::{World, key};
use super::written::{Before, Standing};
use super::{Clock, ROLL_UP};
use crate::api::{Execution, Job, JobStatus, Trigger};
use crate::ops;
use crate::plan;
use crate::plan::{Entrance, Surroundings};

/// How often it is asked whether a Job's runs may use its account; an answer is believed for ten seconds.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What the controllers work with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) world: Arc<World>,
    pub(super) accounts: Arc<Accounts>,
    /// Where events can be sent.
    pub(super) sink_url: String,
    /// Whether senders have to say who they are there.
    pub(super) is_guarded: bool,
    pub(super) clock: Clock,
}

/// Sums up the runs of one Job and forgets those past its limits.
pub(super) async fn reconcile(job: Arc<Job>, context: Arc<Context>) -> Result<Action, ops::Error> {
    let Context { client, world, accounts, sink_url, is_guarded, clock } = context.as_ref();
    let entrance = Entrance { url: sink_url, is_guarded: *is_guarded };
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (this, version) = (key(&job.metadata), job.metadata.resource_version.as_deref());
    if let Standing::Behind(_) = world.summed.standing(&this, (version, None), Instant::now()) {
        // What is written now was written already, or is refused.
        return Ok(Action::requeue(ROLL_UP));
    }
    let refusal = accounts.refusal(&this.0, &job.spec.template).await?;
    let surroundings = Surroundings { entrance: Some(entrance), refusal: refusal.as_deref() };
    let now = clock();
    let (status, retention) = world.history.lock().with_runs(&job.metadata, |runs| {
        (plan::roll_up(&job, runs, surroundings, now), plan::retention(&job, runs, now))
    });
    if let Some(status) = status {
        sum_up(client, world, &job, &status).await?;
    }
    for (run, uid) in retention.delete {
        forget(client, (&this.0, &run), Some(uid)).await?;
    }
    let wake = retention.wake.map(|wake| {
        // A step that deleted something waits for the watch to say so before it counts again.
        Duration::try_from(wake.duration_since(now)).unwrap_or_default().max(Duration::from_secs(1))
    });
    // Of a right that is given or taken away no watch tells.
    let again = accounts.asks(&job.spec.template).then_some(ASK_AGAIN);
    Ok(wake.into_iter().chain(again).min().map_or_else(Action::await_change, Action::requeue))
}

/// Writes what a Job says of its runs.
async fn sum_up(client: &Client, world: &World, job: &Job, status: &JobStatus) -> Result<(), ops::Error> {
    let (job_key, version) = (key(&job.metadata), job.metadata.resource_version.clone());
    let before = Before { versions: vec![version.clone()], ..Before::default() };
    world.summed.begin(job_key.clone(), before, Instant::now());
    let written = write(client, job, status).await;
    // Of a write that failed or changed nothing, no watch brings anything.
    if !written.as_ref().is_ok_and(|new| new.is_some() && *new != version) {
        world.summed.forget(&job_key);
    }
    written.map(drop)
}

/// Deletes one run and, in the background, what belongs to it.
pub(super) async fn forget(
    client: &Client,
    (namespace, name): (&str, &str),
    uid: Option<String>,
) -> Result<(), ops::Error> {
    let runs: Api<Execution> = Api::namespaced(client.clone(), namespace);
    let mut parameters = DeleteParams::background();
    parameters.preconditions = Some(Preconditions { uid, resource_version: None });
    match runs.delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(error) => match ops::Error::of::<Execution>(error, name) {
            // It is gone, or it is another one by now.
            ops::Error::NotFound { .. } | ops::Error::Conflict { .. } => Ok(()),
            error => Err(error),
        },
    }
}

/// Tells whether one Trigger is ready.
pub(super) async fn reconcile_trigger(
    trigger: Arc<Trigger>,
    context: Arc<Context>,
) -> Result<Action, ops::Error> {
    let Context { client, world, accounts: _, sink_url: _, is_guarded: _, clock } = context.as_ref();
    let (namespace, _) = key(&trigger.metadata);
    let job_exists = world.jobs.get(&ObjectRef::new(&trigger.spec.job.name).within(&namespace)).is_some();
    if let Some(status) = plan::trigger_status(&trigger, job_exists, clock()) {
        write(client, trigger.as_ref(), &status).await?;
    }
    Ok(Action::await_change())
}
