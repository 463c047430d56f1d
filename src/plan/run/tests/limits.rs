//! Runs that wait for a place, or lose theirs.

use super::*;

#[test]
fn a_run_without_a_place_waits_and_says_what_for() {
    let plan = check(
        "{place: waits for the one place of job r, until: 1767226260}",
        "{resources: Unknown Queued, started: Unknown Queued, completed: Unknown Queued,
          message: waits for the one place of job r, counts: '', wake: '2026-01-01T00:11:00Z'}",
    );
    let mut world = World::of("{place: waits for the one place of job r}");
    world.execution.status = plan.status.map(|status| *status);
    assert_eq!(world.step(), Plan::default(), "nothing new to say");
    world.standing = Fate::Go.into();
    assert!(world.step().create.is_some());
}

#[test]
fn a_run_that_is_about_to_have_a_place_says_nothing_and_is_looked_at_again() {
    check("{place: soon}", "{wake: '2026-01-01T00:10:15Z'}");
}

#[test]
fn a_suspended_job_goes_before_what_it_would_wait_for() {
    check(
        "{job: suspended, place: waits for the one place of job r, until: 1767226260}",
        "{resources: Unknown Queued, started: Unknown Queued, completed: Unknown Queued,
          message: job r is suspended, counts: '', wake: '2026-01-01T00:11:00Z'}",
    );
}

#[test]
fn a_run_that_never_gets_a_place_ends_with_the_reason() {
    for (place, reason, message, notice) in [
        ("forbidden", "ConcurrencyForbidden", "job r has at most 1 run at a time", "Warning Failed"),
        ("late", "QueueTimeout", "did not start within 9 s", "Warning Failed"),
        ("replaced", "Replaced", "replaced by r-2", "Normal Cancelled"),
    ] {
        for job in ["", "job: suspended,"] {
            let world = format!("{{{job} place: {place}, status: {}}}", status("Queued"));
            check(
                &world,
                &format!(
                    "{{resources: False {reason}, started: False {reason}, completed: False {reason},
                       message: {message}, counts: 3 cancelled, notice: {notice}}}"
                ),
            );
            let world = World::of(&world);
            assert!(doubts_task_set(&world.execution, None, Template::Active, &world.standing.fate));
        }
    }
}

#[test]
fn a_run_under_way_that_is_replaced_stops_and_is_gone_before_it_ends() {
    let world = |place: &str, annotation: &str, set: &str| {
        format!(
            "{{{place} status: {}, taskSet: {{metadata: {{annotations: {annotation}}}, {set}}},
               pods: [{{index: 0, exit: 0, message: one}}, {{index: 1, running: true}}]}}",
            status("Running")
        )
    };
    let plan =
        World::of(&world("place: replaced,", "{}", "status: {active: 2, completedIndexes: '0'}")).step();
    assert_eq!(told(&plan)["stop"], "Replaced replaced by r-2");
    assert_eq!(told(&plan)["completed"], "Unknown Cancelling");
    let ours = "{run.kakehi.dev/stopped: Replaced replaced by r-2}";
    // Whatever the Job says meanwhile: what was stopped stays stopped.
    for place in ["place: replaced,", ""] {
        for not_quiet in
            ["completedIndexes: '0'", "terminating: 1, conditions: [{type: Suspended, status: 'True'}]"]
        {
            let plan =
                World::of(&world(place, ours, &format!("spec: {{suspend: true}}, status: {{{not_quiet}}}")))
                    .step();
            assert_eq!((told(&plan)["completed"].as_str(), &plan.stop), (Some("Unknown Cancelling"), &None));
        }
        let plan = World::of(&world(place, ours, "spec: {suspend: false}, status: {active: 2}")).step();
        assert_eq!(told(&plan)["stop"], "Replaced replaced by r-2", "somebody resumed it");
        check(
            &world(place, ours, "spec: {suspend: true}, status: {completedIndexes: '0', conditions: [{type: Suspended, status: 'True'}]}"),
            "{resources: True Running, started: True Running, completed: False Replaced,
              message: 'replaced by r-2: of 3 tasks 1 succeeded and 0 failed', counts: '1 succeeded, 2 cancelled', result: one, notice: Normal Cancelled}",
        );
        let done = "spec: {suspend: true}, status: {completedIndexes: '0-2', conditions: [{type: Suspended, status: 'True'}]}";
        let plan = World::of(&world(place, ours, done)).step();
        assert_eq!(told(&plan)["completed"], "True Succeeded", "it was faster");
    }
}

#[test]
fn a_replaced_run_whose_task_set_is_deleted_was_replaced() {
    let world = format!("{{place: replaced, status: {}}}", status("Cancelling"));
    assert_eq!(told(&World::of(&world).step())["completed"], "False Replaced");
}
