//! The start deadline.

use super::*;

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
