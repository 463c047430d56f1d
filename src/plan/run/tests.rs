//! Tests of the next step: a world in YAML, the step in YAML. One per reason, and the races between them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::api::{CONDITION_COMPLETED, condition};

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

// --- Before there are tasks ---

#[test]
fn pending_a_new_run_gets_its_files_and_tasks() {
    check(
        "{}",
        "{create: files and tasks, resources: Unknown Starting, started: Unknown Starting, completed: Unknown Starting,
          message: the tasks wait for their Pods, counts: ''}",
    );
    check(
        "{spec: {events: []}}",
        "{create: tasks, resources: Unknown Starting, started: Unknown Starting, completed: Unknown Starting,
          message: the tasks wait for their Pods, counts: ''}",
    );
}

#[test]
fn queued_while_the_job_is_suspended_and_started_when_it_is_resumed() {
    let plan = check(
        "{job: suspended}",
        "{resources: Unknown Queued, started: Unknown Queued, completed: Unknown Queued, message: job r is suspended, counts: ''}",
    );
    let mut world = World::of("{job: suspended}");
    world.execution.status = plan.status.map(|status| *status);
    assert_eq!(world.step(), Plan::default(), "nothing new to say");
    world.template = Template::Active;
    assert!(world.step().create.is_some());
}

#[test]
fn a_run_whose_job_is_gone_before_it_started_ends() {
    check(
        "{job: gone}",
        "{resources: False JobNotFound, started: False JobNotFound, completed: False JobNotFound,
          message: job r was deleted before the run started, counts: 3 cancelled, notice: Warning Failed}",
    );
}

#[test]
fn refused_when_the_name_belongs_to_something_else() {
    check(
        "{taskSet: {metadata: {ownerReferences: []}}}",
        "{resources: False Refused, started: False Refused, completed: False Refused,
          message: an object of this name exists and belongs to something else, counts: 3 cancelled, notice: Warning Failed}",
    );
}

#[test]
fn what_an_earlier_run_of_the_same_name_left_is_waited_for() {
    for left in [
        "ownerReferences: [{apiVersion: run.kakehi.dev/v1alpha1, kind: Execution, name: r-1, uid: x0, controller: true}]",
        "ownerReferences: [], deletionTimestamp: '2026-01-01T00:00:00Z'",
    ] {
        check(&format!("{{taskSet: {{metadata: {{{left}}}}}}}"), "{wake: '2026-01-01T00:10:02Z'}");
    }
}

#[test]
fn refused_when_the_record_is_no_event() {
    for record in
        ["id: '', source: /s, type: t", "id: '1', source: /s, type: t, extensions: {tenant: {a: 1}}"]
    {
        let plan = World::of(&format!("{{spec: {{events: [{{{record}}}]}}}}")).step();
        let told = told(&plan);
        assert_eq!(told["completed"], "False Refused");
        assert!(
            told["message"].as_str().unwrap().starts_with("the event of this run is no event: "),
            "{told}"
        );
    }
}

#[test]
fn refused_by_the_api_server() {
    let world = World::of("{}");
    let plan =
        refused(&world.execution, "Job.batch \"r-1\" is invalid", Timestamp::from_second(NOW).unwrap());
    assert_eq!(told(&plan)["completed"], "False Refused");
    assert_eq!(told(&plan)["message"], "Job.batch \"r-1\" is invalid");
}

#[test]
fn a_run_over_quota_waits_until_its_start_deadline() {
    let world = World::of("{}");
    let at = |second| held_back(&world.execution, "over quota", Timestamp::from_second(second).unwrap());
    assert_eq!(told(&at(NOW))["completed"], "Unknown Queued");
    assert_eq!(told(&at(NOW))["message"], "over quota");
    assert_eq!(told(&at(NOW + 3600))["completed"], "False Refused");
}

#[test]
fn a_run_being_deleted_is_left_alone() {
    assert_eq!(World::of("{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}}").step(), Plan::default());
}

