//! Cancelling in every phase.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_is_cancelled_at_once() {
    let house = House::start().await;
    let job = house.job("queued", "exit 0", "{suspend: true, taskCount: 2}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Queued).await;
    ops::cancel(&house.client, &house.namespace, &run).await.unwrap();
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Cancelled", "cancelled on request");
    assert_eq!(counts(&ended), [0, 0, 2, 0]);
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_stopped_and_counted() {
    let house = House::start().await;
    let script = "test \"$CLOUD_RUN_TASK_INDEX\" = 0 || exec sleep 600";
    let job = house.job("running", script, "{taskCount: 3}").await;
    let run = house.send(&job, "1").await.execution;
    eventually("task 0 is done and the others run", async || {
        let status = house.execution(&run).await.status.unwrap_or_default();
        if (status.succeeded_count, status.running_count) == (1, 2) { Ok(()) } else { Err(status) }
    })
    .await;
    for _ in 0..3 {
        ops::cancel(&house.client, &house.namespace, &run).await.unwrap();
    }
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Cancelled", "cancelled on request: of 3 tasks 1 succeeded and 0 failed");
    assert_eq!(counts(&ended), [1, 0, 2, 0]);
    let pods = house.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
    let live: Vec<_> = pods
        .iter()
        .filter(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"))
        .collect();
    assert!(live.is_empty(), "the end is told when nothing runs any more");
    let set = house.api::<batchv1::Job>().get(&run).await.unwrap();
    assert_eq!(set.spec.unwrap().suspend, Some(true));
    eventually("it is reported", async || {
        let reported = house.reported(&run).await;
        let times = reported.iter().filter(|reason| *reason == "Cancelled").count();
        assert!(times <= 1, "{reported:?}");
        if times == 1 { Ok(()) } else { Err(reported) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_too_late_changes_nothing() {
    let house = House::start().await;
    let job = house.job("late", "exit 0", "{}").await;
    let ended = house.run(&job).await;
    let name = ended.metadata.name.clone().unwrap();
    ops::cancel(&house.client, &house.namespace, &name).await.unwrap();
    // Another run goes through after it, so the controllers have seen the request.
    let other = house.send(&job, "2").await.execution;
    house.ended(&other).await;
    assert_eq!(house.execution(&name).await.status, ended.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_survives_a_restart_of_the_controllers() {
    let mut house = House::start().await;
    // The task ends only when it is killed, so that the run is being cancelled for a while.
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    let job = house.job_of("stubborn", script, "{}", "{terminationGracePeriodSeconds: 1}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    ops::cancel(&house.client, &house.namespace, &run).await.unwrap();
    house.reaches(&run, Phase::Cancelling).await;
    house.stop_controllers().await;
    house.start_controllers();
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Cancelled", "cancelled on request");
    assert_eq!(counts(&ended), [0, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_while_it_starts_leaves_no_task_behind() {
    let house = House::start().await;
    let job = house.job("race", "exec sleep 600", "{taskCount: 2}").await;
    for n in 0..10 {
        let run = house.send(&job, &n.to_string()).await.execution;
        ops::cancel(&house.client, &house.namespace, &run).await.unwrap();
        let ended = house.ended(&run).await;
        assert_eq!(completed(&ended).1, "Cancelled");
        assert_eq!(counts(&ended), [0, 0, 2, 0]);
        if let Some(set) = house.api::<batchv1::Job>().get_opt(&run).await.unwrap() {
            assert_eq!(set.spec.unwrap().suspend, Some(true));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_exist_cannot_be_cancelled() {
    let house = House::without_controllers().await;
    let error = ops::cancel(&house.client, &house.namespace, "nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "execution nobody not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_run_that_is_about_to_end_leaves_right_counts() {
    let house = House::start().await;
    let job = house.job("close", "exit 0", "{taskCount: 2}").await;
    for n in 0..6 {
        let run = house.send(&job, &n.to_string()).await.execution;
        let begun = async || {
            let status = house.execution(&run).await.status.unwrap_or_default();
            // Each time a little later.
            if n == 0 || status.conditions.len() == 3 && status.succeeded_count >= n / 3 {
                Ok(())
            } else {
                Err(status)
            }
        };
        eventually("it is under way", begun).await;
        ops::cancel(&house.client, &house.namespace, &run).await.unwrap();
        let ended = house.ended(&run).await;
        let [succeeded, failed, cancelled, _] = counts(&ended);
        assert_eq!((succeeded + cancelled, failed), (2, 0), "{ended:?}");
        let wanted = if cancelled == 0 { "Succeeded" } else { "Cancelled" };
        assert_eq!(completed(&ended).1, wanted);
    }
}
