//! Events that runs of a Job led to, sent to that Job.

use serde_json::Value;
use serde_json::json;

use super::World;
use super::event;
use super::setup;
use crate::support::eventually;

const JOB: &str = "/namespaces/apps/jobs/resize";

/// An event that tells the end of a run of those Jobs, one after the other.
fn told(world: &World, path: &str, id: &str, jobs: &[&str]) -> axum::extract::Request {
    let chain: Vec<String> = jobs.iter().map(|job| format!("{}/{job}", world.namespace())).collect();
    let mut request = event(path, id);
    request.headers_mut().insert("ce-kakehichain", chain.join(",").parse().unwrap());
    request.headers_mut().insert("prefer", "return=representation".parse().unwrap());
    request
}

#[tokio::test]
async fn a_job_does_not_run_because_of_itself_and_its_sender_has_succeeded() {
    let world = setup().job("resize").start().await;
    for jobs in [&["resize"][..], &["resize", "other"], &["other", "resize"]] {
        let answer = world.send(told(&world, JOB, "1", jobs)).await;
        assert_eq!((answer.code(), answer.header("location")), (202, None), "{jobs:?}");
        let line = json!([{"event": 0, "trigger": null, "outcome": "loop", "execution": null}]);
        assert_eq!(answer.json(), line);
    }
    assert!(world.executions().await.is_empty());
    let answer = world.send(told(&world, JOB, "1", &["other", "resized"])).await;
    assert_eq!(answer.json()[0]["outcome"], "created");
}

#[tokio::test]
async fn of_several_jobs_the_others_run() {
    let to = |job: &str| json!({"job": {"name": job}});
    let world = setup().job("resize").job("other").trigger("a", to("resize")).trigger("b", to("other"));
    let world = world.start().await;
    let answer = world.send(told(&world, "/namespaces/apps", "1", &["resize"])).await;
    let outcomes: Vec<Value> =
        answer.json().as_array().unwrap().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["loop", "created"]);
    assert!(answer.header("location").unwrap().contains("/other-"));
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn a_job_may_want_its_own_ends() {
    let world = setup().start().await;
    world.create_job_with("resize", json!({"event": {"allowLoop": true}})).await;
    eventually("the Job is seen and runs", async || {
        let answer = world.send(told(&world, JOB, "1", &["resize"])).await;
        if answer.header("location").is_some() { Ok(()) } else { Err(answer) }
    })
    .await;
}
