//! Objects that vanish under a run.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;

use kakehi::api::LABEL_EXECUTION;

use super::*;

async fn count<K>(house: &House) -> usize
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    house.api::<K>().list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_set_that_somebody_deletes_is_lost_and_the_run_ends() {
    let house = House::start().await;
    let job = house.job("taken", "exec sleep 600", "{}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    ops::delete::<batchv1::Job>(&house.client, &house.namespace, &run).await.unwrap();
    let ended = house.ended(&run).await;
    assert_completed(&ended, "JobLost", "the batch/v1 Job was deleted by somebody else");
    assert_eq!(counts(&ended), [0, 0, 1, 0]);
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none(), "it is not made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_takes_everything_with_it() {
    let house = House::start().await;
    let job = house.job("gone", "exec sleep 600", "{taskCount: 2}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    ops::delete::<Job>(&house.client, &house.namespace, "gone").await.unwrap();
    eventually("nothing is left", async || {
        let left = (
            count::<Execution>(&house).await,
            count::<batchv1::Job>(&house).await,
            // A cluster puts a map of its own into every namespace.
            house
                .api::<ConfigMap>()
                .list(&ListParams::default().labels(LABEL_EXECUTION))
                .await
                .unwrap()
                .items
                .len(),
            count::<Pod>(&house).await,
        );
        if left == (0, 0, 0, 0) { Ok(()) } else { Err(left) }
    })
    .await;
    let waited = ops::wait(&house.client, &house.namespace, &run).await.unwrap_err();
    assert_eq!(waited.to_string(), format!("execution {run} not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_run_is_told_that_it_was_deleted() {
    let house = House::start().await;
    let job = house.job("waits", "exec sleep 600", "{}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    let client = house.client.clone();
    let (namespace, name) = (house.namespace.clone(), run.clone());
    let waiting = tokio::spawn(async move { ops::wait(&client, &namespace, &name).await });
    tokio::time::timeout(DEADLINE, async {
        // The waiter must have seen the run before it goes; deleting is what it waits for then.
        tokio::task::yield_now().await;
        ops::delete::<Execution>(&house.client, &house.namespace, &run).await.unwrap();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with(&format!("execution {run} ")), "{error}");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_take_up_runs_where_they_left_them() {
    let mut house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("open");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let job = house.job("restart", &script, "{}").await;
    let under_way = house.send(&job, "1").await.execution;
    house.reaches(&under_way, Phase::Running).await;
    house.stop_controllers().await;
    let meanwhile = house.send(&job, "2").await.execution;
    std::fs::write(&gate, "").unwrap();
    eventually("the tasks end while nobody looks", async || {
        let set = house.api::<batchv1::Job>().get(&under_way).await.unwrap();
        if set.status.as_ref().is_some_and(|status| status.succeeded == Some(1)) {
            Ok(())
        } else {
            Err(set.status)
        }
    })
    .await;
    assert_eq!(plan::phase(&house.execution(&meanwhile).await), Phase::Pending);
    house.start_controllers();
    for run in [under_way, meanwhile] {
        assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
    }
}
