//! The Trigger: which events of a namespace run which Job. The filter part is Knative's.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]
#![expect(clippy::duplicated_attributes, reason = "columns of a table may have the same type")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::parameter::Parameter;

/// What a Trigger is.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "run.kakehi.dev",
    version = "v1alpha1",
    kind = "Trigger",
    plural = "triggers",
    shortname = "rt",
    category = "kakehi",
    namespaced,
    status = "TriggerStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Runs a Job of its namespace for every event that its filters let pass.",
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.job.name"),
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TriggerSpec {
    /// The legacy filter: attributes that must be equal; an empty value asks for any non-empty one. Ignored where
    /// `filters` is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<LegacyFilter>,
    /// Filters of the `CloudEvents` Subscriptions API; all of them must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub filters: Vec<Filter>,
    /// The Job to run.
    pub job: JobTarget,
    /// Parameters besides the Job's, or instead of those of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub parameters: Vec<Parameter>,
}

/// Knative's first filter form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LegacyFilter {
    /// Attribute name to wanted value.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// Names a Job of the Trigger's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobTarget {
    /// Its name.
    #[schemars(length(min = 1, max = 46))]
    pub name: String,
}

/// One filter: exactly one dialect is set (`CloudEvents` Subscriptions API §3.2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Each attribute equals its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<BTreeMap<String, String>>,
    /// Each attribute starts with its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<BTreeMap<String, String>>,
    /// Each attribute ends with its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<BTreeMap<String, String>>,
    /// A CEL expression over `event` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cel: Option<String>,
    /// Every nested filter passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Filter>>,
    /// At least one nested filter passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Filter>>,
    /// The nested filter does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Filter>>,
    /// A condition over the attributes in CESQL, the `CloudEvents` SQL expression language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cesql: Option<String>,
}

/// Longest CESQL condition, in characters: what its parser takes, in bytes.
const CESQL_LENGTH: usize = crate::cesql::MAX_BYTES;
/// How deep `all`, `any` and `not` nest. A structural schema cannot refer to itself, so the levels are written out.
const FILTER_DEPTH: usize = 4;
/// Most members of an `all` or `any`. An API server multiplies these bounds to estimate what the rule below can cost.
const FILTER_MEMBERS: usize = 16;

impl JsonSchema for Filter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Filter".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::try_from(filter_schema(FILTER_DEPTH)).expect("a JSON object is a schema")
    }
}

/// One level of the filter's schema with `depth` levels below it.
fn filter_schema(depth: usize) -> serde_json::Value {
    let attributes = |description: &str| {
        json!({
            "description": description,
            "type": "object",
            "additionalProperties": {"type": "string"},
            "maxProperties": 64,
        })
    };
    let mut properties = json!({
        "exact": attributes("Each attribute equals its value."),
        "prefix": attributes("Each attribute starts with its value."),
        "suffix": attributes("Each attribute ends with its value."),
        "cesql": {
            "description": "A condition over the attributes in CESQL, the CloudEvents SQL expression language.",
            "type": "string",
            "minLength": 1,
            "maxLength": CESQL_LENGTH,
        },
        "cel": {
            "description": "A CEL expression over `event` is true.",
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
        },
    });
    let mut dialects = vec!["exact", "prefix", "suffix", "cesql", "cel"];
    if depth > 0 {
        let nested = filter_schema(depth - 1);
        properties["all"] = json!({"description": "Every nested filter passes.", "type": "array", "items": nested, "maxItems": FILTER_MEMBERS});
        properties["any"] = json!({"description": "At least one nested filter passes.", "type": "array", "items": nested, "maxItems": FILTER_MEMBERS});
        let mut not = nested;
        not["description"] = json!("The nested filter does not pass.");
        properties["not"] = not;
        dialects.extend(["all", "any", "not"]);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if depth > 0 {
        let held: Vec<String> =
            dialects.iter().map(|dialect| format!("(has(self.{dialect}) ? 1 : 0)")).collect();
        schema["x-kubernetes-validations"] = json!([{
            "rule": format!("{} <= 1", held.join(" + ")),
            "message": "a filter holds one dialect; write one list item per dialect",
        }]);
    } else {
        // The innermost filters can be so many that a rule exceeds an API server's budget. This says the same, for free
        // and in plainer words.
        schema["maxProperties"] = json!(1);
    }
    schema
}

/// What is known of a Trigger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the filters compile and the Job exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
