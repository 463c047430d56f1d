//! From the first task to the last.

use super::*;

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