// --- On the way ---

#[test]
fn starting_until_a_container_runs() {
    check(
        &format!(
            "{{status: {}, taskSet: {{status: {{active: 3}}}}, pods: [{{index: 0, waiting: ContainerCreating}}]}}",
            status("Starting")
        ),
        "{resources: Unknown Starting, started: Unknown Starting, completed: Unknown Starting,
          message: the tasks wait for their Pods, counts: '', wake: '2026-01-01T01:00:00Z'}",
    );
}

#[test]
fn an_obstacle_shows_before_the_deadline() {
    check(
        &format!(
            "{{status: {}, taskSet: {{status: {{active: 3}}}}, pods: [{{index: 1, waiting: ErrImagePull, message: no such image}}, {{index: 0}}]}}",
            status("Starting")
        ),
        "{resources: Unknown ImagePullFailed, started: Unknown ImagePullFailed, completed: Unknown Starting,
          message: 'ErrImagePull: no such image', counts: '', wake: '2026-01-01T01:00:00Z'}",
    );
}

#[test]
fn running_from_the_first_container_on() {
    let plan = check(
        &format!(
            "{{status: {}, taskSet: {{status: {{active: 2, completedIndexes: '2'}}}},
               pods: [{{index: 0, running: true}}, {{index: 1, attempt: 1, running: true}}, {{index: 1, exit: 3}}, {{index: 2, exit: 0}}]}}",
            status("Starting")
        ),
        "{resources: True Running, started: True Running, completed: Unknown Running, message: 1 of 3 tasks done,
          counts: '2 running, 1 succeeded, 1 retried', notice: Normal Started}",
    );
    assert_eq!(plan.status.unwrap().start_time.unwrap().0.to_string(), "2026-01-01T00:00:05Z");
}

#[test]
fn a_write_that_only_counts_on_may_wait() {
    let counting = |from: &str| {
        World::of(&format!(
            "{{status: {}, taskSet: {{status: {{completedIndexes: '0'}}}}, pods: [{{index: 1, running: true}}]}}",
            status(from)
        ))
        .step()
    };
    assert!(counting("Running").minor);
    assert!(!counting("Starting").minor, "that it started is news");
}

#[test]
fn a_task_that_is_counted_as_done_does_not_run() {
    // The Pod's end reaches us after the task set's count.
    let plan = World::of(&format!(
        "{{status: {}, taskSet: {{status: {{completedIndexes: '0-1'}}}}, pods: [{{index: 0, running: true}}, {{index: 2, running: true}}]}}",
        status("Running")
    ))
    .step();
    assert_eq!(told(&plan)["counts"], "1 running, 2 succeeded");
}

#[test]
fn what_a_pod_said_outlives_it() {
    let mut world = World::of(&format!(
        "{{status: {}, taskSet: {{status: {{completedIndexes: '0', failedIndexes: '1'}}}},
           pods: [{{index: 0, exit: 0, message: '{{\"ok\":1}}'}}, {{index: 1, attempt: 1, exit: 3, message: boom}}]}}",
        status("Running")
    ));
    world.execution.status = world.step().status.map(|status| *status);
    world.pods.clear();
    let set = world.task_set.as_mut().unwrap().status.as_mut().unwrap();
    set.failed_indexes = Some("1-2".to_owned());
    set.conditions =
        Some(vec![from(&json!({"type": "Failed", "status": "True", "reason": "FailedIndexes"}))]);
    let plan = world.step();
    let status = plan.status.clone().unwrap();
    assert_eq!(status.result.as_deref(), Some("{\"ok\":1}"));
    assert_eq!((status.failed_tasks[0].exit_code, status.failed_tasks[0].attempts), (Some(3), 2));
    assert_eq!((status.failed_tasks[1].exit_code, status.failed_tasks[1].index), (None, 2));
    assert_eq!(
        told(&plan)["message"],
        "task 1 failed after 2 attempts: exit code 3: boom (2 of 3 tasks failed)"
    );
}

