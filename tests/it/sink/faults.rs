//! When the API server fails, caches are cold, or the end has come: nothing is lost, and the sender is told to try again.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::stream;
use http::Method;
use serde_json::json;
use tokio::sync::oneshot;

use super::World;
use super::event;
use super::setup;
use crate::support::eventually;
use crate::support::faults::Fault;
use crate::support::faults::Head;

fn is_create(request: &Head) -> bool {
    request.method() == Method::POST && request.uri().path().ends_with("/executions")
}

/// An event whose body ends when told to.
fn held(path: &str, id: &str) -> (Request, oneshot::Sender<()>) {
    let (release, released) = oneshot::channel::<()>();
    let body = stream::once(async move {
        drop(released.await);
        Ok::<_, std::io::Error>(Bytes::from_static(b"{}"))
    });
    let mut request = event(path, id);
    *request.body_mut() = Body::from_stream(body);
    (request, release)
}

async fn get(world: &World, path: &str) -> u16 {
    world.send(Request::get(path).body(Body::empty()).unwrap()).await.code()
}

#[tokio::test]
async fn an_api_server_that_fails_is_503_and_the_retry_is_harmless() {
    let world = setup().job("resize").trigger("all", json!({"job": {"name": "resize"}})).start().await;
    let location = world.post_event("before").await.header("location").unwrap().to_owned();
    for code in [500, 502, 503, 504, 429, 401, 403, 409] {
        world.faults.set(move |_| Some(Fault::Answer(code)));
        for path in ["/namespaces/apps/jobs/resize", "/namespaces/apps", "/namespaces/apps/jobs/unseen"] {
            let answer = world.send(event(path, "1")).await;
            assert_eq!(answer.code(), 503, "{code} {path}");
            answer.detail();
        }
        assert_eq!(get(&world, &location).await, 503, "{code}");
    }
    assert_eq!(world.executions().await.len(), 1);
    world.faults.clear();
    assert_eq!(world.post_event("1").await.code(), 202);
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_a_duplicate_at_the_next_attempt() {
    let world = setup().job("resize").start().await;
    world.faults.set(|request| is_create(request).then_some(Fault::Lose));
    assert_eq!(world.post_event("1").await.code(), 503);
    assert_eq!(world.executions().await.len(), 1);
    world.faults.clear();
    let mut request = event("/namespaces/apps/jobs/resize", "1");
    request.headers_mut().insert("prefer", "return=representation".parse().unwrap());
    assert_eq!(world.send(request).await.json()[0]["outcome"], "duplicate");
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_503_and_the_retry_is_harmless() {
    let world = setup().job("resize").start().await;
    let faults = [(Fault::Reset, false), (Fault::LoseAll, true), (Fault::Cut(0), true)];
    for (number, (fault, is_done)) in faults.into_iter().enumerate() {
        let id = number.to_string();
        world.faults.set(move |request| is_create(request).then_some(fault));
        let answer = world.post_event(&id).await;
        assert_eq!(answer.code(), 503, "{fault:?}");
        answer.detail();
        assert_eq!(world.executions().await.len(), number + usize::from(is_done), "{fault:?}");
        world.faults.clear();
        assert_eq!(world.post_event(&id).await.code(), 202, "{fault:?}");
        assert_eq!(world.executions().await.len(), number + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_partial_failure_is_503_and_the_retry_completes_the_rest() {
    let world = setup()
        .job("one")
        .job("two")
        .job("three")
        .trigger("a", json!({"job": {"name": "one"}}))
        .trigger("b", json!({"job": {"name": "two"}}))
        .trigger("c", json!({"job": {"name": "three"}}))
        .start()
        .await;
    let creates = AtomicUsize::new(0);
    world.faults.set(move |request| {
        let fails = is_create(request) && creates.fetch_add(1, Ordering::SeqCst) == 1;
        fails.then_some(Fault::Answer(500))
    });
    let answer = world.publish("1").await;
    assert_eq!(answer.code(), 503);
    answer.detail();
    assert_eq!(world.executions().await.len(), 2);

    let mut request = event("/namespaces/apps", "1");
    request.headers_mut().insert("prefer", "return=representation".parse().unwrap());
    let answer = world.send(request).await;
    assert_eq!(answer.code(), 202);
    let list = answer.json();
    let count = |outcome| list.as_array().unwrap().iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((count("created"), count("duplicate")), (1, 2));
    assert_eq!(world.executions().await.len(), 3);
}

#[tokio::test]
async fn a_refused_execution_keeps_the_event_with_the_sender_until_the_job_is_mended() {
    let world = setup().job("resize").start().await;
    for code in [400, 405, 406, 415, 422] {
        world.faults.set(move |request| is_create(request).then_some(Fault::Answer(code)));
        let answer = world.post_event("1").await;
        assert_eq!(answer.code(), 503, "{code}");
        assert!(answer.detail().contains("resize"), "{code}");
    }
    world.faults.clear();
    assert_eq!(world.post_event("1").await.code(), 202);
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn an_execution_too_large_for_the_api_server_is_422_in_our_words() {
    let world = setup().job("resize").start().await;
    world.faults.set(|request| is_create(request).then_some(Fault::Answer(413)));
    let answer = world.post_event("1").await;
    assert_eq!(answer.code(), 422);
    assert!(answer.detail().contains("too large"));
}

#[tokio::test]
async fn cold_caches_are_503() {
    let world = setup().job("resize").cold().start().await;
    for path in ["/namespaces/apps/jobs/resize", "/namespaces/apps", "/"] {
        let answer = world.send(event(path, "1")).await;
        assert_eq!(answer.code(), 503, "{path}");
        answer.detail();
    }
    assert_eq!((get(&world, "/healthz").await, get(&world, "/readyz").await), (200, 503));
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn readiness_follows_the_caches() {
    let world = setup().start().await;
    assert_eq!((get(&world, "/healthz").await, get(&world, "/readyz").await), (200, 200));
    world.shutdown.cancel();
    assert_eq!((get(&world, "/healthz").await, get(&world, "/readyz").await), (200, 503));
}

#[tokio::test]
async fn a_job_that_the_watch_has_not_told_yet_is_found() {
    let world = setup().cold().start().await;
    // The list is served, the watch stays silent: the cache never learns of the Job.
    world.faults.set(|request| {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        watches.then_some(Fault::Hang)
    });
    let triggers = world.triggers.clone();
    tokio::spawn(async move { triggers.run(tokio_util::sync::CancellationToken::new()).await });
    eventually("synced", async || world.triggers.is_ready().then_some(()).ok_or("cold")).await;
    assert_eq!(world.post_event("1").await.code(), 404);
    world.create_job("resize").await;
    assert_eq!(world.post_event("1").await.code(), 202);
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn what_is_in_flight_ends_well_after_the_end_has_begun() {
    let world = setup().job("resize").start().await;
    let (request, release) = held("/namespaces/apps/jobs/resize", "early");
    let router = world.router.clone();
    let in_flight = tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap() });
    // Once the request holds its permit it is in flight; the spawned task runs at the next yield.
    tokio::task::yield_now().await;
    world.shutdown.cancel();
    let late = world.post_event("late").await;
    assert_eq!(late.code(), 503);
    late.detail();
    release.send(()).unwrap();
    assert_eq!(in_flight.await.unwrap().status(), 202);
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn a_panic_is_503() {
    let world = setup().job("resize").start().await;
    let mut request = event("/namespaces/apps/jobs/resize", "1");
    let broken = stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
        panic!("a bug, for this test")
    });
    *request.body_mut() = Body::from_stream(broken);
    let answer = world.send(request).await;
    assert_eq!(answer.code(), 503);
    assert!(!answer.detail().contains("bug"));
    assert_eq!(world.post_event("1").await.code(), 202);
}
