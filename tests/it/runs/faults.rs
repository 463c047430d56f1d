//! An API server that goes away and comes back.

use k8s_openapi::api::batch::v1 as batchv1;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_while_the_api_server_is_away_and_everything_afterwards() {
    let house = House::start().await;
    let job = house.job("away", "exit 0", "{}").await;
    house.run(&job).await;
    house.wire.cut(true);
    let run = house.send(&job, "2").await.execution;
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none());
    house.wire.cut(false);
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_is_believed_although_a_watch_is_broken() {
    let house = House::start().await;
    let job = house.job("doubt", "exit 0", "{}").await;
    house.run(&job).await;
    // The watches break, the Job is suspended meanwhile, and an event arrives before they are mended.
    house.wire.cut(true);
    house.patch_job("doubt", json!({"spec": {"suspend": true}})).await;
    let run = house.send(&job, "2").await.execution;
    house.wire.cut(false);
    house.reaches(&run, Phase::Queued).await;
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none());
}
