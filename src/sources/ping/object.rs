//! The kind PingSource: Knative's fields in words of our own, and what we add to its status.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]
#![expect(clippy::duplicated_attributes, reason = "columns of a table may have the same type")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sources::destination::Destination;

/// The schedule of a source that has none.
const EVERY_MINUTE: &str = "* * * * *";

/// When a PingSource sends which event, and where.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sources.knative.dev",
    version = "v1",
    kind = "PingSource",
    plural = "pingsources",
    singular = "pingsource",
    namespaced,
    status = "PingSourceStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Sends an event with fixed data whenever its schedule is due.",
    label("duck.knative.dev/source", "true"),
    label("eventing.knative.dev/source", "true"),
    annotation(
        "registry.knative.dev/eventTypes",
        r#"[{"type": "dev.knative.sources.ping", "description": "Fixed data whenever a schedule is due"}]"#
    ),
    printcolumn(name = "Sink", type_ = "string", json_path = ".status.sinkUri"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextScheduleTime", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PingSourceSpec {
    /// When: five fields of cron, or six with seconds in front. Without it every minute.
    #[serde(default = "every_minute")]
    pub schedule: String,
    /// The time zone of the schedule, by its IANA name. Without it UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The media type of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The data of the event, as text. Not beside `dataBase64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The data of the event, as bytes in Base64. Not beside `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Where the event is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<Destination>,
    /// What the event says besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ce_overrides: Option<Overrides>,
}

/// What an event says besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// Extension attributes: letters and digits, which become small.
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
}

fn every_minute() -> String {
    EVERY_MINUTE.to_owned()
}

impl PingSourceSpec {
    /// The schedule; an empty one is that of every minute, as Knative's web hook has it.
    pub(super) fn schedule(&self) -> &str {
        if self.schedule.is_empty() { EVERY_MINUTE } else { &self.schedule }
    }

    /// A text field. One that is empty is not there.
    pub(super) fn text(field: Option<&String>) -> Option<&str> {
        field.map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// What a PingSource says of itself. What is missing is written as null, so that a patch takes it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingSourceStatus {
    /// The generation of the spec that this speaks of.
    #[serde(default)]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it is made of, by name.
    #[serde(default)]
    pub conditions: Vec<SourceCondition>,
    /// Where the events go.
    #[serde(default)]
    pub sink_uri: Option<String>,
    /// What all of the events have in common.
    #[serde(default)]
    pub ce_attributes: Option<Vec<CeAttributes>>,
    /// When the next event is due; none if the schedule never is.
    #[serde(default)]
    pub next_schedule_time: Option<Time>,
    /// When the last one was.
    #[serde(default)]
    pub last_schedule_time: Option<Time>,
}

/// A condition as Knative writes it: without a generation of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// When that was last different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Attributes of the events of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CeAttributes {
    /// Their type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their source.
    pub source: String,
}
