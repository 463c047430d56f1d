//! What the API counts: answers by protocol, method and code, and the time until they came. Each is a span, too.
//!
//! A method is known by its path over gRPC, and over REST by whoever took the path apart, who leaves it at the answer.

use std::fmt;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::Instrument;
use tracing::field::Empty;

use super::CloudRun;
use super::access::is_grpc;
use super::rest::code_name;
use crate::event::TraceContext;
use crate::spans;

/// Upper bounds in seconds, from an answer out of the cache to the time that a client has patience for.
const LATENCY: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counters of one API.
#[derive(Debug)]
pub(super) struct Metrics {
    answered: Family<Labels, Counter>,
    took: Family<Asked, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    protocol: Protocol,
    method: Method,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    protocol: Protocol,
    method: Method,
    code: Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
enum Protocol {
    grpc,
    rest,
}

/// The code of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Answered(pub(super) Code);

impl EncodeLabelValue for Answered {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&code_name(self.0), encoder)
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
pub(super) enum Method {
    create_job,
    get_job,
    list_jobs,
    update_job,
    delete_job,
    run_job,
    get_execution,
    list_executions,
    delete_execution,
    cancel_execution,
    get_task,
    list_tasks,
    get_operation,
    list_operations,
    wait_operation,
    delete_operation,
    cancel_operation,
    /// What Google's other services are asked beside.
    list_log_entries,
    get_project,
    /// The page of a run.
    show_page,
    /// What is none of these, or was refused before anybody took its path apart.
    other,
}

impl Method {
    /// The method of a path of gRPC.
    fn of_rpc(path: &str) -> Self {
        match path.rsplit('/').next().unwrap_or_default() {
            "CreateJob" => Self::create_job,
            "GetJob" => Self::get_job,
            "ListJobs" => Self::list_jobs,
            "UpdateJob" => Self::update_job,
            "DeleteJob" => Self::delete_job,
            "RunJob" => Self::run_job,
            "GetExecution" => Self::get_execution,
            "ListExecutions" => Self::list_executions,
            "DeleteExecution" => Self::delete_execution,
            "CancelExecution" => Self::cancel_execution,
            "GetTask" => Self::get_task,
            "ListTasks" => Self::list_tasks,
            "GetOperation" => Self::get_operation,
            "ListOperations" => Self::list_operations,
            "WaitOperation" => Self::wait_operation,
            "DeleteOperation" => Self::delete_operation,
            "CancelOperation" => Self::cancel_operation,
            _ => Self::other,
        }
    }

    /// Leaves at an answer that it is one to this.
    pub(super) fn at(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let took = Family::new_with_constructor((|| Histogram::new(LATENCY)) as fn() -> Histogram);
        Self { answered: Family::default(), took }
    }
}

impl CloudRun {
    /// Adds what is counted to what is told.
    pub fn register(&self, registry: &mut Registry) {
        let Metrics { answered, took } = &*self.metrics;
        registry.register(
            "kakehi_api_calls",
            "Answers of the API of Cloud Run, by protocol, method and code",
            answered.clone(),
        );
        registry.register_with_unit(
            "kakehi_api_call_duration",
            "Time from the head of a request to the API of Cloud Run to its answer",
            Unit::Seconds,
            took.clone(),
        );
    }
}

/// Stands before everything else: what is refused counts, too.
pub(super) async fn observe(State(api): State<CloudRun>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let rpc = is_grpc(&request).then(|| Method::of_rpc(request.uri().path()));
    let span = tracing::info_span!(
        "call",
        method = %request.method(),
        path = request.uri().path(),
        rpc.method = Empty,
        rpc.code = Empty,
    );
    if let Some(trace) = TraceContext::of_headers(request.headers()) {
        spans::join(&span, &trace);
    }
    let answer = next.run(request).instrument(span.clone()).await;
    let (protocol, method) = match rpc {
        Some(method) => (Protocol::grpc, method),
        None => (Protocol::rest, answer.extensions().get().copied().unwrap_or(Method::other)),
    };
    let code = Answered(code(protocol, &answer));
    span.record("rpc.method", tracing::field::debug(method));
    span.record("rpc.code", code_name(code.0));
    let metrics = &api.metrics;
    metrics.answered.get_or_create(&Labels { protocol, method, code }).inc();
    metrics.took.get_or_create(&Asked { protocol, method }).observe(begun.elapsed().as_secs_f64());
    answer
}

/// The code of an answer. One of gRPC that is a refusal says so in its head; any other ends well.
fn code(protocol: Protocol, answer: &Response) -> Code {
    match protocol {
        Protocol::grpc => Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code()),
        Protocol::rest if answer.status().is_success() => Code::Ok,
        Protocol::rest => answer.extensions().get().map_or(Code::Unknown, |Answered(code)| *code),
    }
}
