//! What a request asks for, read from its method, path, query and body: the HTTP bindings of the v2 API.

use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tonic::Code;

use super::transcode::{CANCEL_EXECUTION_REQUEST, Enums, JOB, RUN_JOB_REQUEST, WAIT_OPERATION_REQUEST, read};
use crate::cloudrun::fault::Fault;
use crate::cloudrun::messages::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    WaitOperationRequest,
};
use crate::cloudrun::messages::v2;
use crate::cloudrun::metrics;

/// What of a query is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Asked {
    #[serde(rename = "$alt")]
    alt: String,
    job_id: String,
    validate_only: bool,
    allow_missing: bool,
    etag: String,
    page_size: i32,
    page_token: String,
    show_deleted: bool,
    filter: String,
}

impl Asked {
    /// How the client wants enums.
    pub(super) fn enums(&self) -> Enums {
        if self.alt.contains("enum-encoding=int") { Enums::Numbers } else { Enums::Names }
    }
}

/// A method with its request. Requests that hold a Job are large.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    CreateJob(Box<v2::CreateJobRequest>),
    GetJob(v2::GetJobRequest),
    ListJobs(v2::ListJobsRequest),
    UpdateJob(Box<v2::UpdateJobRequest>),
    DeleteJob(v2::DeleteJobRequest),
    RunJob(v2::RunJobRequest),
    GetExecution(v2::GetExecutionRequest),
    ListExecutions(v2::ListExecutionsRequest),
    DeleteExecution(v2::DeleteExecutionRequest),
    CancelExecution(v2::CancelExecutionRequest),
    GetTask(v2::GetTaskRequest),
    ListTasks(v2::ListTasksRequest),
    GetOperation(GetOperationRequest),
    ListOperations(ListOperationsRequest),
    WaitOperation(WaitOperationRequest),
    DeleteOperation(DeleteOperationRequest),
    CancelOperation(CancelOperationRequest),
}

impl Call {
    /// What it is called where calls are counted.
    pub(super) fn method(&self) -> metrics::Method {
        use metrics::Method;
        match self {
            Call::CreateJob(_) => Method::create_job,
            Call::GetJob(_) => Method::get_job,
            Call::ListJobs(_) => Method::list_jobs,
            Call::UpdateJob(_) => Method::update_job,
            Call::DeleteJob(_) => Method::delete_job,
            Call::RunJob(_) => Method::run_job,
            Call::GetExecution(_) => Method::get_execution,
            Call::ListExecutions(_) => Method::list_executions,
            Call::DeleteExecution(_) => Method::delete_execution,
            Call::CancelExecution(_) => Method::cancel_execution,
            Call::GetTask(_) => Method::get_task,
            Call::ListTasks(_) => Method::list_tasks,
            Call::GetOperation(_) => Method::get_operation,
            Call::ListOperations(_) => Method::list_operations,
            Call::WaitOperation(_) => Method::wait_operation,
            Call::DeleteOperation(_) => Method::delete_operation,
            Call::CancelOperation(_) => Method::cancel_operation,
        }
    }

    /// Reads a request; `path` is what follows the version. Whether names are names the methods see.
    pub(super) fn parse(method: &Method, path: &str, asked: Asked, body: &Value) -> Result<Self, Fault> {
        let nowhere = || Fault::no_such_route(method, &format!("/v2/{path}"));
        // A verb follows the last segment.
        let start = path.rfind('/').unwrap_or_default();
        let (name, verb) = match path.get(start..).and_then(|last| last.rfind(':')) {
            Some(at) => path.split_at(start + at),
            None => (path, ""),
        };
        let collection = Collection::of(name).ok_or_else(nowhere)?;
        let (parent, name) = (parent(name), name.to_owned());
        let Asked {
            alt: _,
            job_id,
            validate_only,
            allow_missing,
            etag,
            page_size,
            page_token,
            show_deleted,
            filter,
        } = asked;
        Ok(match (method.as_str(), collection, verb) {
            ("POST", Collection::Jobs, "") => {
                let job = Some(read(&JOB, body).map_err(in_job)?);
                Call::CreateJob(Box::new(v2::CreateJobRequest { parent, job, job_id, validate_only }))
            }
            ("GET", Collection::Jobs, "") => {
                Call::ListJobs(v2::ListJobsRequest { parent, page_size, page_token, show_deleted })
            }
            ("GET", Collection::Job, "") => Call::GetJob(v2::GetJobRequest { name }),
            ("PATCH", Collection::Job, "") => {
                let job = Some(v2::Job { name, ..read(&JOB, body).map_err(in_job)? });
                Call::UpdateJob(Box::new(v2::UpdateJobRequest { job, validate_only, allow_missing }))
            }
            ("DELETE", Collection::Job, "") => {
                Call::DeleteJob(v2::DeleteJobRequest { name, validate_only, etag })
            }
            ("POST", Collection::Job, ":run") => {
                Call::RunJob(v2::RunJobRequest { name, ..read(&RUN_JOB_REQUEST, body)? })
            }
            (_, Collection::Job, ":getIamPolicy" | ":setIamPolicy" | ":testIamPermissions") => {
                return Err(Fault::new(
                    Code::Unimplemented,
                    "access is a matter of Kubernetes RBAC; there are no IAM policies here",
                ));
            }
            ("GET", Collection::Executions, "") => Call::ListExecutions(v2::ListExecutionsRequest {
                parent,
                page_size,
                page_token,
                show_deleted,
            }),
            ("GET", Collection::Execution, "") => Call::GetExecution(v2::GetExecutionRequest { name }),
            ("DELETE", Collection::Execution, "") => {
                Call::DeleteExecution(v2::DeleteExecutionRequest { name, validate_only, etag })
            }
            ("POST", Collection::Execution, ":cancel") => Call::CancelExecution(v2::CancelExecutionRequest {
                name,
                ..read(&CANCEL_EXECUTION_REQUEST, body)?
            }),
            ("GET", Collection::Tasks, "") => {
                Call::ListTasks(v2::ListTasksRequest { parent, page_size, page_token, show_deleted })
            }
            ("GET", Collection::Task, "") => Call::GetTask(v2::GetTaskRequest { name }),
            ("GET", Collection::Operations, "") => Call::ListOperations(ListOperationsRequest {
                name: parent,
                filter,
                page_size,
                page_token,
                return_partial_success: false,
            }),
            ("GET", Collection::Operation, "") => Call::GetOperation(GetOperationRequest { name }),
            ("DELETE", Collection::Operation, "") => Call::DeleteOperation(DeleteOperationRequest { name }),
            ("POST", Collection::Operation, ":wait") => {
                Call::WaitOperation(WaitOperationRequest { name, ..read(&WAIT_OPERATION_REQUEST, body)? })
            }
            ("POST", Collection::Operation, ":cancel") => {
                Call::CancelOperation(CancelOperationRequest { name })
            }
            _ => return Err(nowhere()),
        })
    }
}

