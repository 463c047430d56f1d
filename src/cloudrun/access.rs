//! Who may ask for what: the one table from requests to rights of Kubernetes.
//!
//! | asked for | right |
//! |---|---|
//! | a Job, Jobs | `get`, `list` jobs |
//! | a Job made, changed, deleted | `create`, `update`, `delete` jobs; one that is made where it is missing: both of the first |
//! | a run | `create` executions; with overrides also `create` jobs/override of that Job |
//! | an Execution, Executions | `get`, `list` executions |
//! | a task, tasks | `get` of its Execution; tasks of any, or by label: `list` executions |
//! | an Execution cancelled, deleted | `patch`, `delete` executions |
//! | an operation | what its object takes to be read; its cancelling, that of the Execution |
//! | lines of a log | `get` pods/log |
//! | the page of a run | `get` of that Execution, and `get` pods/log |
//! | a Job with a `ServiceAccount` | also `use` or `impersonate` of that serviceaccount |
//!
//! A right to an override is a `create` of a subresource, as `pods/eviction` is: it is bound to the names of Jobs where that
//! is wanted. Cancelling is a `patch` because that is what it is at the API server, so kubectl, `kakehi` and this API take
//! the same right. A Job runs as its `ServiceAccount`, so whoever writes it must be allowed to have something run as that:
//! `impersonate` is Kubernetes' own word for it, which its roles `edit` and `admin` have; `use` allows this alone. The
//! account `default` is what every Pod has; nobody has to ask for it.
//!
//! Everything but gRPC's health service takes credentials, what there is no right for, too.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Extensions, HeaderValue, Method, StatusCode};
use tonic::{Code, Status};

use super::CloudRun;
use super::console;
use super::fault::Fault;
use super::messages::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    WaitOperationRequest,
};
use super::messages::v2;
use super::names::{ExecutionName, Executions, JobName, Jobs, OperationName, Place, TaskName};
use super::operations::{Handle, Verb as Operation};
use super::origin::Origin;
use super::request_id::RequestId;
use super::rest::answer;
use crate::api::Job;
use crate::auth::{self, Caller, Right, Verb};

/// gRPC's health service, which those ask who have no token: probes and load balancers. It says nothing of objects.
const HEALTH: &str = "/grpc.health.v1.Health/";
pub(super) const JOBS: &str = "jobs";
pub(super) const EXECUTIONS: &str = "executions";
const OVERRIDE: &str = "override";
/// The account of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// A request that takes rights: all of them.
pub(super) trait Ask {
    /// Which ones.
    fn needs(&self) -> Result<Vec<Right>, Fault>;
}

macro_rules! asks {
    ($($message:ty: |$request:ident| $needs:expr;)*) => {
        $(impl Ask for $message {
            fn needs(&self) -> Result<Vec<Right>, Fault> {
                let $request = self;
                Ok($needs)
            }
        })*
    };
}

asks! {
    v2::CreateJobRequest: |request| of_place(Verb::Create, JOBS, &Place::parse("parent", &request.parent)?);
    v2::GetJobRequest: |request| of_job(Verb::Get, &JobName::parse("name", &request.name)?);
    v2::ListJobsRequest: |request| of_place(Verb::List, JOBS, &Place::parse("parent", &request.parent)?);
    v2::UpdateJobRequest: |request| {
        let Some(job) = &request.job else { return Err(Fault::invalid_field("job", "is needed")) };
        let name = JobName::parse("job.name", &job.name)?;
        let mut needs = of_job(Verb::Update, &name);
        if request.allow_missing {
            needs.extend(of_place(Verb::Create, JOBS, &name.place));
        }
        needs
    };
    v2::DeleteJobRequest: |request| of_job(Verb::Delete, &JobName::parse("name", &request.name)?);
    v2::RunJobRequest: |request| {
        let name = JobName::parse("name", &request.name)?;
        let overrides = request.overrides.as_ref();
        of_run(&name, overrides.is_some_and(|overrides| *overrides != v2::run_job_request::Overrides::default()))
    };
    v2::GetExecutionRequest: |request| of_execution(Verb::Get, &ExecutionName::parse("name", &request.name)?);
    v2::ListExecutionsRequest: |request| {
        of_place(Verb::List, EXECUTIONS, &Jobs::parse("parent", &request.parent)?.place)
    };
    v2::DeleteExecutionRequest: |request| {
        of_execution(Verb::Delete, &ExecutionName::parse("name", &request.name)?)
    };
    v2::CancelExecutionRequest: |request| {
        of_execution(Verb::Patch, &ExecutionName::parse("name", &request.name)?)
    };
    v2::GetTaskRequest: |request| of_execution(Verb::Get, &TaskName::parse("name", &request.name)?.execution);
    v2::ListTasksRequest: |request| {
        let Executions { jobs, execution } = Executions::parse("parent", &request.parent)?;
        match execution {
            Some(execution) => of_run_named(Verb::Get, &jobs.place, &execution),
            None => of_place(Verb::List, EXECUTIONS, &jobs.place),
        }
    };
    GetOperationRequest: |request| of_operation(&request.name, false)?;
    WaitOperationRequest: |request| of_operation(&request.name, false)?;
    DeleteOperationRequest: |request| of_operation(&request.name, false)?;
    CancelOperationRequest: |request| of_operation(&request.name, true)?;
    ListOperationsRequest: |request| {
        let name = request.name.strip_suffix("/operations").unwrap_or(&request.name);
        of_place(Verb::List, EXECUTIONS, &Place::parse("name", name)?)
    };
}

