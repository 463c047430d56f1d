//! The Execution: one run of a Job, with the event that asked for it inside.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::completion::{Completion, CompletionStatus};
use super::event_record::EventRecord;
use super::template::ExecutionTemplate;

/// What a run is: a snapshot of its Job, taken when it was asked for. Only `cancelled` and `parallelism` ever change.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "run.kakehi.dev",
    version = "v1alpha1",
    kind = "Execution",
    plural = "executions",
    shortname = "rx",
    category = "kakehi",
    namespaced,
    status = "ExecutionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "One run of a Job: its tasks, the event behind it, and how it ended.",
    validation = Rule::new("has(self.spec.concurrencyKey) == has(oldSelf.spec.concurrencyKey)").message("spec.concurrencyKey is fixed when the run is created"),
    validation = Rule::new("has(self.spec.overrides) == has(oldSelf.spec.overrides)").message("spec.overrides is fixed when the run is created"),
    validation = Rule::new("has(self.spec.completion) == has(oldSelf.spec.completion)").message("spec.completion is fixed when the run is created"),
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.job.name"),
    printcolumn(
        name = "Completed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Completed')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Completed')].reason"
    ),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".spec.template.spec.taskCount"),
    printcolumn(name = "Succeeded", type_ = "integer", json_path = ".status.succeededCount"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failedCount"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Event", type_ = "string", json_path = ".spec.events[0].type", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Completed')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionSpec {
    /// The Job that this is a run of.
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub job: JobReference,
    /// Who asked for the run.
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub cause: Cause,
    /// The events behind the run, as they were received.
    #[serde(default)]
    #[schemars(length(max = 1))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub events: Vec<EventRecord>,
    /// Values for the container's environment, computed from the event.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub parameters: Vec<ParameterValue>,
    /// With which other runs of its Job this one is counted, where the Job counts them by a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub concurrency_key: Option<String>,
    /// What the run changes of its Job's template; the template here has it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub overrides: Option<Overrides>,
    /// Where the end of the run is told: what its Job said at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub completion: Option<Completion>,
    /// What is run: the Job's template at that time, with the overrides.
    #[x_kube(validation = Rule::new("self == oldSelf").message("is fixed when the run is created"))]
    pub template: ExecutionTemplate,
    /// Tasks at a time instead of what the template says; 0 means all. It may be changed while the run is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub parallelism: Option<i32>,
    /// True asks the run to stop. It cannot be taken back.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf").message("a cancelled run stays cancelled"))]
    pub cancelled: bool,
}

/// Names the Job of a run, as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobReference {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation when the run was created.
    pub generation: i64,
}

/// Who asked for a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of request it was.
    #[serde(rename = "type")]
    pub kind: CauseKind,
    /// The Trigger that matched, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<Rerun>,
}

/// Names the run that another one repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rerun {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The one task of it that is repeated; without it all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<RerunTask>,
}

/// A task that is repeated alone. Its container is told what it was told the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RerunTask {
    /// Its index.
    #[schemars(range(min = 0, max = 9_999))]
    pub index: i32,
    /// How many tasks there were.
    #[schemars(range(min = 1, max = 10_000))]
    pub count: i32,
}

/// What kind of request asked for a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CauseKind {
    /// Somebody ran the Job by hand.
    #[default]
    Manual,
    /// An event was sent to the Job's own address.
    Address,
    /// An event matched a Trigger.
    Trigger,
    /// Somebody repeated an earlier run by hand.
    Rerun,
}

/// A named value for the container's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterValue {
    /// Name of the environment variable.
    pub name: String,
    /// Its value, literally: nothing in it is expanded.
    pub value: String,
}

/// What one run changes of its Job's template. The shape is that of Cloud Run's v1 API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// Of the container. At most one, because there is one container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub container_overrides: Vec<ContainerOverride>,
    /// Tasks of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_count: Option<i32>,
    /// Seconds that one attempt of a task may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
}

/// What one run changes of its container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerOverride {
    /// The container; without a name the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments instead of the Job's, if there are any. Literally: nothing in them is expanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub args: Vec<String>,
    /// No arguments instead of the Job's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear_args: bool,
    /// Variables besides the Job's, or instead of those of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub env: Vec<ParameterValue>,
}

/// What is known of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `ResourcesAvailable`, `Started` and `Completed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When the first task started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Tasks that run.
    #[serde(default)]
    pub running_count: i32,
    /// Tasks that succeeded.
    #[serde(default)]
    pub succeeded_count: i32,
    /// Tasks that failed for good.
    #[serde(default)]
    pub failed_count: i32,
    /// Tasks that were stopped or never started, because the run was cancelled or failed to start.
    #[serde(default)]
    pub cancelled_count: i32,
    /// Tasks that were tried more than once.
    #[serde(default)]
    pub retried_count: i32,
    /// The termination message of task 0, at most 4096 bytes: what the run has to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How the failed tasks ended, the lowest indexes first; bounded, because Pods go away and objects must stay small.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tasks: Vec<TaskOutcome>,
    /// What became of the event that tells the end, where one is to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<CompletionStatus>,
}

/// How the last attempt of a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskOutcome {
    /// Its index.
    pub index: i32,
    /// Attempts that were counted.
    pub attempts: i32,
    /// Exit code of the container, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why, for programs: the Pod's or the container's own reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its last words: the last log line or the Pod's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}
