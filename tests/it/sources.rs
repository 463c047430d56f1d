//! Knative's PingSource in local mode: what the API takes and shows, and what reaches a sink over HTTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kakehi::local::server::{self, Server};
use kakehi::local::store::{self, Store};
use kakehi::sources::{self, PingSource};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::eventually;

/// A sink that keeps what it is sent, and answers what it was told to; then 202.
#[derive(Clone, Default)]
struct Sink {
    requests: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Sink {
    /// Serves it, and returns its URL.
    async fn serve(&self) -> String {
        let sink = self.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            sink.requests.lock().push((headers, body));
            StatusCode::from_u16(sink.answers.lock().pop_front().unwrap_or(202)).unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = axum::serve(listener, Router::new().fallback(take));
        tokio::spawn(async move { serving.await.unwrap() });
        format!("http://{address}/some/path?q=1")
    }

    fn answer(&self, codes: &[u16]) {
        self.answers.lock().extend(codes);
    }

    /// Waits for so many requests, and takes them.
    async fn requests(&self, count: usize) -> Vec<(HeaderMap, Bytes)> {
        eventually("the requests have come", async || {
            let found = self.requests.lock().len();
            if found >= count { Ok(()) } else { Err(found) }
        })
        .await;
        self.requests.lock().drain(..).collect()
    }
}

/// An API server that knows the sources.
fn serve() -> Client {
    let options = server::Options { admissions: sources::admissions(), ..server::Options::default() };
    let store = Store::open(store::Options::memory()).unwrap();
    let definitions = [kakehi::api::crds(), sources::definitions()].concat();
    Client::new(Server::new(store, definitions, options).unwrap().router(), "default")
}

/// The sources at work by a clock, until the guard is dropped.
fn run(client: &Client, clock: sources::Clock) -> DropGuard {
    let shutdown = CancellationToken::new();
    tokio::spawn(sources::run_by(clock, client.clone(), shutdown.clone()));
    shutdown.drop_guard()
}

fn ping(name: &str, spec: &Value) -> PingSource {
    let object = json!({"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

async fn create(client: &Client, name: &str, spec: Value) -> Result<PingSource, kube::Error> {
    let api: Api<PingSource> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &ping(name, &spec)).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// Milliseconds that the clock of the test below is ahead; its time is the world's.
static AHEAD: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    let now = Timestamp::now().as_millisecond() + AHEAD.load(Ordering::Relaxed);
    Timestamp::from_millisecond(now).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_of_the_year_reaches_the_sink_as_knative_would_send_it() {
    let (client, sink) = (serve(), Sink::default());
    let url = sink.serve().await;
    // Two seconds before midnight in Tokyo.
    let begin: Timestamp = "2029-12-31T14:59:58Z".parse().unwrap();
    AHEAD.store(begin.as_millisecond() - Timestamp::now().as_millisecond(), Ordering::Relaxed);
    let _running = run(&client, clock);
    let spec = json!({
        "schedule": "0 0 1 1 *", "timezone": "Asia/Tokyo", "contentType": "application/json",
        "data": r#"{"year": 2030}"#, "ceOverrides": {"extensions": {"tier": "night"}}, "sink": {"uri": url},
    });
    create(&client, "year", spec).await.unwrap();
    let requests = sink.requests(1).await;
    let [(headers, body)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(&body[..], br#"{"year": 2030}"#);
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "dev.knative.sources.ping"),
        ("ce-source", "/apis/v1/namespaces/default/pingsources/year"),
        ("ce-tier", "night"),
        ("content-type", "application/json"),
        ("content-length", "14"),
        ("kn-namespace", "default"),
    ] {
        assert_eq!(header(headers, name), Some(value), "{name}");
    }
    assert!(header(headers, "ce-time").unwrap().starts_with("2029-12-31T15:00:0"), "{headers:?}");
    for absent in ["ce-subject", "ce-datacontenttype", "prefer"] {
        assert_eq!(header(headers, absent), None, "{absent}");
    }
    let api: Api<PingSource> = Api::default_namespaced(client);
    eventually("the status speaks of both", async || {
        let status = api.get("year").await.unwrap().status.unwrap_or_default();
        let times = (status.last_schedule_time, status.next_schedule_time);
        let shown = times.0.zip(times.1).map(|(last, next)| (last.0.to_string(), next.0.to_string()));
        let wanted = Some(("2029-12-31T15:00:00Z".to_owned(), "2030-12-31T15:00:00Z".to_owned()));
        if shown == wanted { Ok(()) } else { Err(shown) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sent_again_under_its_id_and_is_lost_in_the_end() {
    let (client, sink) = (serve(), Sink::default());
    let url = sink.serve().await;
    sink.answer(&[503, 404, 202]);
    let running = run(&client, Timestamp::now);
    create(&client, "second", json!({"schedule": "* * * * * *", "sink": {"uri": url}})).await.unwrap();
    let first: Vec<String> = sink
        .requests(3)
        .await
        .iter()
        .take(3)
        .map(|(headers, body)| {
            assert!(body.is_empty() && header(headers, "content-type").is_none(), "{headers:?}");
            header(headers, "ce-id").unwrap().to_owned()
        })
        .collect();
    assert!(first.iter().all(|id| *id == first[0]), "{first:?}");
    // An answer that is final.
    sink.answer(&[400]);
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let note = eventually("the loss is told", async || {
        let found = events.list(&ListParams::default()).await.unwrap().items;
        found
            .into_iter()
            .find(|event| event.reason.as_deref() == Some("EventLost"))
            .and_then(|event| event.note)
            .ok_or("nothing")
    })
    .await;
    assert!(note.contains("did not take it in one attempt; the answer was 400"), "{note}");
    // A source that is gone sends nothing more.
    let api: Api<PingSource> = Api::default_namespaced(client);
    api.delete("second", &DeleteParams::default()).await.unwrap();
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_waits_for_its_sink_and_follows_its_changes() {
    let (client, sink) = (serve(), Sink::default());
    let url = sink.serve().await;
    let _running = run(&client, Timestamp::now);
    let reference = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": "late"});
    let spec = json!({"schedule": "* * * * * *", "data": "a", "sink": {"ref": reference, "uri": "?y=2"}});
    create(&client, "waiting", spec).await.unwrap();
    let api: Api<PingSource> = Api::default_namespaced(client.clone());
    let ready = async |wanted: &str| {
        eventually("the condition is there", async || {
            let status = api.get("waiting").await.unwrap().status.unwrap_or_default();
            let found = status.conditions.into_iter().find(|condition| condition.kind == "Ready");
            let found = found.map(|found| (found.status, found.message)).unwrap_or_default();
            if found.0 == wanted { Ok(found.1) } else { Err(found) }
        })
        .await
    };
    assert_eq!(ready("False").await, "there is no Job late in namespace default");
    let jobs: Api<kakehi::api::Job> = Api::default_namespaced(client);
    let job = json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "late"},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "busybox"}]}}}}},
    });
    jobs.create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    let status = Patch::Merge(json!({"status": {"address": {"name": "http", "url": url}}}));
    jobs.patch_status("late", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(ready("True").await, "");
    assert_eq!(&sink.requests(1).await[0].1[..], b"a");
    let uri = api.get("waiting").await.unwrap().status.unwrap().sink_uri.unwrap();
    assert_eq!(uri, url.replace("?q=1", "?y=2"));
    let patch = Patch::Merge(json!({"spec": {"data": "b"}}));
    api.patch("waiting", &PatchParams::default(), &patch).await.unwrap();
    eventually("the new data is sent", async || {
        let bodies = sink.requests(1).await;
        if bodies.iter().any(|(_, body)| &body[..] == b"b") { Ok(()) } else { Err("the old") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_refuses_what_knatives_web_hook_refuses_and_shows_what_knative_shows() {
    let client = serve();
    let sink = json!({"uri": "http://sink.example"});
    let plain = json!({"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "plain"}, "spec": {"sink": sink}});
    let request = http::Request::post("/apis/sources.knative.dev/v1/namespaces/default/pingsources")
        .header("content-type", "application/json")
        .body(plain.to_string().into_bytes())
        .unwrap();
    let made: Value = client.request(request).await.unwrap();
    assert_eq!(made["spec"]["schedule"], "* * * * *", "what Knative's web hook gives it");
    let refused =
        create(&client, "wrong", json!({"schedule": "61 * * * *", "timezone": "", "sink": sink})).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("{refused:?}") };
    assert_eq!(status.code, 422);
    let words = "PingSource.sources.knative.dev \"wrong\" is invalid: spec.schedule: Invalid value: \"61 * * * *\": minute: `61` is not from 0 to 59";
    assert_eq!(status.message, words);
    let api: Api<PingSource> = Api::default_namespaced(client.clone());
    let patch = Patch::Merge(json!({"spec": {"timezone": "Mars/Olympus"}}));
    let refused = api.patch("plain", &PatchParams::default(), &patch).await.unwrap_err().to_string();
    assert!(
        refused.contains("spec.timezone") && refused.contains("Mars/Olympus is no time zone"),
        "{refused}"
    );
    let request = http::Request::get("/apis/sources.knative.dev/v1/namespaces/default/pingsources")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = client.request(request).await.unwrap();
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["Name", "Sink", "Schedule", "Age", "Ready", "Reason", "Next"]);
}
