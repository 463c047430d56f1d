//! How runs end, by themselves and at the start deadline.

use super::*;

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
        let mut cached = World::of(&world);
        cached.fresh = false;
        assert_eq!(cached.step(), Plan { look_again: true, ..Plan::default() }, "the cache may lag");
    }
}

#[test]
fn past_the_start_deadline_a_run_without_pods_says_why_there_are_none() {
    let quota = "pods \\\"r-1-0-x\\\" is forbidden: exceeded quota: small";
    for (complaint, reason, words) in [
        (
            format!("complaint: \"{quota}\","),
            "Refused",
            format!("no Pod can be made: {}", quota.replace('\\', "")),
        ),
        (String::new(), "StartDeadlineExceeded", "no Pod was made".to_owned()),
    ] {
        let world = format!(
            "{{{complaint} spec: {{template: {{spec: {{startDeadlineSeconds: 600}}}}}}, status: {}, taskSet: {{}}}}",
            status("Starting")
        );
        let found = told(&World::of(&world).step());
        assert_eq!(found["completed"], format!("False {reason}"));
        assert_eq!(found["message"], format!("no task started within 600 s: {words}"));
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