#[test]
fn pods_of_an_earlier_task_set_do_not_count() {
    let mut world = World::of(&format!(
        "{{status: {}, taskSet: {{status: {{active: 1}}}}, pods: [{{index: 0, running: true}}]}}",
        status("Starting")
    ));
    world.task_set.as_mut().unwrap().metadata.uid = Some("b2".into());
    assert_eq!(told(&world.step())["started"], "Unknown Starting");
}

#[test]
fn a_queue_may_hold_the_tasks_and_the_deadline_waits() {
    let held = format!(
        "{{status: {}, taskSet: {{spec: {{suspend: true}}, status: {{conditions: [{{type: Suspended, status: 'True'}}]}}}}}}",
        status("Starting")
    );
    let plan = World::of(&held).step_at(NOW + 86_400);
    assert_eq!(told(&plan)["resources"], "Unknown Queued");
    assert_eq!((plan.wake, plan.stop), (None, None));
    let resumed = format!(
        "{{status: {}, taskSet: {{spec: {{suspend: false}}, status: {{startTime: '2026-01-02T00:00:00Z'}}}}}}",
        status("Starting")
    );
    let plan = World::of(&resumed).step_at(NOW + 86_400);
    assert_eq!(plan.wake.unwrap().to_string(), "2026-01-02T01:00:00Z", "from when it was resumed");
}

// --- The end ---

const COMPLETE: &str = "conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}], completionTime: '2026-01-01T00:00:20Z'";
const FAILED: &str = "conditions: [{type: FailureTarget, status: 'True'}, {type: Failed, status: 'True', reason: FailedIndexes, lastTransitionTime: '2026-01-01T00:00:20Z'}]";

#[test]
fn succeeded_with_the_result_of_task_0() {
    let plan = check(
        &format!(
            "{{status: {}, taskSet: {{status: {{completedIndexes: '0-2', {COMPLETE}}}}},
               pods: [{{index: 0, exit: 0, message: done}}, {{index: 1, exit: 0, message: other}}, {{index: 2, exit: 0, attempt: 1}}]}}",
            status("Running")
        ),
        "{resources: True Running, started: True Running, completed: True Succeeded, message: 3 tasks succeeded,
          counts: '3 succeeded, 1 retried', result: done, notice: Normal Completed}",
    );
    assert_eq!(plan.status.unwrap().completion_time.unwrap().0.to_string(), "2026-01-01T00:00:20Z");
}

#[test]
fn a_fast_success_was_started_too() {
    check(
        &format!("{{status: {}, taskSet: {{status: {{completedIndexes: '0-2', {COMPLETE}}}}}, pods: []}}", status("Starting")),
        "{resources: True Running, started: True Running, completed: True Succeeded, message: 3 tasks succeeded,
          counts: '3 succeeded', notice: Normal Completed}",
    );
}

#[test]
fn a_cache_that_lags_is_not_taken_for_the_truth() {
    for (set, pods) in [
        (format!("completedIndexes: '0-2', {COMPLETE}"), "[{index: 0, running: true}]"),
        (
            format!("completedIndexes: '0-1', failedIndexes: '2', {FAILED}"),
            "[{index: 0, exit: 0}, {index: 2, running: true}]",
        ),
    ] {
        let world = format!(
            "{{fresh: false, status: {}, taskSet: {{status: {{{set}}}}}, pods: {pods}}}",
            status("Running")
        );
        check(&world, "{lookAgain: true}");
    }
    let told_nothing = format!(
        "{{fresh: false, status: {}, taskSet: {{status: {{completedIndexes: '0-2', {COMPLETE}}}}}, pods: [{{index: 0, exit: 0}}]}}",
        status("Running")
    );
    assert!(!World::of(&told_nothing).step().look_again, "a task may have nothing to say");
}

