//! The controller of runs: look, plan, apply.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::controller::Action;

use super::accounts::Accounts;
use super::jobs::forget;
use super::watches::{Queues, Wanted};
use super::world::{Key, World, key};
use super::written::{Before, Standing};
use super::{Clock, apply, live};
use crate::api::Execution;
use crate::ops;
use crate::plan::{self, Observed, Plan, Template};

/// How long a status waits that only counts on. A run of 10,000 tasks changes its counts hundreds of times a second; and
/// between the end of a run's last Pod and the end of its task set, which tells all, the Job controller takes a second
/// and two writes more.
const PACE: Duration = Duration::from_secs(2);

/// What the controller works with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) world: Arc<World>,
    pub(super) queues: Queues,
    pub(super) accounts: Arc<Accounts>,
    pub(super) clock: Clock,
}

/// Pause before a run is looked at again that may not start because a watch is broken.
const DOUBT: Duration = Duration::from_secs(1);

/// One step of one run, and then the first steps of those that it lets start.
pub(super) async fn reconcile(cached: Arc<Execution>, context: Arc<Context>) -> Result<Action, ops::Error> {
    let trying = Trying { world: context.world.clone(), run: key(&cached.metadata) };
    let done = take_step(cached, &context).await;
    drop(trying);
    context.queues.send(Wanted { executions: context.world.admit(), ..Wanted::default() }).await;
    done
}

/// A step of a run that may have been promised a place. Whatever becomes of it, others are not kept waiting for it.
struct Trying {
    world: Arc<World>,
    run: Key,
}

impl Drop for Trying {
    fn drop(&mut self) {
        self.world.tried(&self.run);
    }
}

async fn take_step(cached: Arc<Execution>, context: &Context) -> Result<Action, ops::Error> {
    let (now, key) = ((context.clock)(), key(&cached.metadata));
    let task_set = context.world.task_set(&cached);
    let task_set = task_set.and_then(|task_set| task_set.metadata.resource_version.clone());
    let known = (cached.metadata.resource_version.clone(), task_set);
    let standing = context.world.standing(&key, &known);
    if !context.world.shows(&cached) {
        // A newer one has come meanwhile and brings a step of its own, or the run has ended and nothing is noted of it
        // any more.
        return Ok(Action::await_change());
    }
    let (execution, trust) = match standing {
        Standing::Current => (cached, Trust::Caches),
        // The watch that brings what we wrote has it looked at again.
        Standing::Behind(left) => return Ok(Action::requeue(left)),
        Standing::Lost => match live::execution(&context.client, &cached).await? {
            Some(fresh) => (Arc::new(fresh), Trust::Nothing),
            None => return Ok(Action::await_change()),
        },
    };
    if trust == Trust::Caches && leaves(context, &execution).await? {
        return Ok(Action::await_change());
    }
    let (execution, plan) = match plan(context, &execution, now, trust).await? {
        Planned::Step(plan) => (execution, plan),
        Planned::Afresh(fresh, plan) => (Arc::new(*fresh), plan),
        Planned::Gone => return Ok(Action::await_change()),
        Planned::Later => return Ok(Action::requeue(DOUBT)),
    };
    if plan.minor {
        let left = PACE.saturating_sub(context.world.counts(&key));
        if !left.is_zero() {
            return Ok(Action::requeue(left));
        }
    }
    let wake = plan.wake;
    carry_out(context, &execution, plan, now, known).await?;
    Ok(wake.map_or_else(Action::await_change, |wake| Action::requeue(until(wake, now))))
}

/// Deletes a run whose namespace is being deleted and waits for the run's Pods, and says whether it was so.
async fn leaves(context: &Context, execution: &Execution) -> Result<bool, ops::Error> {
    let Context { client, world, .. } = context;
    let view = world.view(execution);
    let (namespace, name) = key(&execution.metadata);
    if !plan::doubts_namespace(execution, view.task_set.as_deref(), &view.pods)
        || !live::is_leaving(client, &namespace).await
    {
        return Ok(false);
    }
    tracing::info!("the namespace is being deleted, and with it the run");
    forget(client, (&namespace, &name), execution.metadata.uid.clone()).await?;
    Ok(true)
}

