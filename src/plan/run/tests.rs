//! Tests of the next step: a world in YAML, the step in YAML. One per reason, and the races between them.

mod always;
mod cancelling;
mod ends;
mod limits;

use serde_json::Value;

use super::*;
use crate::api::{CONDITION_COMPLETED, condition};

/// 2026-01-01T00:10:00Z: ten minutes after everything in these worlds was created.
const NOW: i64 = 1_767_226_200;

/// Of a task set whose tasks succeeded, and of one whose tasks did not.
const COMPLETE: &str = "conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}], completionTime: '2026-01-01T00:00:20Z'";
const FAILED: &str = "conditions: [{type: FailureTarget, status: 'True'}, {type: Failed, status: 'True', reason: FailedIndexes, lastTransitionTime: '2026-01-01T00:00:20Z'}]";

/// A world: `spec` and `status` of the Execution, its `taskSet` (spec, status, annotations), its `pods`.
struct World {
    execution: Execution,
    task_set: Option<batchv1::Job>,
    pods: Vec<Arc<Pod>>,
    template: Template,
    standing: Standing,
    fresh: bool,
    complaint: Option<String>,
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
        let standing = match given["place"].as_str() {
            None => Fate::Go,
            Some("soon") => Fate::Soon,
            Some("replaced") => Fate::End { reason: Reason::Replaced, message: "replaced by r-2".to_owned() },
            Some("late") => {
                Fate::End { reason: Reason::QueueTimeout, message: "did not start within 9 s".to_owned() }
            }
            Some("forbidden") => Fate::End {
                reason: Reason::ConcurrencyForbidden,
                message: "job r has at most 1 run at a time".to_owned(),
            },
            Some(message) => Fate::Wait { message: message.to_owned() },
        };
        let until = given["until"].as_i64().map(|second| Timestamp::from_second(second).unwrap());
        let standing = Standing { fate: standing, until };
        let fresh = given["fresh"].as_bool().unwrap_or(true);
        let complaint = given["complaint"].as_str().map(str::to_owned);
        let (execution, pods) = (from(&execution), pods.collect());
        Self { execution, task_set, pods, template, standing, fresh, complaint }
    }

    fn step(&self) -> Plan {
        self.step_at(NOW)
    }

    fn step_at(&self, second: i64) -> Plan {
        let observed = Observed {
            execution: &self.execution,
            template: self.template,
            standing: self.standing.clone(),
            task_set: self.task_set.as_ref(),
            pods: &self.pods,
            pods_are_fresh: self.fresh,
            complaint: self.complaint.as_deref(),
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
    if given.get("deleted").is_some() {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:08Z");
    }
    let status = &mut pod["status"];
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
    let Plan { look_again, create, stop, adjust, status, minor: _, notice, wake } = plan;
    let mut told = serde_json::Map::new();
    if *look_again {
        told.insert("lookAgain".into(), json!(true));
    }
    if let Some(tasks) = create {
        let files = if tasks.files.is_empty() { "tasks" } else { "files and tasks" };
        told.insert("create".into(), json!(files));
    }
    if let Some(stop) = stop {
        assert_eq!(stop["spec"]["suspend"], true);
        told.insert("stop".into(), stop["metadata"]["annotations"][ANNOTATION_STOPPED].clone());
    }
    if let Some(adjust) = adjust {
        told.insert("adjust".into(), adjust["spec"].clone());
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

fn held_at(world: &World, second: i64) -> Plan {
    held_back(&world.execution, "over quota", Timestamp::from_second(second).unwrap())
}

#[test]
fn a_run_over_quota_waits_until_its_start_deadline() {
    let mut world = World::of("{}");
    let plan = held_at(&world, NOW + 86_400);
    assert_eq!(told(&plan)["completed"], "Unknown Queued", "it was not held back before");
    assert_eq!(told(&plan)["message"], "over quota");
    world.execution.status = held_at(&world, NOW).status.map(|status| *status);
    assert_eq!(held_at(&world, NOW + 3599), Plan::default(), "nothing new to say");
    assert_eq!(told(&held_at(&world, NOW + 3600))["completed"], "False Refused");
}

#[test]
fn time_spent_suspended_is_not_time_held_back() {
    let mut world = World::of("{}");
    world.execution.status = held_at(&world, NOW).status.map(|status| *status);
    world.template = Template::Suspended;
    world.execution.status = world.step_at(NOW + 10).status.map(|status| *status);
    let told = told(&held_at(&world, NOW + 86_400));
    assert_eq!((&told["completed"], &told["resources"]), (&json!("Unknown Queued"), &json!("False Queued")));
}

#[test]
fn a_missing_or_foreign_task_set_is_doubted_where_it_would_end_the_run() {
    let doubts = |world: &str| {
        let world = World::of(world);
        doubts_task_set(&world.execution, world.task_set.as_ref(), world.template, &world.standing.fate)
    };
    let (running, queued) = (status("Running"), status("Queued"));
    assert!(!doubts("{}") && !doubts(&format!("{{job: suspended, status: {queued}}}")), "it costs a request");
    assert!(doubts(&format!("{{status: {running}}}")));
    assert!(doubts("{spec: {cancelled: true}}"));
    assert!(doubts("{job: gone}"));
    assert!(doubts(&format!("{{status: {running}, taskSet: {{metadata: {{ownerReferences: []}}}}}}")));
    assert!(!doubts(&format!("{{spec: {{cancelled: true}}, status: {running}, taskSet: {{}}}}")));
    let ended = running.replace("status: 'Unknown', reason: Running", "status: 'True', reason: Succeeded");
    assert_ne!(ended, running);
    assert!(!doubts(&format!("{{spec: {{cancelled: true}}, status: {ended}}}")), "nothing can follow");
}

#[test]
fn pods_that_are_taken_away_may_mean_that_the_namespace_goes() {
    let doubts = |set: &str, pods: &str| {
        let world =
            World::of(&format!("{{status: {}, taskSet: {{{set}}}, pods: [{pods}]}}", status("Running")));
        doubts_namespace(&world.execution, world.task_set.as_ref(), &world.pods)
    };
    let taken = "{index: 0, exit: 143, deleted: true}";
    assert!(doubts("", taken));
    assert!(!doubts("", "{index: 0, exit: 143}"), "it failed by itself");
    assert!(!doubts("", "{index: 0, running: true, deleted: true}"), "it still runs");
    assert!(!doubts("spec: {suspend: true}", taken), "it was suspended");
    assert!(!doubts("metadata: {ownerReferences: []}", taken));
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
fn counts_never_step_back() {
    let mut world = World::of(&format!(
        "{{status: {}, taskSet: {{status: {{completedIndexes: '0', failedIndexes: '1'}}}}, pods: [{{index: 1, exit: 3}}]}}",
        status("Running")
    ));
    world.execution.status = world.step().status.map(|status| *status);
    world.task_set.as_mut().unwrap().status = Some(batchv1::JobStatus::default());
    let now = world.step().status.map_or_else(|| world.execution.status.clone().unwrap(), |status| *status);
    assert_eq!((now.succeeded_count, now.failed_count), (1, 1));
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
fn the_parallelism_that_a_run_asks_for_is_given_to_its_tasks() {
    const QUEUED: &str = "metadata: {labels: {kueue.x-k8s.io/queue-name: fast}},";
    for (asked, queue, found, wanted) in [
        ("", "", 3, None),
        ("parallelism: 2", "", 3, Some(2)),
        ("parallelism: 2", "", 2, None),
        ("parallelism: 0", "", 1, Some(3)),
        ("parallelism: 9", "", 3, None),
        // Somebody else has changed it.
        ("", "", 0, Some(3)),
        // A queue has: its word counts until the run says otherwise.
        ("", QUEUED, 1, None),
        ("parallelism: 2", QUEUED, 1, Some(2)),
        ("parallelism: 2, cancelled: true", "", 3, None),
    ] {
        let world = format!(
            "{{spec: {{{asked}}}, status: {}, taskSet: {{{queue} spec: {{parallelism: {found}}}, status: {{active: 1}}}},
               pods: [{{index: 0, running: true}}]}}",
            status("Running")
        );
        let adjust = World::of(&world).step().adjust;
        let wanted = wanted.map(|wanted: i32| json!({"spec": {"parallelism": wanted}}));
        assert_eq!(adjust, wanted, "{asked:?} {queue:?} {found}");
    }
}

#[test]
fn tasks_that_somebody_suspends_are_waited_for_as_long_as_for_a_start() {
    for (is, resources) in [("Starting", "Unknown Queued"), ("Running", "True Running")] {
        let world = World::of(&format!(
            "{{status: {}, taskSet: {{spec: {{suspend: true}}, status: {{conditions: [{{type: Suspended, status: 'True', lastTransitionTime: '2026-01-01T00:09:00Z'}}]}}}}}}",
            status(is)
        ));
        let plan = world.step();
        assert_eq!((&plan.stop, plan.wake.unwrap().to_string().as_str()), (&None, "2026-01-01T01:09:00Z"));
        let found = told(&plan);
        assert_eq!(
            (&found["resources"], &found["completed"]),
            (&json!(resources), &json!("Unknown Starting"))
        );
        assert_eq!(found["message"], "the batch/v1 Job is suspended by somebody else");
        let found = told(&world.step_at(NOW + 3540));
        let message = "the batch/v1 Job was suspended by somebody else, and not resumed";
        assert_eq!((&found["completed"], &found["message"]), (&json!("False JobLost"), &json!(message)));
        assert_eq!(
            (&found["stop"], &found["counts"]),
            (&json!(format!("JobLost {message}")), &json!("3 cancelled"))
        );
    }
}

#[test]
fn a_queue_may_take_back_tasks_that_run() {
    let world = World::of(&format!(
        "{{status: {}, taskSet: {{metadata: {{labels: {{kueue.x-k8s.io/queue-name: fast}}}}, spec: {{suspend: true}}}}}}",
        status("Running")
    ));
    let plan = world.step_at(NOW + 1_000_000);
    assert_eq!((&plan.stop, plan.wake), (&None, None));
    assert_eq!(told(&plan)["message"], "the batch/v1 Job is suspended by a queue");
}

#[test]
fn a_queue_may_hold_the_tasks_and_the_deadline_waits() {
    let held = format!(
        "{{status: {}, taskSet: {{metadata: {{labels: {{kueue.x-k8s.io/queue-name: fast}}}}, spec: {{suspend: true}}, status: {{conditions: [{{type: Suspended, status: 'True'}}]}}}}}}",
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