#[test]
fn non_zero_exit_code_of_the_first_failed_task() {
    check(
        &format!(
            "{{status: {}, taskSet: {{status: {{completedIndexes: '0', failedIndexes: '1-2', {FAILED}}}}},
               pods: [{{index: 0, exit: 0}}, {{index: 1, attempt: 0, exit: 9}}, {{index: 1, attempt: 1, exit: 3, message: \"first\\nlast words\\n\\n\"}}, {{index: 2, exit: 1}}]}}",
            status("Running")
        ),
        "{resources: True Running, started: True Running, completed: False NonZeroExitCode,
          message: 'task 1 failed after 2 attempts: exit code 3: last words (2 of 3 tasks failed)',
          counts: '1 succeeded, 2 failed, 1 retried', notice: Warning Failed}",
    );
}

#[test]
fn the_cause_is_told_in_words() {
    for (pod, words) in [
        ("exit: 1", "exit code 1"),
        ("exit: 137, signal: 9", "signal 9"),
        ("exit: 137, reason: OOMKilled", "exit code 137 (OOMKilled)"),
        ("pod: Evicted, podMessage: low on memory", "Evicted: low on memory"),
        ("pod: CommandRequired, podMessage: no command", "CommandRequired: no command"),
    ] {
        let world = format!(
            "{{spec: {{template: {{spec: {{taskCount: 1}}}}}}, status: {}, taskSet: {{status: {{failedIndexes: '0', {FAILED}}}}}, pods: [{{index: 0, {pod}}}]}}",
            status("Running")
        );
        let plan = World::of(&world).step();
        assert_eq!(told(&plan)["message"], format!("task 0 failed after 1 attempt: {words}"));
    }
}

#[test]
fn task_timeout_is_told_from_a_failure() {
    check(
        &format!(
            "{{status: {}, taskSet: {{status: {{completedIndexes: '1,2', failedIndexes: '0', {FAILED}}}}},
               pods: [{{index: 0, attempt: 3, exit: 143, pod: DeadlineExceeded, podMessage: was active too long}}]}}",
            status("Running")
        ),
        "{resources: True Running, started: True Running, completed: False TaskTimeout,
          message: 'task 0 failed after 4 attempts: ran into its timeout of 30 s',
          counts: '2 succeeded, 1 failed, 1 retried', notice: Warning Failed}",
    );
}

#[test]
fn a_disrupted_attempt_is_not_how_a_task_ended() {
    let world = format!(
        "{{spec: {{template: {{spec: {{taskCount: 1}}}}}}, status: {}, taskSet: {{status: {{failedIndexes: '0', {FAILED}}}}},
           pods: [{{index: 0, exit: 7}}, {{index: 0, attempt: 1, exit: 143, disrupted: true}}]}}",
        status("Running")
    );
    let plan = World::of(&world).step();
    assert_eq!(told(&plan)["message"], "task 0 failed after 1 attempt: exit code 7");
}

#[test]
fn job_lost_when_the_task_set_vanishes_or_somebody_ends_it() {
    for reason in ["Starting", "Running"] {
        let plan = World::of(&format!("{{status: {}}}", status(reason))).step();
        assert_eq!(told(&plan)["completed"], "False JobLost");
        assert_eq!(told(&plan)["message"], "the batch/v1 Job was deleted by somebody else");
    }
    let replaced =
        format!("{{status: {}, taskSet: {{metadata: {{ownerReferences: []}}}}}}", status("Running"));
    assert_eq!(told(&World::of(&replaced).step())["completed"], "False JobLost");
    let ended = format!(
        "{{status: {}, taskSet: {{status: {{completedIndexes: '0', conditions: [{{type: Failed, status: 'True', reason: DeadlineExceeded, message: too long}}]}}}}}}",
        status("Running")
    );
    let plan = World::of(&ended).step();
    assert_eq!(
        told(&plan)["message"],
        "the batch/v1 Job was ended by somebody else: DeadlineExceeded: too long"
    );
    assert_eq!(told(&plan)["counts"], "1 succeeded, 2 cancelled");
}

