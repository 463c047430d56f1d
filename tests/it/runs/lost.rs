//! Objects that vanish under a run.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::ResourceQuota;
use kakehi::api::LABEL_EXECUTION;
use kube::api::DeleteParams;
use serde_json::json;

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

async fn suspend(house: &House, run: &str, suspend: bool) {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    house.api::<batchv1::Job>().patch(run, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_somebody_suspends_for_ever_are_lost() {
    let house = House::start().await;
    let job = house.job("held", "exec sleep 600", "{startDeadlineSeconds: 2}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    suspend(&house, &run, true).await;
    let ended = house.ended(&run).await;
    assert_completed(&ended, "JobLost", "the batch/v1 Job was suspended by somebody else, and not resumed");
    assert_eq!(counts(&ended), [0, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_somebody_suspends_and_resumes_go_on() {
    let house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("open");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let job = house.job("resumed", &script, "{}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    suspend(&house, &run, true).await;
    eventually("it is told", async || {
        let status = house.execution(&run).await.status.unwrap_or_default();
        let completed = condition(&status.conditions, "Completed").unwrap();
        if completed.message.contains("suspended by somebody else") { Ok(()) } else { Err(status) }
    })
    .await;
    suspend(&house, &run, false).await;
    std::fs::write(&gate, "").unwrap();
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_pod_somebody_deletes_is_tried_again() {
    let house = House::start().await;
    let script = "test \"$CLOUD_RUN_TASK_ATTEMPT\" -ge 1 || exec sleep 600";
    let job = house.job_of("robbed", script, "{}", "{maxRetries: 1}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    let mine = ListParams::default().labels(&format!("{LABEL_EXECUTION}={run}"));
    house.api::<Pod>().delete_collection(&DeleteParams::default(), &mine).await.unwrap();
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_run_outlives_its_pods_and_its_task_set() {
    let house = House::start().await;
    let script = "echo \"no luck\"; exit 3";
    let job = house.job_of("kept", script, "{taskCount: 2}", "{maxRetries: 0}").await;
    let ended = house.run(&job).await;
    let run = ended.metadata.name.clone().unwrap();
    ops::delete::<batchv1::Job>(&house.client, &house.namespace, &run).await.unwrap();
    eventually("the Pods are gone", async || {
        let left = count::<Pod>(&house).await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    // Another run goes through after it, so the controllers have seen that they are gone.
    house.ended(&house.send(&job, "2").await.execution).await;
    let kept = house.execution(&run).await.status.unwrap();
    assert_eq!(Some(&kept), ended.status.as_ref());
    let told: Vec<_> = kept.failed_tasks.iter().map(|one| (one.index, one.attempts, one.exit_code)).collect();
    assert_eq!(told, [(0, 1, Some(3)), (1, 1, Some(3))]);
    assert!(kept.failed_tasks.iter().all(|one| one.message.as_deref() == Some("no luck")));
    assert!(kept.failed_tasks.iter().all(|one| one.started_at.is_some() && one.finished_at.is_some()));
}

/// A script that says so when it is asked to end, and does.
fn polite(directory: &std::path::Path) -> String {
    let told = directory.join("told");
    format!("trap 'touch {}; exit 0' TERM; while :; do sleep 0.05; done", told.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_deleted_job_may_end_in_order() {
    let house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let job = house.job("polite", &polite(directory.path()), "{}").await;
    let run = house.send(&job, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    ops::delete::<Job>(&house.client, &house.namespace, "polite").await.unwrap();
    eventually("nothing is left", async || {
        let left = (
            count::<Execution>(&house).await,
            count::<batchv1::Job>(&house).await,
            count::<Pod>(&house).await,
        );
        if left == (0, 0, 0) { Ok(()) } else { Err(left) }
    })
    .await;
    assert!(directory.path().join("told").exists(), "the task was asked first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_whatever_runs_in_it() {
    let mut house = House::start().await;
    let namespaces: Api<Namespace> = Api::all(house.client.clone());
    if !cluster::is_real() {
        let mut leaving = Namespace::default();
        leaving.metadata.name = Some("leaving".to_owned());
        namespaces.create(&PostParams::default(), &leaving).await.unwrap();
        house.namespace = "leaving".to_owned();
    }
    let running = house.job("running", "exec sleep 600", "{taskCount: 2}").await;
    let held = house.job("held", "exit 0", "{suspend: true}").await;
    let run = house.send(&running, "1").await.execution;
    house.reaches(&run, Phase::Running).await;
    house.reaches(&house.send(&held, "2").await.execution, Phase::Queued).await;
    let cancelled = house.send(&running, "3").await.execution;
    ops::cancel(&house.client, &house.namespace, &cancelled).await.unwrap();
    namespaces.delete(&house.namespace, &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", async || match namespaces.get_opt(&house.namespace).await.unwrap() {
        None => Ok(()),
        Some(left) => Err(left.status),
    })
    .await;
}

/// Local mode has no quotas and takes any account.
#[tokio::test(flavor = "multi_thread")]
async fn pods_that_no_quota_or_account_lets_in_end_the_run_with_the_clusters_words() {
    if !cluster::is_real() {
        return;
    }
    let house = House::start().await;
    let spec = "{startDeadlineSeconds: 2}";
    let job = house.job_of("nobody", "exit 0", spec, "{serviceAccountName: nobody}").await;
    let (_, reason, message) = completed(&house.run(&job).await);
    assert_eq!(reason, "Refused", "{message}");
    assert!(
        message.contains("no Pod can be made: ") && message.contains("serviceaccount \"nobody\" not found"),
        "{message}"
    );
    let quota: ResourceQuota =
        serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))
            .unwrap();
    house.api().create(&PostParams::default(), &quota).await.unwrap();
    eventually("the quota is known", async || {
        let status = house.api::<ResourceQuota>().get("none").await.unwrap().status;
        if status.as_ref().is_some_and(|status| status.hard.is_some()) { Ok(()) } else { Err(status) }
    })
    .await;
    let job = house.job("full", "exit 0", spec).await;
    let (_, reason, message) = completed(&house.run(&job).await);
    assert_eq!(reason, "Refused", "{message}");
    assert!(message.contains("exceeded quota: none"), "{message}");
}