/// What all of a kind take, or a new one.
pub(super) fn of_place(verb: Verb, resource: &'static str, place: &Place) -> Vec<Right> {
    vec![Right::to(verb, resource, &place.project)]
}

/// What a Job takes.
pub(super) fn of_job(verb: Verb, name: &JobName) -> Vec<Right> {
    vec![Right::to(verb, JOBS, &name.place.project).named(&name.job)]
}

fn of_execution(verb: Verb, name: &ExecutionName) -> Vec<Right> {
    of_run_named(verb, &name.job.place, &name.execution)
}

/// What an Execution takes.
pub(super) fn of_run_named(verb: Verb, place: &Place, execution: &str) -> Vec<Right> {
    vec![Right::to(verb, EXECUTIONS, &place.project).named(execution)]
}

/// What lines of logs take, and to know whose there are.
pub(super) fn of_logs(place: &Place) -> Vec<Right> {
    let mut needs = of_place(Verb::List, EXECUTIONS, place);
    needs.push(Right::to_core(Verb::Get, "pods", &place.project).below("log"));
    needs
}

/// What a run and its lines of logs take.
pub(super) fn of_log(place: &Place, execution: &str) -> Vec<Right> {
    let mut needs = of_run_named(Verb::Get, place, execution);
    needs.push(Right::to_core(Verb::Get, "pods", &place.project).below("log"));
    needs
}

/// What a run takes.
pub(super) fn of_run(name: &JobName, with_overrides: bool) -> Vec<Right> {
    let namespace = &name.place.project;
    let mut needs = vec![Right::to(Verb::Create, EXECUTIONS, namespace)];
    if with_overrides {
        needs.push(Right::to(Verb::Create, JOBS, namespace).named(&name.job).below(OVERRIDE));
    }
    needs
}

/// What the object of an operation takes. What is no operation is about nothing, and is not found.
fn of_operation(name: &str, is_cancelled: bool) -> Result<Vec<Right>, Fault> {
    let name = OperationName::parse("name", name)?;
    let Some(handle) = Handle::parse(&name.id) else { return Ok(Vec::new()) };
    let verb = if is_cancelled && handle.verb == Operation::Run { Verb::Patch } else { Verb::Get };
    let job = name.place.job(&handle.job);
    Ok(match &handle.execution {
        None => of_job(verb, &job),
        Some(execution) => of_execution(verb, &job.execution(execution)),
    })
}

impl CloudRun {
    /// The same for whoever was let in. Without anybody it allows nothing.
    pub(super) fn on_behalf_of(&self, extensions: &Extensions) -> Self {
        let origin = extensions.get().cloned().unwrap_or_default();
        let request_id = extensions.get().cloned().unwrap_or_default();
        Self { caller: extensions.get().cloned(), origin, request_id, ..self.clone() }
    }

    /// Passes if the caller may ask for that.
    pub(super) async fn admit(&self, request: &impl Ask) -> Result<(), Fault> {
        self.allow(&request.needs()?).await
    }

    /// Passes if the caller has all of these rights.
    pub(super) async fn allow(&self, needs: &[Right]) -> Result<(), Fault> {
        if self.gate.is_open() {
            return Ok(());
        }
        let caller = self.caller()?;
        for right in needs {
            self.gate.check(caller, std::slice::from_ref(right)).await?;
        }
        Ok(())
    }

    /// Passes if the caller may have something run as the `ServiceAccount` of that Job.
    pub(super) async fn allow_account(&self, job: &Job) -> Result<(), Fault> {
        let account = job.spec.template.spec.template.spec.service_account_name.as_deref();
        let Some(account) = account.filter(|name| !name.is_empty() && *name != DEFAULT_ACCOUNT) else {
            return Ok(());
        };
        if self.gate.is_open() {
            return Ok(());
        }
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let to = |verb| Right::to_core(verb, "serviceaccounts", namespace).named(account);
        Ok(self.gate.check(self.caller()?, &[to(Verb::Use), to(Verb::Impersonate)]).await?)
    }

    /// The name of the caller; none where nobody is asked.
    pub(super) fn user(&self) -> Option<&str> {
        self.caller.as_ref().and_then(Caller::identity).map(|identity| identity.user.as_str())
    }

    fn caller(&self) -> Result<&Caller, Fault> {
        self.caller.as_ref().ok_or_else(|| auth::Error::Missing.into())
    }
}

/// For handlers of axum: the API for whoever was let in.
impl FromRequestParts<CloudRun> for CloudRun {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &CloudRun) -> Result<Self, Infallible> {
        Ok(api.on_behalf_of(&parts.extensions))
    }
}