#[test]
fn a_run_that_has_ended_never_changes() {
    let ended = World::of(&format!(
        "{{status: {}, taskSet: {{status: {{completedIndexes: '0-2', {COMPLETE}}}}}, pods: []}}",
        status("Running")
    ));
    let status = ended.step().status;
    for world in
        ["{}", "{spec: {cancelled: true}}", "{taskSet: {status: {failedIndexes: '0-2'}}}", "{job: gone}"]
    {
        let mut world = World::of(world);
        world.execution.status = status.as_deref().cloned();
        assert_eq!(world.step(), Plan::default());
    }
}

// --- The start deadline ---

#[test]
fn past_the_start_deadline_the_run_ends_with_the_pods_reason() {
    for (pod, reason, words) in [
        (
            "waiting: ImagePullBackOff, message: no such image",
            "ImagePullFailed",
            "ImagePullBackOff: no such image",
        ),
        ("waiting: InvalidImageName", "ImagePullFailed", "InvalidImageName"),
        (
            "waiting: CreateContainerConfigError, message: secret not found",
            "ContainerConfigFailed",
            "CreateContainerConfigError: secret not found",
        ),
        ("unschedulable: 0/3 nodes are available", "Unschedulable", "Unschedulable: 0/3 nodes are available"),
        ("waiting: ContainerCreating", "StartDeadlineExceeded", "its Pods did not say what they wait for"),
    ] {
        let world = format!(
            "{{spec: {{template: {{spec: {{startDeadlineSeconds: 600}}}}}}, status: {}, taskSet: {{status: {{active: 3}}}}, pods: [{{index: 0, {pod}}}]}}",
            status("Starting")
        );
        let message = format!("no task started within 600 s: {words}");
        check(
            &world,
            &format!(
                "{{stop: '{reason} {message}', resources: False {reason}, started: False {reason}, completed: False {reason},
                  message: '{message}', counts: 3 cancelled, notice: Warning Failed}}"
            ),
        );
        assert_eq!(World::of(&world).step_at(NOW - 1).stop, None, "not a second early");
    }
}

#[test]
fn a_crash_after_the_stop_keeps_its_reason() {
    check(
        &format!(
            "{{status: {}, taskSet: {{metadata: {{annotations: {{run.kakehi.dev/stopped: ImagePullFailed no image}}}}, spec: {{suspend: true}}}}, pods: []}}",
            status("Starting")
        ),
        "{resources: False ImagePullFailed, started: False ImagePullFailed, completed: False ImagePullFailed, message: no image,
          counts: 3 cancelled, notice: Warning Failed}",
    );
}

#[test]
fn a_run_that_started_has_no_start_deadline() {
    let world = format!(
        "{{status: {}, taskSet: {{status: {{active: 1}}}}, pods: [{{index: 0, attempt: 1, waiting: ErrImagePull}}]}}",
        status("Running")
    );
    let plan = World::of(&world).step_at(NOW + 1_000_000);
    assert_eq!((plan.stop, plan.wake), (None, None));
}

// --- Cancelling ---

#[test]
fn cancelled_before_there_were_tasks_ends_at_once() {
    for world in [
        "{spec: {cancelled: true}}",
        "{spec: {cancelled: true}, job: suspended}",
        "{spec: {cancelled: true}, job: gone}",
    ] {
        check(
            world,
            "{resources: False Cancelled, started: False Cancelled, completed: False Cancelled,
              message: cancelled on request, counts: 3 cancelled, notice: Normal Cancelled}",
        );
    }
}

