//! The rows about what the Job says of itself, and what reaches its containers.

use futures::TryStreamExt;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kakehi::api::{Execution, Job, condition};
use kakehi::event::Event;
use kakehi::ops::{self, Outcome};
use kakehi::plan;
use kube::api::{DeleteParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::runs::House;
use crate::support::{DEADLINE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn row_01_the_address_has_a_host_before_the_job_is_ready() {
    let mut house = House::without_controllers().await;
    house.job("addressed", "exit 0", "{}").await;
    // Every state that the Job is ever in.
    let api = house.api::<Job>();
    let mut changes = std::pin::pin!(api.watch(&WatchParams::default(), "0").await.unwrap());
    house.start_controllers();
    let ready = async {
        while let Some(event) = changes.try_next().await.unwrap() {
            let (WatchEvent::Added(job) | WatchEvent::Modified(job)) = event else { continue };
            let status = job.status.unwrap_or_default();
            let address = status.address.as_ref();
            if let Some(address) = address {
                let url: http::Uri = address.url.parse().unwrap();
                assert_eq!((url.scheme_str(), url.host()), (Some("http"), Some("sink.example")), "{url}");
                assert_eq!(url.path(), format!("/namespaces/{}/jobs/addressed", house.namespace));
                assert_eq!(address.name.as_deref(), Some("http"));
            }
            let ready = condition(&status.conditions, "Ready");
            if ready.is_some_and(|ready| ready.status == "True") {
                assert!(address.is_some(), "ready without an address");
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, ready).await.expect("it becomes ready");
}

#[test]
fn row_04_the_definition_of_a_job_is_labelled_addressable() {
    for definition in kakehi::api::crds() {
        let label =
            definition.metadata.labels.as_ref().and_then(|all| all.get("duck.knative.dev/addressable"));
        let wanted = (definition.spec.names.kind == "Job").then_some("true");
        assert_eq!(label.map(String::as_str), wanted, "{}", definition.spec.names.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_the_status_follows_the_generation() {
    let house = House::start().await;
    house.job("bumped", "exit 0", "{}").await;
    for (suspend, generation) in [(false, 1), (true, 2), (false, 3)] {
        if generation > 1 {
            house.patch_job("bumped", json!({"spec": {"suspend": suspend}})).await;
        }
        eventually("the status speaks of the newest generation", async || {
            let job = house.api::<Job>().get("bumped").await.unwrap();
            let status = job.status.unwrap_or_default();
            let ready = condition(&status.conditions, "Ready").and_then(|ready| ready.observed_generation);
            let found = (job.metadata.generation, status.observed_generation, ready);
            let wanted = Some(generation);
            if found == (wanted, wanted, wanted) { Ok(()) } else { Err(found) }
        })
        .await;
    }
}

fn in_59_minutes() -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(59)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_28_an_event_is_remembered_for_an_hour_whatever_becomes_of_its_tasks() {
    let mut house = House::start().await;
    let job = house.job("forgetful", "exit 0", "{}").await;
    house.patch_job("forgetful", json!({"spec": {"history": {"limit": 0, "ttlSeconds": 0}}})).await;
    let run = house.run(&job).await.metadata.name.unwrap();
    house.api::<batchv1::Job>().delete(&run, &DeleteParams::background()).await.unwrap();
    eventually("its tasks are gone", async || {
        let found = house.api::<batchv1::Job>().get_opt(&run).await.unwrap();
        found.map_or(Ok(()), |_| Err("still there"))
    })
    .await;
    house.stop_controllers().await;
    house.start_controllers_by(in_59_minutes);
    // By the time that another run is counted, the history was looked through.
    let other = house.send(&job, "2").await.execution;
    house.ended(&other).await;
    eventually("both are counted", async || {
        let count =
            house.api::<Job>().get("forgetful").await.unwrap().status.unwrap_or_default().execution_count;
        if count == 2 { Ok(()) } else { Err(count) }
    })
    .await;
    let again = house.send(&job, "1").await;
    assert_eq!((again.execution, again.outcome), (run.clone(), Outcome::Duplicate));
    assert!(house.api::<batchv1::Job>().get_opt(&run).await.unwrap().is_none(), "and it is not run again");
}

/// Runs `script` for that event, and returns what it wrote as its termination message.
async fn said(house: &House, name: &str, script: &str, event: &Event) -> String {
    let script = format!("{{ {script}; }} > \"$TERMINATION_LOG_PATH\"");
    let job = house.job(name, &script, "{}").await;
    let planned = plan::Prepared::new(job).for_event(event, None).unwrap();
    let run = ops::accept(&house.client, &planned).await.unwrap().execution;
    let ended = house.ended(&run).await;
    ended.status.unwrap().result.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_43_data_reaches_the_container_byte_for_byte() {
    let house = House::start().await;
    let event = |content_type: Option<&str>, data: &'static [u8]| {
        let event = Event::builder().required("1", "/s", "t");
        let event = match content_type {
            Some(content_type) => event.set("datacontenttype", content_type),
            None => event,
        };
        event.data(data).build().unwrap()
    };
    let script = "od -An -v -tx1 \"$K_EVENT_PATH/data\" | tr -d ' \\n'; printf ' %s' \"$CE_DATACONTENTTYPE\"";
    for (name, content_type, data) in [
        ("bytes", Some("image/png"), &b"\xff\x00\r\n\xc3"[..]),
        ("xml", Some("text/xml"), b"<a b='1'>\n\xe2\x82\xac</a>\n"),
        ("untyped", None, b" {\"a\": 1.10} "),
    ] {
        let hex = data.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let wanted = format!("{hex} {}", content_type.unwrap_or_default());
        assert_eq!(said(&house, name, script, &event(content_type, data)).await, wanted, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_61_the_trace_of_an_event_reaches_the_container() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let house = House::start().await;
    let script = "printf '%s|%s|%s' \"$TRACEPARENT\" \"$TRACESTATE\" \"$CE_TRACEPARENT\"";
    let event = |parent: &str| {
        let event = Event::builder().required("1", "/s", "t");
        event.set("traceparent", parent).set("tracestate", "vendor=$(HOME)").build().unwrap()
    };
    let found = said(&house, "traced", script, &event(PARENT)).await;
    assert_eq!(found, format!("{PARENT}|vendor=$(HOME)|{PARENT}"));
    // A broken one is an extension like any other, and no trace.
    let found = said(&house, "broken", script, &event("00-broken")).await;
    assert_eq!(found, "||00-broken");
    // The trace of the request that brought the event, where the event has none.
    let job = house.job("hop", &format!("{script} > \"$TERMINATION_LOG_PATH\""), "{}").await;
    let hop = kakehi::event::TraceContext::new(PARENT, None);
    let event = Event::builder().required("1", "/s", "t").build().unwrap();
    let planned = plan::Prepared::new(job).for_event(&event, None).unwrap().in_trace(hop.as_ref());
    let run = ops::accept(&house.client, &planned).await.unwrap().execution;
    assert_eq!(house.ended(&run).await.status.unwrap().result.unwrap(), format!("{PARENT}||"));
    let kept = house.api::<Execution>().get(&run).await.unwrap().metadata.annotations.unwrap();
    assert_eq!(kept[kakehi::api::ANNOTATION_TRACEPARENT], PARENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_48_a_dead_letter_tells_the_container_why_it_died() {
    let house = House::start().await;
    // As a broker adds them (contract: destination, status code, start of the answer in Base64, which may be empty).
    let event = |data: &str| {
        let event = Event::builder().required("1", "/s", "t");
        let event =
            event.set("knativeerrordest", "http://sink.example/a?b=$(HOME)").set("knativeerrorcode", 422);
        event.set("knativeerrordata", data).data("{}").build().unwrap()
    };
    let script = "printf '%s|%s|%s|%s' \"$CE_KNATIVEERRORDEST\" \"$CE_KNATIVEERRORCODE\" \"$CE_KNATIVEERRORDATA\" \"${CE_KNATIVEERRORDATA+set}\"";
    let found = said(&house, "dead", script, &event("bm8gdmFsdWU=")).await;
    assert_eq!(found, "http://sink.example/a?b=$(HOME)|422|bm8gdmFsdWU=|set");
    let found = said(&house, "silent", script, &event("")).await;
    assert_eq!(found, "http://sink.example/a?b=$(HOME)|422||set");
}
