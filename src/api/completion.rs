//! Where the end of a run is told, and how hard that is tried. The shapes are Knative's Destination and `DeliverySpec`.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where `execution.succeeded`, `failed` and `cancelled` events go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// Where the event is sent.
    pub sink: Destination,
    /// How hard that is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// An address: a `uri`, or a `ref` to an object that has one, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.uri) || has(self.ref)").message("a destination has a `uri`, a `ref`, or both"))]
#[x_kube(validation = Rule::new("has(self.ref) || !has(self.uri) || self.uri.matches('^https?://[^/?#]+')").message("without a `ref` the `uri` is of the form http://HOST or https://HOST"))]
#[x_kube(validation = Rule::new("!has(self.ref) || !has(self.uri) || !self.uri.matches('^[A-Za-z][-+.A-Za-z0-9]*:')").message("beside a `ref` the `uri` is relative to its address"))]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// An absolute URL, or beside a `ref` what is added to its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub uri: Option<String>,
    /// An object of the same namespace with `status.address.url`, or a `v1` Service.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ObjectReference>,
}

/// Names an object that has an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Its API group and version.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Its kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; none other than the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// How hard a delivery is tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Times that a failed attempt is repeated. Without it 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub retry: Option<i32>,
    /// How the pauses between attempts grow. Without it `exponential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_policy: Option<BackoffPolicy>,
    /// The first pause, as an ISO 8601 duration. Without it `PT0.2S`; no pause is longer than an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = ISO_DURATION))]
    pub backoff_delay: Option<String>,
    /// How long one attempt may take, as an ISO 8601 duration. Without it `PT30S`; at most ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = ISO_DURATION))]
    pub timeout: Option<String>,
    /// Where an event goes that could not be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink: Option<Destination>,
}

/// Hours, minutes and seconds, at least one of them.
const ISO_DURATION: &str =
    "^PT([0-9]+H([0-9]+M)?([0-9]+([.][0-9]+)?S)?|[0-9]+M([0-9]+([.][0-9]+)?S)?|[0-9]+([.][0-9]+)?S)$";

/// How pauses grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackoffPolicy {
    /// By the first pause each time.
    Linear,
    /// Twofold each time.
    #[default]
    Exponential,
}

/// What became of the event that tells the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletionStatus {
    /// How it ended.
    pub outcome: CompletionOutcome,
    /// Attempts that it took, those at the dead letter sink included.
    pub attempts: i32,
    /// When that was.
    pub time: Time,
    /// Why it was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompletionOutcome {
    /// The sink has taken it.
    Delivered,
    /// The dead letter sink has.
    DeadLettered,
    /// Nobody has, and it is not tried any more.
    Failed,
}