#[test]
fn cancelling_stops_the_tasks_and_waits_for_them() {
    let world = |annotation: &str, set: &str| {
        format!(
            "{{spec: {{cancelled: true}}, status: {}, taskSet: {{metadata: {{annotations: {annotation}}}, {set}}},
               pods: [{{index: 0, exit: 0, message: one}}, {{index: 1, running: true}}]}}",
            status("Running")
        )
    };
    let stopping = "resources: True Running, started: True Running, completed: Unknown Cancelling, message: the tasks are being stopped";
    check(
        &world("{}", "status: {active: 2, completedIndexes: '0'}"),
        &format!(
            "{{stop: Cancelled cancelled on request, {stopping}, counts: '1 running, 1 succeeded', result: one}}"
        ),
    );
    let ours = "{run.kakehi.dev/stopped: Cancelled cancelled on request}";
    for quiet_not_yet in [
        "status: {completedIndexes: '0'}",
        "status: {active: 1, completedIndexes: '0', conditions: [{type: Suspended, status: 'True'}]}",
        "status: {terminating: 1, completedIndexes: '0', conditions: [{type: Suspended, status: 'True'}]}",
    ] {
        let plan = World::of(&world(ours, &format!("spec: {{suspend: true}}, {quiet_not_yet}"))).step();
        assert_eq!(told(&plan)["completed"], "Unknown Cancelling", "{quiet_not_yet}");
        assert_eq!(plan.stop, None, "it is stopped already");
    }
    check(
        &world(ours, "spec: {suspend: true}, status: {completedIndexes: '0', conditions: [{type: Suspended, status: 'True'}]}"),
        "{resources: True Running, started: True Running, completed: False Cancelled,
          message: 'cancelled on request: of 3 tasks 1 succeeded and 0 failed', counts: '1 succeeded, 2 cancelled', result: one, notice: Normal Cancelled}",
    );
}

#[test]
fn a_cancelled_run_never_resumes() {
    let resumed = format!(
        "{{spec: {{cancelled: true}}, status: {}, taskSet: {{metadata: {{annotations: {{run.kakehi.dev/stopped: Cancelled x}}}}, spec: {{suspend: false}}, status: {{active: 3}}}}}}",
        status("Cancelling")
    );
    assert!(World::of(&resumed).step().stop.is_some(), "somebody resumed it: it is stopped again");
}

#[test]
fn a_queue_that_holds_the_tasks_does_not_keep_them_from_being_cancelled() {
    let held = format!(
        "{{spec: {{cancelled: true}}, status: {}, taskSet: {{spec: {{suspend: true}}, status: {{conditions: [{{type: Suspended, status: 'True'}}]}}}}}}",
        status("Starting")
    );
    assert!(World::of(&held).step().stop.is_some(), "the stop must be ours, else the queue lifts it");
}

#[test]
fn completion_wins_the_race_against_cancel() {
    for (set, wanted) in [
        (format!("completedIndexes: '0-2', {COMPLETE}"), "True Succeeded"),
        (format!("failedIndexes: '0', {FAILED}"), "False NonZeroExitCode"),
        (
            "completedIndexes: '0-2', conditions: [{type: Suspended, status: 'True'}]".to_owned(),
            "True Succeeded",
        ),
    ] {
        let world = format!(
            "{{spec: {{cancelled: true}}, status: {}, taskSet: {{metadata: {{annotations: {{run.kakehi.dev/stopped: Cancelled x}}}}, spec: {{suspend: true}}, status: {{{set}}}}},
               pods: [{{index: 0, exit: 1}}]}}",
            status("Cancelling")
        );
        assert_eq!(told(&World::of(&world).step())["completed"], wanted);
    }
}

#[test]
fn a_task_set_that_is_deleted_while_cancelling_leaves_a_cancelled_run() {
    let world = format!("{{spec: {{cancelled: true}}, status: {}}}", status("Cancelling"));
    assert_eq!(told(&World::of(&world).step())["completed"], "False Cancelled");
}

// --- Whatever happens ---

