//! What holds whatever happens.

use proptest::prelude::*;

use super::*;
use crate::api::CONDITION_COMPLETED;

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
