//! The v2 API over REST: the same methods as over gRPC, found by path, in JSON.
//!
//! A method looks itself whether the caller may ask for that, whichever transport brought it; so no check stands here, and
//! none can be missing.

mod call;
mod transcode;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::CloudRun;
use super::fault::Fault;
use super::grpc::PATIENCE;
use super::operations::MAX_WAIT;
use super::rest::{self, MAX_BODY, answer, in_time};
use call::{Asked, Call};
use transcode::{
    EXECUTION, Enums, JOB, LIST_EXECUTIONS_RESPONSE, LIST_JOBS_RESPONSE, LIST_OPERATIONS_RESPONSE,
    LIST_TASKS_RESPONSE, OPERATION, TASK, write,
};

/// The routes of this API.
pub(super) fn router(api: &CloudRun) -> Router {
    Router::new()
        .route("/v2/{*path}", any(serve))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api.clone())
}

async fn serve(
    api: CloudRun,
    Path(path): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Response {
    let read = timeout(PATIENCE, Box::pin(read(&path, query, request))).await;
    match read.unwrap_or_else(|_| Err(Fault::late())) {
        Ok((call, enums)) => {
            let is_patient = matches!(call, Call::WaitOperation(_));
            let within = if is_patient { MAX_WAIT + PATIENCE } else { PATIENCE };
            let method = call.method();
            method.at(in_time(within, Box::pin(async { answer(api.v2(call, enums).await) })).await)
        }
        Err(fault) => answer::<()>(Err(fault)),
    }
}

/// What is asked for, and how the answer is to be written.
async fn read(
    path: &str,
    query: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<(Call, Enums), Fault> {
    let Query(asked) = query.map_err(|rejection| Fault::invalid_field("", rejection.body_text()))?;
    let (method, enums) = (request.method().clone(), asked.enums());
    let body = rest::body(Bytes::from_request(request, &()).await)?;
    Ok((Call::parse(&method, path, asked, &body)?, enums))
}

impl CloudRun {
    async fn v2(&self, call: Call, enums: Enums) -> Result<Value, Fault> {
        let operation = |found| Ok(write(&OPERATION, &found, enums));
        match call {
            Call::CreateJob(request) => operation(self.create_job(*request).await?),
            Call::GetJob(request) => Ok(write(&JOB, &self.get_job(request).await?, enums)),
            Call::ListJobs(request) => Ok(write(&LIST_JOBS_RESPONSE, &self.list_jobs(request).await?, enums)),
            Call::UpdateJob(request) => operation(self.update_job(*request).await?),
            Call::DeleteJob(request) => operation(self.delete_job(request).await?),
            Call::RunJob(request) => operation(self.run_job(request).await?),
            Call::GetExecution(request) => Ok(write(&EXECUTION, &self.get_execution(request).await?, enums)),
            Call::ListExecutions(request) => {
                Ok(write(&LIST_EXECUTIONS_RESPONSE, &self.list_executions(request).await?, enums))
            }
            Call::DeleteExecution(request) => operation(self.delete_execution(request).await?),
            Call::CancelExecution(request) => operation(self.cancel_execution(request).await?),
            Call::GetTask(request) => Ok(write(&TASK, &self.get_task(request).await?, enums)),
            Call::ListTasks(request) => {
                Ok(write(&LIST_TASKS_RESPONSE, &self.list_tasks(request).await?, enums))
            }
            Call::GetOperation(request) => operation(self.get_operation(request).await?),
            Call::ListOperations(request) => {
                Ok(write(&LIST_OPERATIONS_RESPONSE, &self.list_operations(request).await?, enums))
            }
            Call::WaitOperation(request) => operation(self.wait_operation(request).await?),
            Call::DeleteOperation(request) => self.delete_operation(request).await.map(|()| json!({})),
            Call::CancelOperation(request) => self.cancel_operation(request).await.map(|()| json!({})),
        }
    }
}
