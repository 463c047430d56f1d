//! Does what a plan of a run says, in its order: files, tasks, stop, status, report. A crash in between is mended by
//! planning again, because every step finds its own work.

use std::fmt::Debug;
use std::time::Instant;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::object::HasStatus;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::accounts::Accounts;
use super::pace::{Answer, Pace};
use super::report::report;
use super::world::key;
use crate::api::{Execution, FIELD_MANAGER};
use crate::ops;
use crate::plan::{self, NAME_TAKEN, Plan, Tasks};

/// Does what `plan` says.
///
/// When the API server does not accept the tasks, the plan is replaced by the one that says so. Answers the version of
/// the run that the status was written as, if one was. How the tasks were taken decides how fast more are made.
pub(super) async fn apply(
    (client, accounts, pace): (&Client, &Accounts, &Mutex<Pace>),
    execution: &Execution,
    plan: Plan,
    now: Timestamp,
) -> Result<Option<String>, ops::Error> {
    let Plan { look_again: _, create, stop, adjust, status, minor: _, notice, wake: _ } = plan;
    let (mut status, mut notice) = (status, notice);
    let (mut again, mut version) = (None, None);
    if let Some(tasks) = create {
        let begun = Instant::now();
        let made = match allowed(accounts, execution).await {
            Ok(()) => {
                let made = make(client, execution, &tasks).await;
                pace.lock().answered(answer(&made), begun.elapsed(), Instant::now());
                made
            }
            refused => refused,
        };
        let instead = match made {
            Ok(()) => None,
            Err(Failure::Refused(message)) => Some(plan::refused(execution, &message, now)),
            Err(Failure::HeldBack(error)) => {
                let plan = plan::held_back(execution, &error.to_string(), now);
                again = Some(error);
                Some(plan)
            }
            Err(Failure::Later(error)) => return Err(error),
        };
        if let Some(instead) = instead {
            (status, notice) = (instead.status, instead.notice);
        }
    }
    for patch in stop.into_iter().chain(adjust) {
        change(client, execution, patch).await?;
    }
    if let Some(status) = status {
        version = write(client, execution, &status).await?;
    }
    if let Some(notice) = notice {
        report(client, execution, notice, now).await;
    }
    // A run that is held back is tried again like after any error that passes.
    again.map_or(Ok(version), Err)
}

/// Why the tasks could not be made.
enum Failure {
    /// They never will be.
    Refused(String),
    /// A quota is used up, or a right is missing: not for now, but somebody may mend it.
    HeldBack(ops::Error),
    /// Something that passes.
    Later(ops::Error),
}

impl From<ops::Error> for Failure {
    fn from(error: ops::Error) -> Self {
        match error {
            ops::Error::Rejected { message, .. } => Failure::Refused(message),
            ops::Error::OverQuota { .. } | ops::Error::Forbidden { .. } => Failure::HeldBack(error),
            ops::Error::NotFound { .. }
            | ops::Error::AlreadyExists { .. }
            | ops::Error::Refusal(_)
            | ops::Error::QueueFull { .. }
            | ops::Error::NotRerun(_)
            | ops::Error::Conflict { .. }
            | ops::Error::Unavailable(_)
            | ops::Error::TimedOut { .. }
            | ops::Error::NamesTaken { .. }
            | ops::Error::Nothing(_)
            | ops::Error::Log { .. }
            | ops::Error::Watch(_) => Failure::Later(error),
        }
    }
}

/// What the API server's answer says about how busy it is.
fn answer(made: &Result<(), Failure>) -> Answer {
    match made {
        Ok(()) => Answer::Taken,
        Err(Failure::Later(ops::Error::Unavailable(_) | ops::Error::TimedOut { .. })) => Answer::Overloaded,
        Err(Failure::Refused(_) | Failure::HeldBack(_) | Failure::Later(_)) => Answer::Else,
    }
}

/// Passes if the tasks may have the account that they name.
async fn allowed(accounts: &Accounts, execution: &Execution) -> Result<(), Failure> {
    let (namespace, _) = key(&execution.metadata);
    let refusal = accounts.refusal(&namespace, &execution.spec.template).await?;
    refusal.map_or(Ok(()), |message| Err(ops::Error::Forbidden { message }.into()))
}

/// Makes the files, then the tasks that mount them.
async fn make(client: &Client, execution: &Execution, tasks: &Tasks) -> Result<(), Failure> {
    let Tasks { files, task_set } = tasks;
    for object in files {
        create(client, execution, object).await?;
    }
    create(client, execution, task_set).await
}

