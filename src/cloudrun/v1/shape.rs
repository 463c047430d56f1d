//! The messages of the v1 API as JSON has them: camelCase, 64-bit numbers as strings (either is read).
//!
//! Clients send more than they mean: empty maps, an empty name, a status. That is tolerated. What they mean and nobody
//! here knows is collected in [`Rest`] and refused by name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerPort, EnvVar, ResourceRequirements, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// `apiVersion` of everything here.
pub(super) const API_VERSION: &str = "run.googleapis.com/v1";

pub(super) type Map = BTreeMap<String, String>;

/// Members of an object that have no meaning here.
pub(super) type Rest = BTreeMap<String, Value>;

/// An object of any kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Object<Spec, Status> {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    /// The server's word: what a client sends here is not read.
    #[serde(skip_deserializing)]
    pub(super) status: Status,
}

pub(super) type Job = Object<JobSpec, JobStatus>;
pub(super) type Execution = Object<ExecutionSpec, ExecutionStatus>;
pub(super) type Task = Object<TaskSpec, TaskStatus>;

/// A page of objects.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: ListMetadata,
    pub(super) items: Vec<T>,
}

#[derive(Debug, Serialize)]
pub(super) struct ListMetadata {
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub(super) next: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) resource_version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub(super) labels: Map,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub(super) annotations: Map,
    #[serde(skip_deserializing)]
    pub(super) self_link: String,
    #[serde(skip_deserializing)]
    pub(super) uid: String,
    #[serde(skip_deserializing)]
    pub(super) generation: i64,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(super) creation_timestamp: Option<Time>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct JobSpec {
    pub(super) template: ExecutionTemplate,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ExecutionTemplate {
    pub(super) metadata: TemplateMetadata,
    pub(super) spec: ExecutionSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMetadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub(super) labels: Map,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub(super) annotations: Map,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ExecutionSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallelism: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_count: Option<i32>,
    pub(super) template: TaskTemplate,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TaskTemplate {
    pub(super) spec: TaskSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TaskSpec {
    pub(super) containers: Vec<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_retries: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", with = "int64")]
    pub(super) timeout_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_account_name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub(super) node_selector: Map,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// The parts of Kubernetes' container that Cloud Run has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    pub(super) image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) env: Vec<EnvVar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<ResourceRequirements>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<ContainerPort>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) volume_mounts: Vec<VolumeMount>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) working_dir: String,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_generation: Option<i64>,
    pub(super) conditions: Vec<Condition>,
    pub(super) execution_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latest_created_execution: Option<ExecutionReference>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionReference {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) creation_timestamp: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completion_timestamp: Option<Time>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_generation: Option<i64>,
    pub(super) conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completion_time: Option<Time>,
    pub(super) running_count: i32,
    pub(super) succeeded_count: i32,
    pub(super) failed_count: i32,
    pub(super) cancelled_count: i32,
    pub(super) retried_count: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) log_uri: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskStatus {
    pub(super) index: i32,
    pub(super) conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completion_time: Option<Time>,
    pub(super) retried: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_attempt_result: Option<AttemptResult>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) log_uri: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) term_signal: Option<i32>,
    pub(super) status: RpcStatus,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct RpcStatus {
    pub(super) code: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_transition_time: Option<Time>,
}

/// What `:run` sends.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct RunRequest {
    pub(super) overrides: Option<Changes>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// What one run changes of its Job.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Changes {
    pub(super) container_overrides: Vec<ContainerOverride>,
    pub(super) task_count: Option<i32>,
    #[serde(with = "int64")]
    pub(super) timeout_seconds: Option<i64>,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerOverride {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<EnvVar>,
    pub(super) clear_args: bool,
    #[serde(flatten)]
    pub(super) rest: Rest,
}

/// `null` is what is not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// 64-bit numbers: strings in JSON, whose numbers are doubles to many readers.
mod int64 {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }

    #[expect(clippy::ref_option, reason = "serde asks for this form")]
    pub(super) fn serialize<S: Serializer>(value: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        match Option::<Either>::deserialize(from)? {
            None => Ok(None),
            Some(Either::Number(value)) => Ok(Some(value)),
            Some(Either::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
        }
    }
}
