//! The Job: a template that events and people run.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::completion::Completion;
use super::concurrency::Concurrency;
use super::parameter::Parameter;
use super::template::ExecutionTemplate;

/// What a Job is.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "run.kakehi.dev",
    version = "v1alpha1",
    kind = "Job",
    plural = "jobs",
    shortname = "rj",
    category = "kakehi",
    namespaced,
    status = "JobStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A template of runs: what to run when an event arrives, or by hand.",
    label("duck.knative.dev/addressable", "true"),
    validation = Rule::new("size(self.metadata.name) <= 46").message("the name of a Job has at most 46 characters, because its runs and their tasks add to it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name of a Job is a DNS label: small letters, digits and `-` inside; it becomes part of its tasks' host names"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Executions", type_ = "integer", json_path = ".status.executionCount"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.runningCount"),
    printcolumn(name = "Queued", type_ = "integer", json_path = ".status.queuedCount"),
    printcolumn(name = "Latest", type_ = "string", json_path = ".status.latestCreatedExecution.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.address.url", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Which finished Executions are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// True: events are accepted and queued, nothing starts.
    #[serde(default)]
    pub suspend: bool,
    /// How many runs there may be at a time, and what becomes of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What the Job asks of the events that run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRules>,
    /// Where the end of each run is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
    /// Values computed from the event, handed to the container as environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub parameters: Vec<Parameter>,
    /// Template of the Executions.
    pub template: ExecutionTemplate,
}

/// What a Job asks of the events that run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRules {
    /// CEL over `event`: events with the same value are the same event, instead of those with the same source and id. For
    /// senders without ids that stay the same when they repeat themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub dedup_key: Option<String>,
    /// Most bytes that the data of an event may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_048_576))]
    pub max_bytes: Option<i64>,
    /// When the answer to an event waits for the end of its run, and tells it as an event.
    #[serde(default, skip_serializing_if = "Reply::is_on_request")]
    pub reply: Reply,
    /// Seconds that an answer waits which nobody asked for. Without it 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub reply_timeout_seconds: Option<i32>,
    /// True: events that tell the end of a run are taken although a run of this Job led to them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_loop: bool,
}

/// Longest time, in seconds, that an answer waits for the end of a run.
pub const MAX_WAIT_SECONDS: u16 = 300;
/// Seconds that an answer waits which nobody asked for, when the Job does not say.
pub const DEFAULT_REPLY_SECONDS: u16 = 60;

/// When the answer to an event waits for the end of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reply {
    /// When the sender asks for it (`Prefer: wait=10`).
    #[default]
    OnRequest,
    /// Always, for senders that never ask: a Broker takes the answer as an event of its own.
    Always,
}

impl Reply {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "that is how serde asks")]
    fn is_on_request(&self) -> bool {
        *self == Self::OnRequest
    }
}

/// Which finished Executions are kept. None is removed before it is one hour old, because an Execution is also what
/// tells a repeated event from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Finished Executions kept, the newest ones.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub limit: i64,
    /// Seconds after its end for which an Execution is kept.
    #[serde(default = "default_history_ttl")]
    #[schemars(range(min = 0))]
    pub ttl_seconds: i64,
}

impl Default for History {
    fn default() -> Self {
        Self { limit: default_history_limit(), ttl_seconds: default_history_ttl() }
    }
}

fn default_history_limit() -> i64 {
    1000
}

/// Seven days.
fn default_history_ttl() -> i64 {
    604_800
}

/// What is known of a Job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Where events for this Job can be sent (Knative's Addressable duck type).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Executions that exist.
    #[serde(default)]
    pub execution_count: i64,
    /// The Execution created last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_created_execution: Option<ExecutionReference>,
    /// Executions that run.
    #[serde(default)]
    pub running_count: i64,
    /// Executions that wait to run.
    #[serde(default)]
    pub queued_count: i64,
}

/// An address of Knative's Addressable duck type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Its name; `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The URL to POST events to.
    pub url: String,
    /// For whom a sender's token must be, where senders have to say who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Names an Execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionReference {
    /// Its name.
    pub name: String,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
}
