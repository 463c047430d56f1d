//! How many tasks run at a time, from the start and while they do.

use std::path::Path;

use k8s_openapi::api::batch::v1 as batchv1;
use serde_json::json;

use super::*;

/// Runs until so many tasks run at the same time, or until the gate is open.
fn meeting(directory: &Path, number: usize) -> String {
    let place = directory.display();
    format!(
        "touch {place}/$CLOUD_RUN_TASK_INDEX; until [ -e {place}/open ] || [ $$(ls {place} | wc -l) -ge {number} ]; do sleep 0.05; done"
    )
}

async fn ask_for(house: &House, run: &str, parallelism: i32) {
    let patch = Patch::Merge(json!({"spec": {"parallelism": parallelism}}));
    house.api::<Execution>().patch(run, &PatchParams::default(), &patch).await.unwrap();
}

async fn given(house: &House, run: &str, wanted: i32) {
    eventually(&format!("{wanted} tasks may run at a time"), async || {
        let found = house.api::<batchv1::Job>().get(run).await.unwrap().spec.unwrap().parallelism;
        if found == Some(wanted) { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn running(house: &House, run: &str, wanted: i32) {
    eventually(&format!("{wanted} tasks run"), async || {
        let status = house.execution(run).await.status.unwrap_or_default();
        if status.running_count == wanted { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_and_zero_mean_all_tasks_at_once() {
    let house = House::start().await;
    for (name, spec) in [("nothing", "{taskCount: 3}"), ("zero", "{taskCount: 3, parallelism: 0}")] {
        let directory = tempfile::tempdir().unwrap();
        let job = house.job(name, &meeting(directory.path(), 3), spec).await;
        assert_completed(&house.run(&job).await, "Succeeded", "3 tasks succeeded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_run_once_that_is_asked_for() {
    let house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let job = house.job("raised", &meeting(directory.path(), 3), "{taskCount: 3, parallelism: 1}").await;
    let run = house.send(&job, "1").await.execution;
    running(&house, &run, 1).await;
    ask_for(&house, &run, 3).await;
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Succeeded", "3 tasks succeeded");
    assert_eq!(ended.spec.template.spec.parallelism, Some(1), "the snapshot stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_tasks_run_once_that_is_asked_for_and_none_is_lost() {
    let house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let job = house.job("lowered", &meeting(directory.path(), 9), "{taskCount: 3}").await;
    let run = house.send(&job, "1").await.execution;
    running(&house, &run, 3).await;
    ask_for(&house, &run, 1).await;
    given(&house, &run, 1).await;
    running(&house, &run, 1).await;
    std::fs::write(directory.path().join("open"), "").unwrap();
    let ended = house.ended(&run).await;
    assert_completed(&ended, "Succeeded", "3 tasks succeeded");
    assert_eq!(counts(&ended), [3, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_parallelism_somebody_else_takes_away_go_on() {
    let house = House::start().await;
    let directory = tempfile::tempdir().unwrap();
    let job = house.job("paused", &meeting(directory.path(), 9), "{}").await;
    let run = house.send(&job, "1").await.execution;
    running(&house, &run, 1).await;
    let none = Patch::Merge(json!({"spec": {"parallelism": 0}}));
    house.api::<batchv1::Job>().patch(&run, &PatchParams::default(), &none).await.unwrap();
    given(&house, &run, 1).await;
    std::fs::write(directory.path().join("open"), "").unwrap();
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test]
async fn what_is_no_parallelism_is_refused() {
    let house = House::without_controllers().await;
    let job = house.job("odd", "true", "{}").await;
    let run = house.send(&job, "1").await.execution;
    for wrong in [json!(-1), json!(10_001), json!("all")] {
        let patch = Patch::Merge(json!({"spec": {"parallelism": wrong}}));
        let refused = house.api::<Execution>().patch(&run, &PatchParams::default(), &patch).await;
        assert!(refused.is_err(), "{wrong}");
    }
    ask_for(&house, &run, 0).await;
    // What else the snapshot says stays as it is.
    let patch = Patch::Merge(json!({"spec": {"template": {"spec": {"parallelism": 2}}}}));
    assert!(house.api::<Execution>().patch(&run, &PatchParams::default(), &patch).await.is_err());
}