/// Stands before every route: nobody's body is read before it is known whose it is.
pub(super) async fn authenticate(State(api): State<CloudRun>, mut request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(HEALTH) {
        return next.run(request).await;
    }
    if api.gate.is_open()
        && let Some(fault) = of_page(&request)
    {
        return refusal(&request, fault);
    }
    match api.gate.admit(request.headers()).await {
        Ok(caller) => {
            let origin = Origin::of(&request);
            let request_id = RequestId::of(request.headers());
            request.extensions_mut().insert(origin);
            request.extensions_mut().insert(request_id);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => refusal(&request, error.into()),
    }
}

/// Where nobody is asked who he is, a web page must not get in. The host says nothing here: `gcloud` asks its proxy for any.
/// So besides what browsers say of pages, a request that brings something is of a type that a page cannot send without
/// asking first (Fetch standard, "CORS-safelisted request-header"). Google's clients say `application/json` in all of them.
///
/// What is made for browsers is asked for by its own name, too: a page may have given this address one of its own.
fn of_page(request: &Request) -> Option<Fault> {
    let (uri, headers) = (request.uri(), request.headers());
    let page = if uri.path().starts_with(console::PATH) && uri.authority().is_none() {
        auth::of_page_or_rebound(uri, headers)
    } else {
        auth::of_page(headers)
    };
    if let Some(page) = page {
        return Some(Fault::new(Code::PermissionDenied, page.to_string()));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_grpc(request) {
        return None;
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim();
    // A page asks first before it deletes.
    let is_fit = media_type.eq_ignore_ascii_case("application/json") || request.method() == Method::DELETE;
    (!is_fit).then(|| {
        let method = request.method();
        let words =
            format!("nobody is asked here who he is, so a {method} has the content type application/json");
        Fault::new(Code::PermissionDenied, words)
    })
}

/// Answers what is asked for where there is nothing.
pub(super) async fn nowhere(request: Request) -> Response {
    let mut fault = Fault::no_such_route(request.method(), request.uri().path());
    if is_grpc(&request) {
        // Its word for services and methods that are not there.
        fault.code = Code::Unimplemented;
    }
    refusal(&request, fault)
}

/// Whether it is to be answered in gRPC.
pub(super) fn is_grpc(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A refusal in the protocol of its request.
fn refusal(request: &Request, fault: Fault) -> Response {
    if is_grpc(request) {
        return Status::from(fault).into_http::<Body>();
    }
    let mut response = answer::<()>(Err(fault));
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kakehi\""));
    }
    response
}

impl From<auth::Error> for Fault {
    fn from(error: auth::Error) -> Self {
        let code = match &error {
            auth::Error::Missing | auth::Error::Unauthenticated => Code::Unauthenticated,
            auth::Error::Forbidden(_) => Code::PermissionDenied,
            auth::Error::Unavailable(_) => Code::Unavailable,
        };
        Fault::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "projects/shop/locations/local";

    fn rights(request: &impl Ask) -> Vec<String> {
        let named = |right: &Right| format!("{right:?}");
        let words = request.needs().unwrap();
        assert!(words.iter().all(|right| named(right).contains("namespace: \"shop\"")), "{words:?}");
        words.iter().map(Right::to_string).collect()
    }

    fn run(overrides: Option<v2::run_job_request::Overrides>) -> v2::RunJobRequest {
        v2::RunJobRequest { name: format!("{PLACE}/jobs/resize"), overrides, ..v2::RunJobRequest::default() }
    }

    #[test]
    fn what_is_overridden_takes_a_right_of_its_own() {
        let some = v2::run_job_request::Overrides { task_count: 2, ..Default::default() };
        assert_eq!(rights(&run(None)), ["executions"]);
        assert_eq!(rights(&run(Some(v2::run_job_request::Overrides::default()))), ["executions"]);
        assert_eq!(rights(&run(Some(some))), ["executions", "jobs/override"]);
    }

    #[test]
    fn an_operation_takes_what_its_object_takes() {
        let ask = |id: &str| {
            let request = CancelOperationRequest { name: format!("{PLACE}/operations/{id}") };
            request.needs().unwrap().iter().map(|right| format!("{right:?}")).collect::<Vec<_>>().concat()
        };
        let run = ask("run.resize.resize-abcde.uid.1");
        assert!(run.contains("verb: Patch") && run.contains("name: \"resize-abcde\""), "{run}");
        let job = ask("create-job.resize.uid.1");
        assert!(job.contains("verb: Get") && job.contains("\"jobs\""), "{job}");
        assert_eq!(ask("validated"), "");
    }

    #[test]
    fn what_may_make_a_job_takes_the_right_to_make_one() {
        let job = v2::Job { name: format!("{PLACE}/jobs/resize"), ..v2::Job::default() };
        let request = |allow_missing| v2::UpdateJobRequest {
            job: Some(job.clone()),
            allow_missing,
            ..v2::UpdateJobRequest::default()
        };
        assert_eq!((rights(&request(false)).len(), rights(&request(true)).len()), (1, 2));
    }
}
