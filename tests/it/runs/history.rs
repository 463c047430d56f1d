//! What a Job and a Trigger say of themselves, and which runs are forgotten.

use std::time::Instant;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::SignedDuration;
use kakehi::api::LABEL_EXECUTION;
use kakehi::api::Trigger;
use serde_json::json;

use super::*;

async fn job_status(house: &House, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = serde_json::to_value(house.api::<Job>().get(name).await.unwrap().status).unwrap();
        if wanted(&status) { Ok(status) } else { Err(status) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_has_an_address_before_its_first_run() {
    let house = House::start().await;
    house.job("fresh", "exit 0", "{}").await;
    let status = job_status(&house, "fresh", "it is ready", |status| status["address"].is_object()).await;
    let url = format!("http://sink.example/namespaces/{}/jobs/fresh", house.namespace);
    assert_eq!(status["address"], json!({"name": "http", "url": url}));
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["observedGeneration"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_counts_its_runs() {
    let house = House::start().await;
    let job = house.job("counts", "test \"$CE_ID\" != 3 || exec sleep 600", "{}").await;
    let mut last = String::new();
    for id in ["1", "2", "3"] {
        last = house.send(&job, id).await.execution;
        if id != "3" {
            house.ended(&last).await;
        }
    }
    let status = job_status(&house, "counts", "it counts three", |status| {
        status["executionCount"] == 3 && status["runningCount"] == 1
    })
    .await;
    assert_eq!(status["queuedCount"], 0);
    assert_eq!(
        status["latestCreatedExecution"]["creationTimestamp"].as_str().unwrap().len(),
        "2026-01-01T00:00:00Z".len()
    );
    ops::delete::<Execution>(&house.client, &house.namespace, &last).await.unwrap();
    let status = job_status(&house, "counts", "it forgets one", |status| {
        status["executionCount"] == 2 && status["runningCount"] == 0
    })
    .await;
    assert!(status["latestCreatedExecution"]["completionTimestamp"].is_string());
    for run in house.api::<Execution>().list(&ListParams::default()).await.unwrap().items {
        ops::delete::<Execution>(&house.client, &house.namespace, run.metadata.name.as_deref().unwrap())
            .await
            .unwrap();
    }
    let status = job_status(&house, "counts", "it forgets all", |status| status["executionCount"] == 0).await;
    assert_eq!(status.get("latestCreatedExecution"), None, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_runs_is_summed_up_a_few_times() {
    let house = House::start().await;
    let job = house.job("burst", "exit 0", "{suspend: true}").await;
    let start = Instant::now();
    for id in 0..200 {
        house.send(&job, &id.to_string()).await;
    }
    job_status(&house, "burst", "all are counted", |status| status["queuedCount"] == 200).await;
    let writes = house.wire.writes("/jobs/burst/status").len();
    // Two a second, one for the Job itself, and one for the second that has begun.
    let fair = usize::try_from(start.elapsed().as_millis() / 500).unwrap() + 3;
    assert!(writes <= fair, "{writes} writes for 200 runs; {fair} would be fair");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_event_is_known_even_where_no_history_is_kept() {
    let house = House::start().await;
    let job = house.job("forgetful", "exit 0", "{}").await;
    house.patch_job("forgetful", json!({"spec": {"history": {"limit": 0, "ttlSeconds": 0}}})).await;
    let name = house.run(&job).await.metadata.name.unwrap();
    job_status(&house, "forgetful", "the end is summed up", |status| {
        status["latestCreatedExecution"]["completionTimestamp"].is_string()
    })
    .await;
    assert_eq!(house.send(&job, "1").await, Accepted { execution: name, outcome: ops::Outcome::Duplicate });
}

fn in_two_hours() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_runs_beyond_the_limit_go_with_everything_they_own() {
    let mut house = House::start().await;
    let job = house.job("limited", "exit 0", "{}").await;
    house.patch_job("limited", json!({"spec": {"history": {"limit": 1, "ttlSeconds": 604_800}}})).await;
    let mut runs = Vec::new();
    for id in ["1", "2", "3"] {
        let run = house.send(&job, id).await.execution;
        runs.push(house.ended(&run).await);
    }
    let held = house.job("held", "exit 0", "{suspend: true}").await;
    house.patch_job("held", json!({"spec": {"history": {"limit": 0, "ttlSeconds": 0}}})).await;
    let open = house.send(&held, "1").await.execution;
    job_status(&house, "limited", "all three are kept for an hour", |status| status["executionCount"] == 3)
        .await;
    house.stop_controllers().await;
    house.start_controllers_by(in_two_hours);
    job_status(&house, "limited", "one is kept", |status| status["executionCount"] == 1).await;
    let left = house.api::<Execution>().list(&ListParams::default()).await.unwrap().items;
    let left: Vec<_> = left.iter().filter_map(|run| run.metadata.name.as_deref()).collect();
    // Ends are told in seconds, so any of the three may count as the last.
    assert_eq!(left.iter().filter(|name| name.starts_with("limited-")).count(), 1, "{left:?}");
    assert!(left.contains(&open.as_str()), "a run that has not ended is never forgotten");
    eventually("their tasks went with them", async || {
        let ours = ListParams::default().labels(LABEL_EXECUTION);
        let sets = house.api::<batchv1::Job>().list(&ours).await.unwrap().items.len();
        let files = house.api::<ConfigMap>().list(&ours).await.unwrap().items.len();
        if (sets, files) == (1, 1) { Ok(()) } else { Err((sets, files)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_says_what_it_lacks() {
    let house = House::start().await;
    let trigger = |filters: Value| -> Trigger {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "t"},
            "spec": {"filters": filters, "job": {"name": "later"}},
        }))
        .unwrap()
    };
    let says = async |reason: &str| {
        eventually(&format!("it says {reason}"), async || {
            let status = house.api::<Trigger>().get("t").await.unwrap().status.unwrap_or_default();
            let ready = condition(&status.conditions, "Ready");
            if ready.is_some_and(|ready| ready.reason == reason) { Ok(()) } else { Err(status) }
        })
        .await;
    };
    house
        .api()
        .create(&PostParams::default(), &trigger(json!([{"exact": {"type": "order"}}])))
        .await
        .unwrap();
    says("JobNotFound").await;
    house.job("later", "exit 0", "{}").await;
    says("Ready").await;
    let broken = json!({"spec": {"filters": [{"exact": {}}]}});
    house.api::<Trigger>().patch("t", &PatchParams::default(), &Patch::Merge(broken)).await.unwrap();
    says("FilterInvalid").await;
    let mended = json!({"spec": {"filters": []}});
    house.api::<Trigger>().patch("t", &PatchParams::default(), &Patch::Merge(mended)).await.unwrap();
    says("Ready").await;
    ops::delete::<Job>(&house.client, &house.namespace, "later").await.unwrap();
    says("JobNotFound").await;
}
