//! Parameters: values for a container's environment that are computed from the event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value for the container's environment, computed from the event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name of the environment variable.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// CEL over `event`. A string is handed on as it is, everything else as JSON.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
    /// Used where the expression has no value. Without it, an event for which it has none is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub default: Option<String>,
}
