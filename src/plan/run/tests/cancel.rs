//! Cancelling, and the races against it.

use super::*;

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