#[test]
fn the_status_is_a_fixed_point() {
    for world in [
        format!(
            "{{status: {}, taskSet: {{status: {{active: 3}}}}, pods: [{{index: 0, waiting: ErrImagePull}}]}}",
            status("Starting")
        ),
        format!(
            "{{status: {}, taskSet: {{status: {{active: 3, failedIndexes: '2'}}}}, pods: [{{index: 0, running: true}}]}}",
            status("Running")
        ),
        format!(
            "{{spec: {{cancelled: true}}, status: {}, taskSet: {{status: {{active: 3}}}}}}",
            status("Running")
        ),
    ] {
        let mut world = World::of(&world);
        let first = world.step();
        world.execution.status = first.status.map(|status| *status);
        let again = world.step_at(NOW + 60);
        assert_eq!(again.status, None, "nothing changed, so nothing is written");
    }
}

fn any_world() -> impl Strategy<Value = String> {
    let indexes = prop::sample::select(vec!["''", "'0'", "'0-2'", "'1'", "'2'", "'0,2'", "'9'"]);
    let ends =
        prop::sample::select(vec!["", COMPLETE, FAILED, "conditions: [{type: Suspended, status: 'True'}]"]);
    let phases = prop::sample::select(vec!["Pending", "Queued", "Starting", "Running", "Cancelling"]);
    let pod = (
        0..3i32,
        0..3i32,
        prop::sample::select(vec![
            "running: true",
            "exit: 0",
            "exit: 1",
            "waiting: ErrImagePull",
            "pod: DeadlineExceeded",
        ]),
    );
    let pods = prop::collection::vec(
        pod.prop_map(|(index, attempt, how)| format!("{{index: {index}, attempt: {attempt}, {how}}}")),
        0..6,
    );
    let job = prop::sample::select(vec!["", "job: suspended,", "job: gone,"]);
    (indexes.clone(), indexes, ends, phases, pods, any::<(bool, bool, bool, bool)>(), job).prop_map(
        |(done, failed, end, phase, pods, (cancelled, there, suspend, fresh), job)| {
            let set = format!("taskSet: {{spec: {{suspend: {suspend}}}, status: {{completedIndexes: {done}, failedIndexes: {failed}, {end}}}}},");
            format!(
                "{{{job} fresh: {fresh}, spec: {{cancelled: {cancelled}}}, status: {}, {} pods: [{}]}}",
                status(phase),
                if there { set.as_str() } else { "" },
                pods.join(", ")
            )
        },
    )
}

proptest! {
    #[test]
    fn counts_never_exceed_the_tasks_and_an_end_is_whole(world in any_world()) {
        let world = World::of(&world);
        let plan = world.step();
        if let Some(status) = &plan.status {
            let done = status.succeeded_count + status.failed_count + status.cancelled_count;
            prop_assert!(done + status.running_count <= 3, "{:?}", status);
            prop_assert!(status.retried_count <= 3);
            let terminal = condition(&status.conditions, CONDITION_COMPLETED).unwrap().status != "Unknown";
            if terminal {
                prop_assert_eq!((done, status.running_count), (3, 0));
                prop_assert!(status.conditions.iter().all(|condition| condition.status != "Unknown"));
                prop_assert!(status.completion_time.is_some());
            }
        }
    }

    #[test]
    fn planning_again_settles(world in any_world()) {
        let mut world = World::of(&world);
        world.fresh = true;
        let first = world.step();
        if let Some(status) = first.status.clone() {
            world.execution.status = Some(*status);
            if let Some(tasks) = first.create {
                let mut made = tasks.task_set;
                made.metadata.uid = Some("b1".into());
                world.task_set = Some(made);
            }
            let again = world.step();
            prop_assert!(again.create.is_none());
            if again.status.is_some() {
                world.execution.status = again.status.map(|status| *status);
                prop_assert_eq!(world.step().status, None);
            }
        }
    }
}
