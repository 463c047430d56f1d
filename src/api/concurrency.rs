//! How many runs of a Job there may be at a time, and what becomes of the others.

#![expect(unreachable_pub, reason = "the schema derive repeats the type, public, inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest key of a run, in bytes. People read it, and every run carries it.
pub const MAX_CONCURRENCY_KEY: usize = 512;
/// Places of a Job whose policy counts them and that names no number.
pub const DEFAULT_CONCURRENCY_LIMIT: i64 = 1;

/// How many runs of a Job there may be at a time, and what becomes of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.limit) || has(self.policy) && self.policy != 'Allow'").message("counts only with the policy Forbid, Replace or Queue").field_path(".limit"))]
#[x_kube(validation = Rule::new("!has(self.key) || has(self.policy) && self.policy != 'Allow'").message("counts only with the policy Forbid, Replace or Queue").field_path(".key"))]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// What becomes of a run while as many as `limit` are under way. `Allow`: it starts all the same. `Queue`: it waits, and
    /// starts in the order of arrival. `Forbid`: it ends at once, with the reason `ConcurrencyForbidden`. `Replace`: the
    /// oldest is stopped, and it starts when nothing of that runs any more.
    #[serde(default)]
    pub policy: ConcurrencyPolicy,
    /// Runs at a time; 1 where nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub limit: Option<i64>,
    /// CEL over `event`: runs are counted for each value apart. An event without a value is refused. Runs that somebody
    /// starts by hand have none, and are counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub key: Option<String>,
    /// Runs that may wait, whatever they wait for. Senders of more are asked to come back later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queue_limit: Option<i64>,
    /// Seconds for which a run may wait, whatever it waits for. Then it ends with the reason `QueueTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub queue_timeout_seconds: Option<i64>,
}

/// What becomes of a run while others are under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// It starts all the same.
    #[default]
    Allow,
    /// It ends at once.
    Forbid,
    /// The oldest of the others is stopped for it.
    Replace,
    /// It waits.
    Queue,
}

impl ConcurrencyPolicy {
    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            ConcurrencyPolicy::Allow => "Allow",
            ConcurrencyPolicy::Forbid => "Forbid",
            ConcurrencyPolicy::Replace => "Replace",
            ConcurrencyPolicy::Queue => "Queue",
        }
    }
}
