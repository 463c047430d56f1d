//! The services on the wire. Each method is one call: what it does stands in the file of its service.

use std::time::Duration;

use axum::Router;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::fault::Fault;
use super::messages::iam::v1 as iam;
use super::messages::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    ListOperationsResponse, Operation, WaitOperationRequest,
};
use super::messages::v2;
use super::operations::MAX_WAIT;
use super::{CloudRun, Empty};

/// What `build.rs` writes.
mod generated {
    #![expect(clippy::pedantic, unreachable_pub, reason = "generated code")]

    include!(concat!(env!("OUT_DIR"), "/google.cloud.run.v2.Jobs.rs"));
    include!(concat!(env!("OUT_DIR"), "/google.cloud.run.v2.Executions.rs"));
    include!(concat!(env!("OUT_DIR"), "/google.cloud.run.v2.Tasks.rs"));
    include!(concat!(env!("OUT_DIR"), "/google.longrunning.Operations.rs"));
}

use generated::executions_server::{Executions, ExecutionsServer};
use generated::jobs_server::{Jobs, JobsServer};
use generated::operations_server::{Operations, OperationsServer};
use generated::tasks_server::{Tasks, TasksServer};

/// The services, and gRPC's own health service, which says that they serve.
pub(super) fn router(api: &CloudRun) -> Router {
    let gzip = CompressionEncoding::Gzip;
    let (_, health) = tonic_health::server::health_reporter();
    Routes::new(health)
        .add_service(JobsServer::new(api.clone()).accept_compressed(gzip))
        .add_service(ExecutionsServer::new(api.clone()).accept_compressed(gzip))
        .add_service(TasksServer::new(api.clone()).accept_compressed(gzip))
        .add_service(OperationsServer::new(api.clone()).accept_compressed(gzip))
        .into_axum_router()
}

type Answer<T> = Result<Response<T>, Status>;

/// Time for a call. What the API server has not answered by then it will not; clients give up much later, or never.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to a call, if it comes in time.
async fn in_time<T>(within: Duration, call: impl Future<Output = Result<T, Fault>>) -> Answer<T> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => Ok(Response::new(answer?)),
        Err(_) => Err(Fault::late().into()),
    }
}

/// A service: each method is one call, with its fault as a status. Those after `patient` take their time; those after
/// `without` are not there.
macro_rules! service {
    (
        $service:ident { $($method:ident($request:ty) -> $answer:ty;)* }
        $(patient { $($slow:ident($asked:ty) -> $end:ty;)* })?
        $(without $why:literal { $($missing:ident($unread:ty) -> $nothing:ty;)* })?
    ) => {
        #[tonic::async_trait]
        impl $service for CloudRun {
            $(async fn $method(&self, request: Request<$request>) -> Answer<$answer> {
                let api = self.on_behalf_of(request.extensions());
                in_time(PATIENCE, CloudRun::$method(&api, request.into_inner())).await
            })*
            $($(async fn $slow(&self, request: Request<$asked>) -> Answer<$end> {
                let api = self.on_behalf_of(request.extensions());
                in_time(MAX_WAIT + PATIENCE, CloudRun::$slow(&api, request.into_inner())).await
            })*)?
            $($(async fn $missing(&self, _: Request<$unread>) -> Answer<$nothing> {
                Err(Status::unimplemented($why))
            })*)?
        }
    };
}

service! {
    Jobs {
        create_job(v2::CreateJobRequest) -> Operation;
        get_job(v2::GetJobRequest) -> v2::Job;
        list_jobs(v2::ListJobsRequest) -> v2::ListJobsResponse;
        update_job(v2::UpdateJobRequest) -> Operation;
        delete_job(v2::DeleteJobRequest) -> Operation;
        run_job(v2::RunJobRequest) -> Operation;
    }
    without "access is a matter of Kubernetes RBAC; there are no IAM policies here" {
        get_iam_policy(iam::GetIamPolicyRequest) -> iam::Policy;
        set_iam_policy(iam::SetIamPolicyRequest) -> iam::Policy;
        test_iam_permissions(iam::TestIamPermissionsRequest) -> iam::TestIamPermissionsResponse;
    }
}

service! {
    Executions {
        get_execution(v2::GetExecutionRequest) -> v2::Execution;
        list_executions(v2::ListExecutionsRequest) -> v2::ListExecutionsResponse;
        delete_execution(v2::DeleteExecutionRequest) -> Operation;
        cancel_execution(v2::CancelExecutionRequest) -> Operation;
    }
}

service! {
    Tasks {
        get_task(v2::GetTaskRequest) -> v2::Task;
        list_tasks(v2::ListTasksRequest) -> v2::ListTasksResponse;
    }
}

service! {
    Operations {
        get_operation(GetOperationRequest) -> Operation;
        list_operations(ListOperationsRequest) -> ListOperationsResponse;
        delete_operation(DeleteOperationRequest) -> Empty;
        cancel_operation(CancelOperationRequest) -> Empty;
    }
    patient { wait_operation(WaitOperationRequest) -> Operation; }
}