/// Creates a child. One that is there already is fine if it is this run's.
async fn create<K>(client: &Client, execution: &Execution, child: &K) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let (namespace, name) = key(child.meta());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, child).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(ops::Error::of::<K>(error, &name).into()),
    }
    let there = api.get_metadata(&name).await.map_err(|error| ops::Error::of::<K>(error, &name))?.metadata;
    if plan::owns(execution, &there) && there.deletion_timestamp.is_none() {
        return Ok(());
    }
    if plan::owns(execution, &there) || plan::is_leftover(execution, &there) {
        let message = format!("{name} of an earlier run is still being deleted");
        return Err(Failure::Later(ops::Error::Conflict { message }));
    }
    Err(Failure::Refused(NAME_TAKEN.to_owned()))
}

/// Stops the task set, or lets it run otherwise. One that is gone needs neither.
async fn change(client: &Client, execution: &Execution, patch: Value) -> Result<(), ops::Error> {
    let (namespace, name) = key(&execution.metadata);
    let api: Api<batchv1::Job> = Api::namespaced(client.clone(), &namespace);
    match api.patch(&name, &parameters(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(error) => match ops::Error::of::<batchv1::Job>(error, &name) {
            ops::Error::NotFound { .. } => Ok(()),
            error => Err(error),
        },
    }
}

/// Writes a status, unless the object is no longer what the status was made from. Answers the version that came of it;
/// none if the object is gone.
pub(super) async fn write<K>(
    client: &Client,
    object: &K,
    status: &K::Status,
) -> Result<Option<String>, ops::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Serialize>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let (namespace, name) = key(object.meta());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let version = object.meta().resource_version.as_deref();
    let patch =
        json!({"metadata": {"resourceVersion": version}, "status": replacement(object.status(), status)});
    match api.patch_status(&name, &parameters(), &Patch::Merge(patch)).await {
        Ok(written) => Ok(written.meta().resource_version.clone()),
        Err(error) => match ops::Error::of::<K>(error, &name) {
            // It was deleted; there is nobody to tell.
            ops::Error::NotFound { .. } => Ok(None),
            error => Err(error),
        },
    }
}

/// The merge patch that turns `old` into `new`. What a merge patch does not name stays as it is, so what is to go is
/// named with null.
fn replacement<S: Serialize>(old: Option<&S>, new: &S) -> Value {
    fn drop_missing(old: &Value, new: &mut Value) {
        let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
        for (field, old) in old {
            drop_missing(old, new.entry(field).or_insert(Value::Null));
        }
    }
    let mut patch = json!(new);
    drop_missing(&json!(old), &mut patch);
    patch
}

/// Of every patch of ours.
pub(super) fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{ExecutionReference, JobStatus};

    fn status(latest: Option<ExecutionReference>) -> JobStatus {
        JobStatus { latest_created_execution: latest, ..JobStatus::default() }
    }

    fn run(name: &str, completed: bool) -> ExecutionReference {
        let time = || Time(Timestamp::UNIX_EPOCH);
        ExecutionReference {
            name: name.to_owned(),
            creation_timestamp: Some(time()),
            completion_timestamp: completed.then(time),
        }
    }

    #[test]
    fn what_a_new_status_does_not_say_any_more_is_removed() {
        let old = status(Some(run("a", true)));
        let patch = replacement(Some(&old), &status(Some(run("b", false))));
        let latest = &patch["latestCreatedExecution"];
        assert_eq!(latest["name"], "b");
        assert_eq!(latest.get("completionTimestamp"), Some(&Value::Null), "{patch}");
        let patch = replacement(Some(&old), &status(None));
        assert_eq!(patch.get("latestCreatedExecution"), Some(&Value::Null), "{patch}");
    }

    #[test]
    fn nothing_is_removed_that_was_never_there() {
        let new = status(Some(run("a", false)));
        assert_eq!(replacement(None, &new), json!(new));
        assert_eq!(replacement(Some(&status(Some(run("a", false)))), &new), json!(new));
    }

    #[test]
    fn a_right_that_is_missing_may_be_given_later() {
        let forbidden = ops::Error::Forbidden { message: "no".to_owned() };
        assert!(matches!(Failure::from(forbidden), Failure::HeldBack(_)));
        let over = ops::Error::OverQuota { message: "full".to_owned() };
        assert!(matches!(Failure::from(over), Failure::HeldBack(_)));
        let rejected = ops::Error::Rejected { code: 422, message: "bad".to_owned(), causes: Vec::new() };
        assert!(matches!(Failure::from(rejected), Failure::Refused(message) if message == "bad"));
    }
}