/// Applies a plan that was made when the caches knew those versions of the run and its task set.
async fn carry_out(
    context: &Context,
    execution: &Execution,
    plan: Plan,
    now: Timestamp,
    (cached, task_set): (Option<String>, Option<String>),
) -> Result<(), ops::Error> {
    let Context { client, world, queues: _, accounts, clock: _ } = context;
    let (key, over) = (key(&execution.metadata), execution.metadata.resource_version.clone());
    let writes_task_set = plan.create.is_some() || plan.stop.is_some() || plan.adjust.is_some();
    let writes_run = plan.status.is_some();
    if !writes_run && !writes_task_set {
        return apply::apply((client, accounts, &world.pace), execution, plan, now).await.map(drop);
    }
    let versions = if writes_run { vec![cached, over.clone()] } else { Vec::new() };
    let task_set = if writes_task_set { vec![task_set] } else { Vec::new() };
    world.writes(&key, Before { versions, task_set });
    let written = apply::apply((client, accounts, &world.pace), execution, plan, now).await;
    let is_news = |version: &Option<String>| !writes_run || (version.is_some() && *version != over);
    // Of a write that failed or changed nothing, no watch brings anything.
    if !written.as_ref().is_ok_and(is_news) {
        world.written.forget(&key);
    }
    written.map(drop)
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
    /// Nothing for now: too little is known.
    Later,
}

/// Plans from the caches, and asks the API server where they must not be believed.
async fn plan(
    context: &Context,
    execution: &Execution,
    now: Timestamp,
    trust: Trust,
) -> Result<Planned, ops::Error> {
    let plan = step(context, execution, now, trust).await?;
    if plan.create.is_none() {
        return Ok(Planned::Step(plan));
    }
    // The cache leaves out the event and the template: tasks are only made from the run as it is now.
    let Some(fresh) = live::execution(&context.client, execution).await? else { return Ok(Planned::Gone) };
    let plan = step(context, &fresh, now, trust).await?;
    // While a watch is broken nothing new is made from what it last said.
    if plan.create.is_some() && !context.world.health.is_good() {
        return Ok(Planned::Later);
    }
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
    let Context { client, world, queues: _, accounts: _, clock: _ } = context;
    let (view, standing) = (world.view(execution), world.place(execution, now));
    let template = match view.template {
        Some(template) if trust == Trust::Caches => template,
        Some(_) | None => live::template(client, execution).await?,
    };
    let mut task_set = view.task_set;
    if trust == Trust::Nothing
        || plan::doubts_task_set(execution, task_set.as_deref(), template, &standing.fate)
    {
        task_set = live::task_set(client, execution).await?.map(Arc::new);
    }
    give_back(context, execution, template).await?;
    let mut observed = Observed {
        execution,
        template,
        standing,
        task_set: task_set.as_deref(),
        pods: &view.pods,
        pods_are_fresh: false,
        complaint: None,
    };
    let plan = plan::run(&observed, now);
    if !plan.look_again {
        return Ok(plan);
    }
    let pods = live::pods(client, execution).await?;
    let complaint = match observed.task_set {
        Some(task_set) if pods.is_empty() => live::complaint(client, task_set).await,
        Some(_) | None => None,
    };
    observed.pods = &pods;
    observed.pods_are_fresh = true;
    observed.complaint = complaint.as_deref();
    Ok(plan::run(&observed, now))
}

/// Gives back the place of a run whose Job was suspended before it took it. It must be certain that it did not.
async fn give_back(context: &Context, execution: &Execution, template: Template) -> Result<(), ops::Error> {
    let (Context { client, world, queues: _, accounts: _, clock: _ }, run) =
        (context, key(&execution.metadata));
    if template == Template::Suspended
        && world.is_promised(&run)
        && live::task_set(client, execution).await?.is_none()
    {
        world.withdraw(&run);
    }
    Ok(())
}
