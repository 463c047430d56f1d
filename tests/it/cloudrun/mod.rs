//! The API of Cloud Run, driven by the clients of Google's own message crate over a real connection.

mod access;
mod console;
mod executions;
mod jobs;
mod life;
mod metrics;
mod operations;
mod rest;
mod tasks;

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::longrunning;
use googleapis_tonic_google_cloud_run_v2::google::rpc;
use kakehi::auth::Gate;
use kakehi::cloudrun::CloudRun;
use kakehi::listen::Listener;
use prost::Message;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use longrunning::operation::Result as Outcome;
use longrunning::operations_client::OperationsClient;
use v2::executions_client::ExecutionsClient;
use v2::jobs_client::JobsClient;
use v2::tasks_client::TasksClient;

use crate::runs::House;
use crate::support::cluster;
use crate::support::eventually;
use crate::support::wire::Wire;

/// The API over a machine that runs Jobs, and clients of it.
pub(crate) struct Api {
    pub(crate) house: House,
    /// Between the API and its API server.
    pub(crate) wire: Wire,
    pub(crate) jobs: JobsClient<Channel>,
    pub(crate) executions: ExecutionsClient<Channel>,
    pub(crate) tasks: TasksClient<Channel>,
    pub(crate) health: HealthClient<Channel>,
    pub(crate) operations: OperationsClient<Channel>,
    pub(crate) server: CloudRun,
    /// Where it listens.
    pub(crate) address: std::net::SocketAddr,
    _running: DropGuard,
}

impl Api {
    /// Everything runs.
    pub(crate) async fn start() -> Self {
        let mut api = Self::without_controllers().await;
        api.house.start_controllers();
        api
    }

    /// Jobs are kept, but nothing looks after them.
    pub(crate) async fn without_controllers() -> Self {
        let house = House::without_controllers().await;
        let client = house.client.clone();
        Self::by(house, &client).await
    }

    /// The same with an API that asks its API server through that client.
    pub(crate) async fn by(house: House, client: &kube::Client) -> Self {
        let wire = Wire::default();
        let mut server = CloudRun::new(wire.over(client), Gate::open());
        if cluster::is_real() {
            server = server.within(&house.namespace);
        }
        let shutdown = CancellationToken::new();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let url = format!("http://{address}");
        let (router, token, following) = (server.router(), shutdown.clone(), server.clone());
        tokio::spawn(listener.serve(router, token.clone(), Duration::ZERO));
        tokio::spawn(async move { following.run(token).await });
        eventually("the API follows", async || server.is_ready().then_some(()).ok_or(())).await;
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Self {
            house,
            wire,
            jobs: JobsClient::new(channel.clone()),
            executions: ExecutionsClient::new(channel.clone()),
            tasks: TasksClient::new(channel.clone()),
            health: HealthClient::new(channel.clone()),
            operations: OperationsClient::new(channel),
            server,
            address,
            _running: shutdown.drop_guard(),
        }
    }

    /// Where everything of this scenario is.
    pub(crate) fn parent(&self) -> String {
        format!("projects/{}/locations/anywhere", self.house.namespace)
    }

    pub(crate) fn name(&self, job: &str) -> String {
        format!("{}/jobs/{job}", self.parent())
    }

    /// Creates a Job and waits until it is ready.
    pub(crate) async fn create(&mut self, id: &str, job: v2::Job) -> v2::Job {
        let request = v2::CreateJobRequest {
            parent: self.parent(),
            job: Some(job),
            job_id: id.to_owned(),
            validate_only: false,
        };
        let operation = self.jobs.create_job(request).await.unwrap().into_inner();
        decode(&response(self.ended(operation).await))
    }

    /// Runs a Job and returns the operation.
    pub(crate) async fn run(&mut self, job: &str) -> longrunning::Operation {
        let request = v2::RunJobRequest { name: self.name(job), ..v2::RunJobRequest::default() };
        self.jobs.run_job(request).await.unwrap().into_inner()
    }

