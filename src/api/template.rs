//! What a run is made of: the template in a Job, and its copy in every Execution.
//!
//! The shape is that of Cloud Run's v1 Job, so that its YAML ports over: an execution template holds a task template,
//! and a task is one container with the scheduling fields of a Pod that people need.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, LocalObjectReference, PodSecurityContext, Toleration, Volume,
};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tasks of an Execution when the template does not say.
pub const DEFAULT_TASK_COUNT: i32 = 1;
/// Most tasks of one Execution (Cloud Run's own bound).
pub const MAX_TASK_COUNT: i32 = 10_000;
/// Retries of each task when the template does not say.
pub const DEFAULT_MAX_RETRIES: i32 = 3;
/// Seconds that one attempt of a task may take when the template does not say.
pub const DEFAULT_TIMEOUT_SECONDS: i64 = 600;

/// Template of the Executions of a Job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionTemplate {
    /// Labels and annotations for the Execution, its `batch/v1` Job and its Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// What a run does.
    pub spec: ExecutionTemplateSpec,
}

/// Labels and annotations that a template hands on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What one run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionTemplateSpec {
    /// Tasks that may run at the same time. 0 or absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub parallelism: Option<i32>,
    /// Tasks of a run, each with its own index from 0.
    #[serde(default = "default_task_count")]
    #[schemars(range(min = 1, max = 10_000))]
    pub task_count: i32,
    /// Seconds within which a task must be running. Past that the run fails with the Pod's own reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub start_deadline_seconds: Option<i64>,
    /// Template of each task.
    pub template: TaskTemplate,
}

impl Default for ExecutionTemplateSpec {
    fn default() -> Self {
        Self {
            parallelism: None,
            task_count: DEFAULT_TASK_COUNT,
            start_deadline_seconds: None,
            template: TaskTemplate::default(),
        }
    }
}

/// Template of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskTemplate {
    /// What a task is.
    pub spec: TaskSpec,
}

/// One task: exactly one container, and where and how it may run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("size(self.containers) == 1").message("a task has exactly one container").field_path(".containers"))]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// The container. Exactly one.
    #[schemars(schema_with = "containers")]
    pub containers: Vec<Container>,
    /// Volumes that the container can mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub volumes: Vec<Volume>,
    /// Times that each task is tried again after a failure.
    #[serde(default = "default_max_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: i32,
    /// Seconds that one attempt of a task may take.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: i64,
    /// Service account of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Labels a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// Scheduling constraints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Security attributes of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,
    /// Priority class of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Runtime class of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Seconds between the polite and the forced end of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            containers: Vec::new(),
            volumes: Vec::new(),
            max_retries: DEFAULT_MAX_RETRIES,
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            service_account_name: None,
            image_pull_secrets: Vec::new(),
            node_selector: None,
            tolerations: Vec::new(),
            affinity: None,
            security_context: None,
            priority_class_name: None,
            runtime_class_name: None,
            termination_grace_period_seconds: None,
        }
    }
}

fn default_task_count() -> i32 {
    DEFAULT_TASK_COUNT
}

fn default_max_retries() -> i32 {
    DEFAULT_MAX_RETRIES
}

fn default_timeout_seconds() -> i64 {
    DEFAULT_TIMEOUT_SECONDS
}

/// Schema of `containers`: Kubernetes' own, except that a missing name is filled in (Cloud Run's YAML leaves it out)
/// and that the image is required (a Pod without one would be refused much later).
fn containers(generator: &mut SchemaGenerator) -> Schema {
    let mut item = Container::json_schema(generator).to_value();
    if let Some(properties) = item.get_mut("properties").and_then(Value::as_object_mut)
        && let Some(name) = properties.get_mut("name").and_then(Value::as_object_mut)
    {
        name.insert("default".to_owned(), json!("main"));
    }
    item["required"] = json!(["image"]);
    // Two are let in by the schema so that the rule above can say in words what is wrong.
    let schema = json!({
        "description": "The container of the task. Exactly one.",
        "type": "array",
        "items": item,
        "maxItems": 8,
    });
    Schema::try_from(schema).expect("a JSON object is a schema")
}
