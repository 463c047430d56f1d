//! How runs end.

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
