//! Tests of the next step: a world in YAML, the step in YAML. One per reason, and the races between them.

mod always;
mod before;
mod cancel;
mod deadline;
mod ends;
mod under_way;

use serde_json::Value;

use super::*;
use crate::api::condition;

/// 2026-01-01T00:10:00Z: ten minutes after everything in these worlds was created.
const NOW: i64 = 1_767_226_200;

/// A world: `spec` and `status` of the Execution, its `taskSet` (spec, status, annotations), its `pods`.
struct World {
    execution: Execution,
    task_set: Option<batchv1::Job>,
    pods: Vec<Arc<Pod>>,
    template: Template,
    fresh: bool,
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn from<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from.clone(),
    }
}

impl World {
    fn of(text: &str) -> Self {
        let given: Value = yaml(text);
        let mut execution: Value = yaml(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Execution
metadata: {name: r-1, namespace: shop, uid: x1, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  job: {name: r, uid: j1, generation: 1}
  cause: {type: Address}
  events: [{id: '1', source: /s, type: t}]
  template: {spec: {taskCount: 3, startDeadlineSeconds: 3600, template: {spec: {timeoutSeconds: 30, containers: [{name: main, image: i}]}}}}
",
        );
        merge(&mut execution["spec"], &given["spec"]);
        merge(&mut execution["metadata"], &given["metadata"]);
        execution["status"] = given["status"].clone();
        let task_set = given.get("taskSet").map(|given| {
            let mut task_set: Value = yaml(
                "
metadata:
  name: r-1
  uid: b1
  creationTimestamp: '2026-01-01T00:00:00Z'
  ownerReferences: [{apiVersion: run.kakehi.dev/v1alpha1, kind: Execution, name: r-1, uid: x1, controller: true}]
spec: {template: {}}
",
            );
            merge(&mut task_set, given);
            from(&task_set)
        });
        let pods = given["pods"].as_array().into_iter().flatten().map(|pod| Arc::new(pod_of(pod)));
        let template = match given["job"].as_str() {
            None => Template::Active,
            Some("suspended") => Template::Suspended,
            Some("gone") => Template::Gone,
            Some(other) => panic!("{other}"),
        };
        let fresh = given["fresh"].as_bool().unwrap_or(true);
        Self { execution: from(&execution), task_set, pods: pods.collect(), template, fresh }
    }

    fn step(&self) -> Plan {
        self.step_at(NOW)
    }

    fn step_at(&self, second: i64) -> Plan {
        let observed = Observed {
            execution: &self.execution,
            template: self.template,
            task_set: self.task_set.as_ref(),
            pods: &self.pods,
            pods_are_fresh: self.fresh,
        };
        run(&observed, Timestamp::from_second(second).unwrap())
    }
}

/// A Pod from `{index, attempt, waiting, unschedulable, running, exit, pod, message, signal, disrupted}`.
fn pod_of(given: &Value) -> Pod {
    let (index, attempt) = (given["index"].as_i64().unwrap(), given["attempt"].as_i64().unwrap_or(0));
    let mut pod: Value = yaml(&format!(
        "
metadata:
  name: r-1-{index}-{attempt}
  uid: p{index}-{attempt}
  labels: {{batch.kubernetes.io/job-completion-index: '{index}'}}
  annotations: {{batch.kubernetes.io/job-index-failure-count: '{attempt}'}}
  ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: r-1, uid: b1, controller: true}}]
spec: {{containers: [{{name: main}}]}}
status: {{phase: Pending, conditions: []}}
"
    ));
    let status = &mut pod["status"];
    let mut state = Value::Null;
    if let Some(waiting) = given.get("waiting") {
        state = json!({"waiting": {"reason": waiting, "message": given["message"]}});
    }
    if given.get("running").is_some() {
        status["phase"] = json!("Running");
        state = json!({"running": {"startedAt": "2026-01-01T00:00:05Z"}});
    }
    if let Some(exit) = given.get("exit") {
        status["phase"] = json!(if exit == 0 { "Succeeded" } else { "Failed" });
        state = json!({"terminated": {
            "exitCode": exit, "reason": given.get("reason").cloned().unwrap_or(json!("Error")), "message": given["message"],
            "signal": given["signal"], "startedAt": "2026-01-01T00:00:05Z", "finishedAt": "2026-01-01T00:00:09Z",
        }});
    }
    if let Some(reason) = given.get("pod") {
        status["phase"] = json!("Failed");
        status["reason"] = reason.clone();
        status["message"] = given["podMessage"].clone();
    }
    if let Some(message) = given.get("unschedulable") {
        status["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
    }
    if given.get("disrupted").is_some() {
        status["conditions"] = json!([{"type": "DisruptionTarget", "status": "True"}]);
    }
    if !state.is_null() {
        status["containerStatuses"] = json!([{"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
    }
    from(&pod)
}

/// What a plan does, in a form that a test can spell out.
fn told(plan: &Plan) -> Value {
    let Plan { look_again, create, stop, status, minor: _, notice, wake } = plan;
    let mut told = serde_json::Map::new();
    if *look_again {
        told.insert("lookAgain".into(), json!(true));
    }
    if let Some(tasks) = create {
        let files = if tasks.files.is_some() { "files and tasks" } else { "tasks" };
        told.insert("create".into(), json!(files));
    }
    if let Some(stop) = stop {
        assert_eq!(stop["spec"]["suspend"], true);
        told.insert("stop".into(), stop["metadata"]["annotations"][ANNOTATION_STOPPED].clone());
    }
    if let Some(status) = status {
        let of = |kind: &str| {
            let found = condition(&status.conditions, kind).unwrap_or_else(|| panic!("no condition {kind}"));
            json!(format!("{} {}", found.status, found.reason))
        };
        told.insert("resources".into(), of("ResourcesAvailable"));
        told.insert("started".into(), of("Started"));
        told.insert("completed".into(), of("Completed"));
        told.insert("message".into(), json!(condition(&status.conditions, "Completed").unwrap().message));
        let counts = [
            ("running", status.running_count),
            ("succeeded", status.succeeded_count),
            ("failed", status.failed_count),
            ("cancelled", status.cancelled_count),
            ("retried", status.retried_count),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count != 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        told.insert("counts".into(), json!(counts.join(", ")));
        if let Some(result) = &status.result {
            told.insert("result".into(), json!(result));
        }
    }
    if let Some(notice) = notice {
        let kind = if notice.warning { "Warning" } else { "Normal" };
        told.insert("notice".into(), json!(format!("{kind} {}", notice.reason)));
    }
    if let Some(wake) = wake {
        told.insert("wake".into(), json!(wake.to_string()));
    }
    Value::Object(told)
}

#[track_caller]
fn check(world: &str, wanted: &str) -> Plan {
    let plan = World::of(world).step();
    let (found, wanted): (Value, Value) = (told(&plan), yaml(wanted));
    assert_eq!(found, wanted, "\nfound:\n{}", serde_json::to_string_pretty(&found).unwrap());
    plan
}

fn status(reason: &str) -> String {
    let condition = |kind: &str, status: &str, reason: &str| {
        format!(
            "{{type: {kind}, status: '{status}', reason: {reason}, message: m, lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 1}}"
        )
    };
    let started = if reason == "Running" { ("True", "Running") } else { ("Unknown", reason) };
    format!(
        "{{observedGeneration: 1, conditions: [{}, {}, {}]}}",
        condition("ResourcesAvailable", started.0, started.1),
        condition("Started", started.0, started.1),
        condition("Completed", "Unknown", reason)
    )
}

/// A task set that has succeeded.
const COMPLETE: &str = "conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}], completionTime: '2026-01-01T00:00:20Z'";
/// A task set that has failed.
const FAILED: &str = "conditions: [{type: FailureTarget, status: 'True'}, {type: Failed, status: 'True', reason: FailedIndexes, lastTransitionTime: '2026-01-01T00:00:20Z'}]";