    /// Polls as clients do, until it is done.
    pub(crate) async fn ended(&mut self, operation: longrunning::Operation) -> longrunning::Operation {
        let operations = self.operations.clone();
        eventually(&operation.name, async || {
            let request = longrunning::GetOperationRequest { name: operation.name.clone() };
            let found = operations.clone().get_operation(request).await.unwrap().into_inner();
            if found.done { Ok(found) } else { Err(found) }
        })
        .await
    }

    /// Runs a Job and returns the run at its end.
    pub(crate) async fn run_to_its_end(&mut self, job: &str) -> v2::Execution {
        let operation = self.run(job).await;
        let begun: v2::Execution = decode(operation.metadata.as_ref().unwrap());
        self.ended(operation).await;
        self.execution(&begun.name).await.unwrap()
    }

    /// Waits until a run has a task that runs.
    pub(crate) async fn running(&mut self, name: &str) -> v2::Execution {
        let executions = self.executions.clone();
        eventually("a task runs", async || {
            let request = v2::GetExecutionRequest { name: name.to_owned() };
            let found = executions.clone().get_execution(request).await.unwrap().into_inner();
            if found.running_count > 0 { Ok(found) } else { Err(found) }
        })
        .await
    }

    pub(crate) async fn job(&mut self, id: &str) -> Result<v2::Job, tonic::Status> {
        let request = v2::GetJobRequest { name: self.name(id) };
        Ok(self.jobs.get_job(request).await?.into_inner())
    }

    pub(crate) async fn execution(&mut self, name: &str) -> Result<v2::Execution, tonic::Status> {
        let request = v2::GetExecutionRequest { name: name.to_owned() };
        Ok(self.executions.get_execution(request).await?.into_inner())
    }
}

/// A Job whose container runs `script`.
pub(crate) fn job(script: &str) -> v2::Job {
    let container = v2::Container {
        image: "none".to_owned(),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()],
        ..v2::Container::default()
    };
    let task = v2::TaskTemplate {
        containers: vec![container],
        retries: Some(v2::task_template::Retries::MaxRetries(0)),
        ..v2::TaskTemplate::default()
    };
    let template = v2::ExecutionTemplate { template: Some(task), ..v2::ExecutionTemplate::default() };
    v2::Job { template: Some(template), ..v2::Job::default() }
}

/// What an operation carries.
pub(crate) fn decode<M: Message + Default>(any: &prost_types::Any) -> M {
    M::decode(any.value.as_slice()).unwrap()
}

/// What an operation that went well answers.
#[track_caller]
pub(crate) fn response(operation: longrunning::Operation) -> prost_types::Any {
    assert!(operation.done, "{operation:?}");
    match operation.result {
        Some(Outcome::Response(any)) => any,
        other => panic!("no response: {other:?}"),
    }
}

/// The error of an operation that did not.
#[track_caller]
pub(crate) fn error(operation: longrunning::Operation) -> rpc::Status {
    assert!(operation.done, "{operation:?}");
    match operation.result {
        Some(Outcome::Error(status)) => status,
        other => panic!("no error: {other:?}"),
    }
}

/// What a refusal is about: kind and name.
pub(crate) fn about(status: &tonic::Status) -> Vec<(String, String)> {
    let rich = rpc::Status::decode(status.details()).unwrap();
    let about =
        rich.details.iter().filter(|any| any.type_url == "type.googleapis.com/google.rpc.ResourceInfo");
    let about = about.map(decode::<rpc::ResourceInfo>);
    about.map(|about| (about.resource_type, about.resource_name)).collect()
}

/// The fields that a refusal is about.
pub(crate) fn fields(status: &tonic::Status) -> Vec<String> {
    let rich = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((rich.code, rich.message.as_str()), (i32::from(status.code()), status.message()));
    let bad = rich.details.iter().filter(|any| any.type_url == "type.googleapis.com/google.rpc.BadRequest");
    bad.flat_map(|any| decode::<rpc::BadRequest>(any).field_violations).map(|one| one.field).collect()
}
