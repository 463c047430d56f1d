//! The cells of a Pod: what `kubectl get pods` says about its state in one word.

use jiff::Timestamp;
use serde_json::Value;

use crate::local::server::table::age;

/// What the container statuses add up to.
pub(super) struct Summary {
    /// `Running`, `Completed`, `CrashLoopBackOff`, `Init:0/1`, `Terminating`…
    pub(super) status: String,
    /// `1/2`.
    pub(super) ready: String,
    /// `3 (5m ago)`.
    pub(super) restarts: String,
}

pub(super) fn summary(pod: &Value, now: Timestamp) -> Summary {
    let mut counts = Counts::default();
    let status = match initializing(pod, &mut counts) {
        Some(reason) => reason,
        None => main_status(pod, &mut counts),
    };
    let deleting = pod.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string);
    let status = match (deleting, text(pod, "/status/reason")) {
        (true, "NodeLost") => "Unknown".to_owned(),
        (true, _) if !terminal(pod) => "Terminating".to_owned(),
        _ => status,
    };
    let total = list(pod, "/spec/containers").len();
    let restarts = match &counts.last_restart {
        Some(time) if counts.restarts > 0 => format!("{} ({} ago)", counts.restarts, age::of(time, now)),
        _ => counts.restarts.to_string(),
    };
    Summary { status, ready: format!("{}/{total}", counts.ready), restarts }
}

#[derive(Default)]
struct Counts {
    ready: usize,
    restarts: i64,
    last_restart: Option<String>,
}

impl Counts {
    fn add_restarts(&mut self, status: &Value) {
        self.restarts += status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let finished = text(status, "/lastState/terminated/finishedAt");
        if !finished.is_empty() && self.last_restart.as_deref().is_none_or(|last| last < finished) {
            self.last_restart = Some(finished.to_owned());
        }
    }
}

/// The state of the first init container that has not finished.
fn initializing(pod: &Value, counts: &mut Counts) -> Option<String> {
    let statuses = list(pod, "/status/initContainerStatuses");
    let total = list(pod, "/spec/initContainers").len();
    for (done, status) in statuses.iter().enumerate() {
        counts.add_restarts(status);
        let terminated = status.pointer("/state/terminated");
        let waiting = text(status, "/state/waiting/reason");
        match terminated {
            Some(state) if state.get("exitCode").and_then(Value::as_i64) == Some(0) => {}
            Some(state) => return Some(format!("Init:{}", ended(state))),
            None if !waiting.is_empty() && waiting != "PodInitializing" => {
                return Some(format!("Init:{waiting}"));
            }
            None => return Some(format!("Init:{done}/{total}")),
        }
    }
    None
}

fn main_status(pod: &Value, counts: &mut Counts) -> String {
    let mut status = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    let gated = list(pod, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/reason") == "SchedulingGated"
    });
    if gated {
        "SchedulingGated".clone_into(&mut status);
    }
    let mut running = false;
    for container in list(pod, "/status/containerStatuses").iter().rev() {
        counts.add_restarts(container);
        let waiting = text(container, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut status);
        } else if let Some(state) = container.pointer("/state/terminated") {
            status = ended(state);
        } else if container.get("ready") == Some(&Value::Bool(true))
            && container.pointer("/state/running").is_some()
        {
            running = true;
            counts.ready += 1;
        }
    }
    if status == "Completed" && running {
        let ready = list(pod, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
        return if ready { "Running" } else { "NotReady" }.to_owned();
    }
    status
}

/// How a container ended.
fn ended(state: &Value) -> String {
    let number = |name: &str| state.get(name).and_then(Value::as_i64).unwrap_or(0);
    match text(state, "/reason") {
        "" if number("signal") != 0 => format!("Signal:{}", number("signal")),
        "" => format!("ExitCode:{}", number("exitCode")),
        reason => reason.to_owned(),
    }
}

fn terminal(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(mut status: Value, deleting: bool) -> (String, String, String) {
        let mut metadata = json!({"name": "p"});
        if deleting {
            metadata["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
        }
        let init = status.as_object_mut().unwrap().remove("init").unwrap_or(json!([]));
        let spec = json!({"containers": [{"name": "a"}, {"name": "b"}], "initContainers": init});
        let pod = json!({"metadata": metadata, "spec": spec, "status": status});
        let Summary { status, ready, restarts } = summary(&pod, Timestamp::from_second(400).unwrap());
        (status, ready, restarts)
    }

    fn row(status: &str, ready: &str, restarts: &str) -> (String, String, String) {
        (status.to_owned(), ready.to_owned(), restarts.to_owned())
    }

    #[test]
    fn a_pod_is_summed_up_in_kubectls_words() {
        let running = json!({"ready": true, "state": {"running": {}}});
        let completed =
            json!({"ready": false, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let table = [
            (json!({"phase": "Pending"}), row("Pending", "0/2", "0")),
            (
                json!({"phase": "Running", "containerStatuses": [running, running]}),
                row("Running", "2/2", "0"),
            ),
            (json!({"phase": "Succeeded", "containerStatuses": [completed]}), row("Completed", "0/2", "0")),
            (
                json!({"phase": "Running", "containerStatuses": [completed, running]}),
                row("NotReady", "1/2", "0"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
                row("ExitCode:3", "0/2", "0"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"signal": 9, "exitCode": 137}}}]}),
                row("Signal:9", "0/2", "0"),
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), row("Evicted", "0/2", "0")),
            (
                json!({"phase": "Running", "containerStatuses": [{
                    "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"finishedAt": "1970-01-01T00:01:40Z"}},
                }]}),
                row("CrashLoopBackOff", "0/2", "3 (5m ago)"),
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
                row("SchedulingGated", "0/2", "0"),
            ),
            (
                json!({"phase": "Pending", "init": [{"name": "i"}], "initContainerStatuses": [{"state": {"running": {}}}]}),
                row("Init:0/1", "0/2", "0"),
            ),
            (
                json!({"phase": "Pending", "init": [{"name": "i"}], "initContainerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}),
                row("Init:Error", "0/2", "0"),
            ),
        ];
        for (status, expected) in table {
            assert_eq!(of(status.clone(), false), expected, "{status}");
        }
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_terminating_until_it_has_ended() {
        assert_eq!(of(json!({"phase": "Running"}), true).0, "Terminating");
        assert_eq!(of(json!({"phase": "Succeeded"}), true).0, "Succeeded");
        assert_eq!(of(json!({"phase": "Running", "reason": "NodeLost"}), true).0, "Unknown");
    }
}
