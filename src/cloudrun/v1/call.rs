//! What a request of the v1 API asks for, read from its method and path.
//!
//! `:run` and `:cancel` are part of the last segment, and a name never has a colon; so paths are taken apart here and not
//! by the router.

use super::tasks::run_of;
use crate::auth::{Right, Verb};
use crate::cloudrun::access::{EXECUTIONS, JOBS, of_job, of_place, of_run, of_run_named};
use crate::cloudrun::fault::Fault;
use crate::cloudrun::metrics::Method;
use crate::cloudrun::names::Place;
use crate::triggers::is_object_name;

/// A request on the objects of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    ListJobs,
    CreateJob,
    GetJob(String),
    ReplaceJob(String),
    DeleteJob(String),
    RunJob(String),
    ListExecutions,
    GetExecution(String),
    CancelExecution(String),
    DeleteExecution(String),
    ListTasks,
    GetTask(String),
}

impl Call {
    /// Reads the method and what follows the namespace.
    pub(super) fn parse(method: &http::Method, path: &str) -> Result<Self, Fault> {
        let (kind, name) = match path.trim_end_matches('/').split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (path.trim_end_matches('/'), None),
        };
        let (name, verb) = match name.map(|name| name.split_once(':').unwrap_or((name, ""))) {
            Some((name, verb)) if is_object_name(name) => (Some(name.to_owned()), verb),
            Some((name, _)) => return Err(Fault::not_found(kind.trim_end_matches('s'), name)),
            None => (None, ""),
        };
        let call = match (method.as_str(), kind, verb, name) {
            ("GET", "jobs", "", None) => Call::ListJobs,
            ("POST", "jobs", "", None) => Call::CreateJob,
            ("GET", "jobs", "", Some(name)) => Call::GetJob(name),
            ("PUT", "jobs", "", Some(name)) => Call::ReplaceJob(name),
            ("DELETE", "jobs", "", Some(name)) => Call::DeleteJob(name),
            ("POST", "jobs", "run", Some(name)) => Call::RunJob(name),
            ("GET", "executions", "", None) => Call::ListExecutions,
            ("GET", "executions", "", Some(name)) => Call::GetExecution(name),
            ("POST", "executions", "cancel", Some(name)) => Call::CancelExecution(name),
            ("DELETE", "executions", "", Some(name)) => Call::DeleteExecution(name),
            ("GET", "tasks", "", None) => Call::ListTasks,
            ("GET", "tasks", "", Some(name)) => Call::GetTask(name),
            _ => return Err(Fault::no_such_route(method, path)),
        };
        Ok(call)
    }

    /// What it is called where calls are counted.
    pub(super) fn method(&self) -> Method {
        match self {
            Call::ListJobs => Method::list_jobs,
            Call::CreateJob => Method::create_job,
            Call::GetJob(_) => Method::get_job,
            Call::ReplaceJob(_) => Method::update_job,
            Call::DeleteJob(_) => Method::delete_job,
            Call::RunJob(_) => Method::run_job,
            Call::ListExecutions => Method::list_executions,
            Call::GetExecution(_) => Method::get_execution,
            Call::CancelExecution(_) => Method::cancel_execution,
            Call::DeleteExecution(_) => Method::delete_execution,
            Call::ListTasks => Method::list_tasks,
            Call::GetTask(_) => Method::get_task,
        }
    }

    /// The rights that it takes. What is in its body may take more.
    pub(super) fn needs(&self, place: &Place) -> Vec<Right> {
        match self {
            Call::ListJobs => of_place(Verb::List, JOBS, place),
            Call::CreateJob => of_place(Verb::Create, JOBS, place),
            Call::GetJob(name) => of_job(Verb::Get, &place.job(name)),
            Call::ReplaceJob(name) => of_job(Verb::Update, &place.job(name)),
            Call::DeleteJob(name) => of_job(Verb::Delete, &place.job(name)),
            Call::RunJob(name) => of_run(&place.job(name), false),
            Call::GetExecution(name) => of_run_named(Verb::Get, place, name),
            Call::CancelExecution(name) => of_run_named(Verb::Patch, place, name),
            Call::DeleteExecution(name) => of_run_named(Verb::Delete, place, name),
            Call::ListExecutions | Call::ListTasks => of_place(Verb::List, EXECUTIONS, place),
            Call::GetTask(name) => of_run_named(Verb::Get, place, run_of(name)),
        }
    }
}

/// The region that a client means: `gcloud` puts it before the host name. Of hosts that do not say one, `elsewhere`.
pub(super) fn region<'a>(host: &'a str, elsewhere: &'a str) -> &'a str {
    let mut parts = host.splitn(3, '-');
    let (Some(area), Some(place), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return elsewhere;
    };
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase());
    let number = place.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let is_region = is_word(area) && is_number && number.len() < place.len();
    if is_region { host.get(..area.len() + 1 + place.len()).unwrap_or(elsewhere) } else { elsewhere }
}

/// What all retries of one command have in common: `gcloud` sends `:run` up to five times for one.
pub(super) fn invocation(user_agent: &str) -> Option<&str> {
    let id = user_agent.split_whitespace().find_map(|word| word.strip_prefix("invocation-id/"))?;
    let is_id = (16..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_id.then_some(id)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn verbs_follow_the_name() {
        let job = || "resize".to_owned();
        for (method, path, call) in [
            (Method::GET, "jobs", Some(Call::ListJobs)),
            (Method::GET, "jobs/", Some(Call::ListJobs)),
            (Method::POST, "jobs", Some(Call::CreateJob)),
            (Method::PUT, "jobs/resize", Some(Call::ReplaceJob(job()))),
            (Method::POST, "jobs/resize:run", Some(Call::RunJob(job()))),
            (Method::POST, "executions/resize:cancel", Some(Call::CancelExecution(job()))),
            (Method::GET, "tasks/resize", Some(Call::GetTask(job()))),
            (Method::POST, "jobs/resize:cancel", None),
            (Method::GET, "jobs/resize:run", None),
            (Method::POST, "jobs/resize", None),
            (Method::GET, "jobs/..", None),
            (Method::GET, "jobs/a/b", None),
            (Method::GET, "jobs/:run", None),
            (Method::GET, "services", None),
            (Method::PATCH, "jobs/resize", None),
        ] {
            assert_eq!(Call::parse(&method, path).ok(), call, "{method} {path}");
        }
    }

    #[test]
    fn a_region_stands_before_the_host() {
        for (host, found) in [
            ("us-central1-anything.invalid:80", "us-central1"),
            ("northamerica-northeast1-run.example.com", "northamerica-northeast1"),
            ("us-central1", "local"),
            ("run.example.com", "local"),
            ("my-nice-host", "local"),
            ("127.0.0.1:8422", "local"),
            ("", "local"),
        ] {
            assert_eq!(region(host, "local"), found, "{host}");
        }
    }

    #[test]
    fn retries_of_one_command_are_known() {
        let agent = "google-cloud-sdk gcloud/528.0.0 command/gcloud.run.jobs.execute invocation-id/0123456789abcdef0123456789abcdef environment/None";
        assert_eq!(invocation(agent), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(invocation("curl/8"), None);
        assert_eq!(invocation("x invocation-id/"), None);
    }
}
