//! Writes the gRPC server traits of the Cloud Run Admin API over the published message crate: it has clients only.
//! Pure Rust: no protoc, no `.proto` files.

use tonic_build::manual::{Builder, Method, Service};

const RUN: &str = "::googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2";
const IAM: &str = "::googleapis_tonic_google_cloud_run_v2::google::iam::v1";
const LONG_RUNNING: &str = "::googleapis_tonic_google_cloud_run_v2::google::longrunning";
/// `google.protobuf.Empty` is `()` to prost, which is no path; the crate has a name for it.
const EMPTY: &str = "crate::cloudrun::Empty";

/// A method: its name in snake case and in the protocol, its request and its answer.
type Row = (&'static str, &'static str, (&'static str, &'static str), (&'static str, &'static str));

const JOBS: &[Row] = &[
    ("create_job", "CreateJob", (RUN, "CreateJobRequest"), (LONG_RUNNING, "Operation")),
    ("get_job", "GetJob", (RUN, "GetJobRequest"), (RUN, "Job")),
    ("list_jobs", "ListJobs", (RUN, "ListJobsRequest"), (RUN, "ListJobsResponse")),
    ("update_job", "UpdateJob", (RUN, "UpdateJobRequest"), (LONG_RUNNING, "Operation")),
    ("delete_job", "DeleteJob", (RUN, "DeleteJobRequest"), (LONG_RUNNING, "Operation")),
    ("run_job", "RunJob", (RUN, "RunJobRequest"), (LONG_RUNNING, "Operation")),
    ("get_iam_policy", "GetIamPolicy", (IAM, "GetIamPolicyRequest"), (IAM, "Policy")),
    ("set_iam_policy", "SetIamPolicy", (IAM, "SetIamPolicyRequest"), (IAM, "Policy")),
    (
        "test_iam_permissions",
        "TestIamPermissions",
        (IAM, "TestIamPermissionsRequest"),
        (IAM, "TestIamPermissionsResponse"),
    ),
];

const EXECUTIONS: &[Row] = &[
    ("get_execution", "GetExecution", (RUN, "GetExecutionRequest"), (RUN, "Execution")),
    ("list_executions", "ListExecutions", (RUN, "ListExecutionsRequest"), (RUN, "ListExecutionsResponse")),
    ("delete_execution", "DeleteExecution", (RUN, "DeleteExecutionRequest"), (LONG_RUNNING, "Operation")),
    ("cancel_execution", "CancelExecution", (RUN, "CancelExecutionRequest"), (LONG_RUNNING, "Operation")),
];

const TASKS: &[Row] = &[
    ("get_task", "GetTask", (RUN, "GetTaskRequest"), (RUN, "Task")),
    ("list_tasks", "ListTasks", (RUN, "ListTasksRequest"), (RUN, "ListTasksResponse")),
];

const OPERATIONS: &[Row] = &[
    (
        "list_operations",
        "ListOperations",
        (LONG_RUNNING, "ListOperationsRequest"),
        (LONG_RUNNING, "ListOperationsResponse"),
    ),
    ("get_operation", "GetOperation", (LONG_RUNNING, "GetOperationRequest"), (LONG_RUNNING, "Operation")),
    ("delete_operation", "DeleteOperation", (LONG_RUNNING, "DeleteOperationRequest"), (EMPTY, "")),
    ("cancel_operation", "CancelOperation", (LONG_RUNNING, "CancelOperationRequest"), (EMPTY, "")),
    ("wait_operation", "WaitOperation", (LONG_RUNNING, "WaitOperationRequest"), (LONG_RUNNING, "Operation")),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let services = [
        service("google.cloud.run.v2", "Jobs", JOBS),
        service("google.cloud.run.v2", "Executions", EXECUTIONS),
        service("google.cloud.run.v2", "Tasks", TASKS),
        service("google.longrunning", "Operations", OPERATIONS),
    ];
    Builder::new().build_client(false).build_server(true).compile(&services);
}

fn service(package: &str, name: &str, methods: &[Row]) -> Service {
    let mut builder = Service::builder().package(package).name(name);
    for (snake, camel, input, output) in methods {
        let method = Method::builder()
            .name(*snake)
            .route_name(*camel)
            .input_type(path(*input))
            .output_type(path(*output))
            .codec_path("::tonic_prost::ProstCodec");
        builder = builder.method(method.build());
    }
    builder.build()
}

fn path((module, message): (&str, &str)) -> String {
    if message.is_empty() { module.to_owned() } else { format!("{module}::{message}") }
}
