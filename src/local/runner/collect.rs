//! Ends Pods that were deleted before any node had them, while a finalizer holds them.
//!
//! No kubelet looks after such a Pod, so it would stay `Pending` for ever, and a Job that replaces only failed Pods would wait for it. A
//! cluster's Pod garbage collector makes it `Failed`. So does the runner, which stands in for the scheduler anyway. On a real
//! cluster both may do it: the second write finds nothing to change. The Pod is marked as disrupted, since nothing of it ever ran.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::local::runner::backoff::Backoff;
use crate::local::runner::context::Context;
use crate::local::runner::report::{Reporter, is};

/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The reason a cluster's Pod garbage collector gives.
const REASON: &str = "DeletionByPodGC";

/// Reports the Pod as failed and lets it go. Tries until the API server took it; whoever sees the Pod gone drops this.
pub(super) async fn collect(context: &Context, pod: &Pod) {
    let reporter = Reporter { context, pod };
    let patch = Patch::Strategic(failure(pod, Timestamp::now()));
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while let Err(error) = reporter.patch(&patch).await {
        if is(&error, 404) {
            return;
        }
        let (namespace, name) = reporter.names();
        tracing::debug!(
            namespace,
            pod = name,
            error = &error as &dyn std::error::Error,
            "pod that was never bound not ended"
        );
        tokio::time::sleep(backoff.next()).await;
    }
    reporter.release().await;
}

/// The patch. Its uid keeps a Pod of the same name that came later out of this.
fn failure(pod: &Pod, now: Timestamp) -> Value {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": REASON,
        "message": "The Pod was deleted before it was bound to a node",
        "lastTransitionTime": Time(now),
    });
    json!({
        "metadata": { "uid": pod.metadata.uid },
        "status": { "phase": "Failed", "conditions": [condition] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures;

    #[test]
    fn a_pod_that_was_never_bound_fails_as_disrupted() {
        let pod = fixtures::pod("{metadata: {name: p, uid: u}}");
        let patch = failure(&pod, Timestamp::UNIX_EPOCH);
        assert_eq!(patch["metadata"], json!({ "uid": "u" }));
        assert_eq!(patch["status"]["phase"], "Failed");
        let condition = &patch["status"]["conditions"][0];
        assert_eq!(condition["type"], "DisruptionTarget");
        assert_eq!(condition["reason"], "DeletionByPodGC");
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
}
