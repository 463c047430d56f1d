//! The controller of runs: look, plan, apply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;

use super::world::{Key, World, key};
use super::{Clock, apply, live};
use crate::api::Execution;
use crate::ops;
use crate::plan::{self, Observed, Plan};

/// Least time between two writes of one status that only count on. A run of 10,000 tasks changes its counts hundreds
/// of times a second.
const PACE: Duration = Duration::from_millis(500);

/// What the controller works with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) world: Arc<World>,
    pub(super) recorder: Recorder,
    pub(super) clock: Clock,
}

impl Context {
    /// How long a status write that may wait should wait.
    fn pause(&self, key: &Key) -> Option<Duration> {
        let written = self.world.written.lock().get(key).copied()?;
        PACE.checked_sub(written.elapsed()).filter(|pause| !pause.is_zero())
    }
}

/// One step of one run.
pub(super) async fn reconcile(
    execution: Arc<Execution>,
    context: Arc<Context>,
) -> Result<Action, ops::Error> {
    let now = (context.clock)();
    let (execution, plan) = match plan(&context, &execution, now).await? {
        Planned::Step(plan) => (execution, plan),
        Planned::Afresh(fresh, plan) => (Arc::new(*fresh), plan),
        Planned::Gone => return Ok(Action::await_change()),
    };
    let key = key(&execution.metadata);
    if plan.minor
        && let Some(pause) = context.pause(&key)
    {
        return Ok(Action::requeue(pause));
    }
    let wake = plan.wake;
    let ends = plan.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    let writes = plan.status.is_some();
    apply::apply(&context.client, &context.recorder, &execution, plan, now).await?;
    if writes && !ends {
        context.world.wrote(key);
    }
    Ok(wake.map_or_else(Action::await_change, |wake| Action::requeue(until(wake, now))))
}

fn until(wake: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(wake.duration_since(now)).unwrap_or_default()
}

/// What is to be done.
enum Planned {
    /// This, which makes nothing.
    Step(Plan),
    /// This, to the run as it is now.
    Afresh(Box<Execution>, Plan),
    /// Nothing: the run does not exist any more.
    Gone,
}

/// Plans from the caches, and asks the API server where they must not be believed.
async fn plan(context: &Context, execution: &Execution, now: Timestamp) -> Result<Planned, ops::Error> {
    let plan = step(context, execution, now, Trust::Caches).await?;
    if plan.create.is_none() {
        return Ok(Planned::Step(plan));
    }
    // The cache leaves out the event and the template: tasks are only made from the run as it is now.
    let Some(fresh) = live::execution(&context.client, execution).await? else { return Ok(Planned::Gone) };
    // And while a watch is broken nothing new is made from what it last said of the rest.
    let doubtful = context.world.health.is_doubtful(Instant::now());
    let trust = if doubtful { Trust::Nothing } else { Trust::Caches };
    let plan = step(context, &fresh, now, trust).await?;
    Ok(Planned::Afresh(Box::new(fresh), plan))
}

/// What a step is planned from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Caches,
    Nothing,
}

async fn step(
    context: &Context,
    execution: &Execution,
    now: Timestamp,
    trust: Trust,
) -> Result<Plan, ops::Error> {
    let Context { client, world, .. } = context;
    let view = world.view(execution);
    let template = match view.template {
        Some(template) if trust == Trust::Caches => template,
        Some(_) | None => live::template(client, execution).await?,
    };
    let mut task_set = view.task_set;
    if trust == Trust::Nothing || plan::doubts_task_set(execution, task_set.as_deref(), template) {
        task_set = live::task_set(client, execution).await?.map(Arc::new);
    }
    let mut observed = Observed {
        execution,
        template,
        task_set: task_set.as_deref(),
        pods: &view.pods,
        pods_are_fresh: false,
    };
    let plan = plan::run(&observed, now);
    if !plan.look_again {
        return Ok(plan);
    }
    let pods = live::pods(client, execution).await?;
    observed.pods = &pods;
    observed.pods_are_fresh = true;
    Ok(plan::run(&observed, now))
}
