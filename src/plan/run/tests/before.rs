//! Before there are tasks.

use super::*;

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