/// The body is the `job` of the request.
fn in_job(fault: Fault) -> Fault {
    super::super::jobs::within("job", fault)
}

/// What a path names: one of something, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collection {
    Jobs,
    Job,
    Executions,
    Execution,
    Tasks,
    Task,
    Operations,
    Operation,
}

impl Collection {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let words: Vec<&str> = parts.iter().copied().step_by(2).collect();
        let is_one = parts.len().is_multiple_of(2);
        Some(match (words.as_slice(), is_one) {
            (["projects", "locations", "jobs"], false) => Self::Jobs,
            (["projects", "locations", "jobs"], true) => Self::Job,
            (["projects", "locations", "jobs", "executions"], false) => Self::Executions,
            (["projects", "locations", "jobs", "executions"], true) => Self::Execution,
            (["projects", "locations", "jobs", "executions", "tasks"], false) => Self::Tasks,
            (["projects", "locations", "jobs", "executions", "tasks"], true) => Self::Task,
            (["projects", "locations", "operations"], false) => Self::Operations,
            (["projects", "locations", "operations"], true) => Self::Operation,
            _ => return None,
        })
    }
}

/// What a collection is in; of one of something, its collection.
fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLACE: &str = "projects/p/locations/l";

    fn parse(method: &Method, path: &str, asked: Asked, body: &Value) -> Result<Call, Fault> {
        Call::parse(method, &format!("{PLACE}/{path}"), asked, body)
    }

    fn call(method: &Method, path: &str) -> Call {
        parse(method, path, Asked::default(), &json!({})).unwrap()
    }

    #[test]
    fn paths_lead_to_methods() {
        let name = |rest: &str| format!("{PLACE}/{rest}");
        let request = v2::GetJobRequest { name: name("jobs/j") };
        assert_eq!(call(&Method::GET, "jobs/j"), Call::GetJob(request));
        let request = v2::ListExecutionsRequest { parent: name("jobs/-"), ..Default::default() };
        assert_eq!(call(&Method::GET, "jobs/-/executions"), Call::ListExecutions(request));
        let request = v2::CancelExecutionRequest { name: name("jobs/j/executions/e"), ..Default::default() };
        assert_eq!(call(&Method::POST, "jobs/j/executions/e:cancel"), Call::CancelExecution(request));
        let request = v2::GetTaskRequest { name: name("jobs/j/executions/e/tasks/t") };
        assert_eq!(call(&Method::GET, "jobs/j/executions/e/tasks/t"), Call::GetTask(request));
        let request = ListOperationsRequest { name: PLACE.to_owned(), ..Default::default() };
        assert_eq!(call(&Method::GET, "operations"), Call::ListOperations(request));
        let request = GetOperationRequest { name: name("operations/run.a.b.1") };
        assert_eq!(call(&Method::GET, "operations/run.a.b.1"), Call::GetOperation(request));
    }

    #[test]
    fn bodies_and_queries_are_part_of_the_request() {
        let asked = Asked { job_id: "j".to_owned(), validate_only: true, ..Asked::default() };
        let found = parse(&Method::POST, "jobs", asked, &json!({"client": "me"})).unwrap();
        let job = Some(v2::Job { client: "me".to_owned(), ..v2::Job::default() });
        let expected = v2::CreateJobRequest {
            parent: PLACE.to_owned(),
            job,
            job_id: "j".to_owned(),
            validate_only: true,
        };
        assert_eq!(found, Call::CreateJob(Box::new(expected)));
        let body = json!({"overrides": {"taskCount": 3, "timeout": "90s"}, "name": "another"});
        let Call::RunJob(found) = parse(&Method::POST, "jobs/j:run", Asked::default(), &body).unwrap() else {
            panic!("another method");
        };
        assert_eq!((found.name, found.overrides.unwrap().task_count), (format!("{PLACE}/jobs/j"), 3));
        let fault = parse(&Method::POST, "jobs", Asked::default(), &json!({"template": {"x": 1}}));
        assert_eq!(fault.unwrap_err().violations()[0].field, "job.template.x");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for (method, path) in [
            (Method::POST, "jobs/j"),
            (Method::GET, "jobs/j:run"),
            (Method::PUT, "jobs/j"),
            (Method::GET, "services"),
            (Method::GET, ""),
        ] {
            let fault = parse(&method, path, Asked::default(), &json!({})).unwrap_err();
            assert_eq!(fault.code, Code::NotFound, "{method} {path}");
        }
    }
}
