//! What is refused, what is sent, what is told; and a clock that runs, jumps and stands in for time.

#![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout};
use uuid::Uuid;

use super::delivery::Tick;
use super::object::PingSource;
use super::request::Message;
use super::source::Source;
use super::*;

fn sink() -> Value {
    json!({"ref": {"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": "tick"}})
}

/// The fields of an admitted spec with a change, and what is said of it.
fn refused(change: Value) -> Vec<(String, String)> {
    let mut spec = json!({"schedule": "* * * * *", "sink": sink()});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let objections = objections(&json!({"spec": spec})).into_iter();
    objections.map(|(field, _, reason)| (field, reason)).collect()
}

#[test]
fn what_knative_takes_is_taken() {
    for fine in [
        json!({}),
        json!({"schedule": ""}),
        json!({"schedule": "*/10 * * * * *", "timezone": "Asia/Tokyo"}),
        json!({"schedule": "CRON_TZ=Asia/Tokyo @daily", "timezone": ""}),
        json!({"contentType": "application/json", "data": r#" {"a": [1, {"b": null}]}"#}),
        json!({"contentType": "application/json", "data": "null"}),
        json!({"contentType": "application/json", "dataBase64": "e30="}),
        json!({"contentType": "application/json; charset=utf-8", "data": "[1]"}),
        json!({"contentType": "text/plain", "data": "{"}),
        json!({"data": "{"}),
        json!({"dataBase64": "iVBO\nRw0KGgo=\r\n"}),
        json!({"data": "x", "dataBase64": ""}),
        json!({"ceOverrides": {"extensions": {"tier": "night owls €", "Upper": "", "x1": "%20"}}}),
        json!({"sink": {"uri": "https://else.example/x?y", "CACerts": "x", "audience": "a"}}),
    ] {
        assert_eq!(refused(fine.clone()), [], "{fine}");
    }
}

#[test]
fn what_knative_refuses_is_refused_with_the_field_and_the_reason() {
    let table = [
        (json!({"schedule": "61 * * * *"}), "spec.schedule", "minute: `61` is not from 0 to 59"),
        (
            json!({"schedule": "* * * * 7"}),
            "spec.schedule",
            "day of week: `7` is not from 0 to 6 (SUN to SAT)",
        ),
        (json!({"schedule": "@every 5m"}), "spec.schedule", "@every is not supported"),
        (json!({"timezone": "UTC+8"}), "spec.timezone", "UTC+8 is no time zone"),
        (json!({"schedule": "TZ=Nowhere * * * * *"}), "spec.schedule", "Nowhere is no time zone"),
        (
            json!({"schedule": "TZ=UTC * * * * *", "timezone": "UTC"}),
            "spec.schedule",
            "the time zone is given twice",
        ),
        (json!({"data": "x", "dataBase64": "eA=="}), "spec.dataBase64", "there is `data` already"),
        (json!({"dataBase64": "eA"}), "spec.dataBase64", "it is not Base64"),
        (json!({"contentType": "application/json", "data": "[1]"}), "spec.data", "it is a JSON object"),
        (
            json!({"contentType": "application/json", "dataBase64": "WzFd"}),
            "spec.dataBase64",
            "it is a JSON object",
        ),
        (json!({"contentType": "a\nb"}), "spec.contentType", "line breaks"),
        (json!({"sink": null}), "spec.sink", "a destination has a `ref`, a `uri`, or both"),
        (json!({"sink": {"uri": "/path"}}), "spec.sink.uri", "of the form http://HOST"),
        (json!({"sink": {"ref": {"kind": "Job", "name": "x"}}}), "spec.sink.ref.apiVersion", "it is needed"),
        (
            json!({"ceOverrides": {"extensions": {"my-ext": "x"}}}),
            "spec.ceOverrides.extensions[my-ext]",
            "letters and digits",
        ),
        (
            json!({"ceOverrides": {"extensions": {"Type": "x"}}}),
            "spec.ceOverrides.extensions[Type]",
            "is not replaced",
        ),
        (
            json!({"ceOverrides": {"extensions": {"tier": "a\nb"}}}),
            "spec.ceOverrides.extensions[tier]",
            "line breaks",
        ),
    ];
    for (change, field, words) in table {
        let found = refused(change.clone());
        let [(named, reason)] = found.as_slice() else { panic!("{change}: {found:?}") };
        assert!(named == field && reason.contains(words), "{change}: {named}: {reason}");
    }
}

fn spec(value: Value) -> PingSourceSpec {
    serde_json::from_value(value).unwrap()
}

/// The request that is sent for a spec, as headers in the order of their names, and its body.
async fn sent(value: Value) -> (Vec<(String, String)>, Vec<u8>) {
    let now = "2026-11-22T07:20:00.268779172Z".parse().unwrap();
    let message = Message::new(&spec(value), ("shop", "every-minute"), Uuid::from_u128(1), now);
    let request = message.to(&"http://sink.example/x?y=1".parse().unwrap());
    assert_eq!(
        (request.method().as_str(), request.uri().to_string().as_str()),
        ("POST", "http://sink.example/x?y=1")
    );
    let text = |value: &http::HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
    let mut headers: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.sort();
    (headers, request.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// A spec, the headers that it adds, and the body.
type Row<'a> = (Value, &'a [(&'a str, &'a str)], &'a [u8]);

#[tokio::test]
async fn a_request_is_the_one_that_knatives_adapter_sends() {
    let always = [
        ("ce-id", "00000000-0000-0000-0000-000000000001"),
        ("ce-source", "/apis/v1/namespaces/shop/pingsources/every-minute"),
        ("ce-specversion", "1.0"),
        ("ce-time", "2026-11-22T07:20:00.268779172Z"),
        ("ce-type", "dev.knative.sources.ping"),
        ("kn-namespace", "shop"),
    ];
    let table: [Row<'_>; 6] = [
        (json!({}), &[], b""),
        // A content type goes with data, and data does not need one.
        (json!({"contentType": "text/plain"}), &[], b""),
        (json!({"data": "x"}), &[], b"x"),
        (
            json!({"contentType": "application/json", "data": r#"{ "b": 1, "a": 2 }"#}),
            &[("content-type", "application/json")],
            br#"{ "b": 1, "a": 2 }"#,
        ),
        (
            json!({"contentType": "image/png", "dataBase64": "iVBORw0KGgo="}),
            &[("content-type", "image/png")],
            b"\x89PNG\r\n\x1a\n",
        ),
        // What an override says goes as it stands.
        (
            json!({"ceOverrides": {"extensions": {"Tier": "a%20b €", "empty": ""}}}),
            &[("ce-empty", ""), ("ce-tier", "a%20b €")],
            b"",
        ),
    ];
    for (spec, more, body) in table {
        let mut wanted: Vec<_> = always
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        wanted.sort();
        assert_eq!(sent(spec.clone()).await, (wanted, body.to_vec()), "{spec}");
    }
}

thread_local! {
    /// What the clock of a test is ahead of the time that passes in it.
    static AHEAD: Cell<SignedDuration> = const { Cell::new(SignedDuration::ZERO) };
    /// When the test began.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs with the paused time of a test, from 12:00:05 on; a test may set it.
fn clock() -> Timestamp {
    let begun = BEGUN.get().unwrap_or_else(|| {
        let now = Instant::now();
        BEGUN.set(Some(now));
        now
    });
    let passed = SignedDuration::try_from(begun.elapsed()).unwrap();
    at("12:00:05").checked_add(passed).unwrap().checked_add(AHEAD.get()).unwrap()
}

fn at(time: &str) -> Timestamp {
    format!("2026-11-28T{time}Z").parse().unwrap()
}

/// A source at work by that clock, before an API server whose Job gets its address at the look of that number.
struct Stage {
    ticks: mpsc::Receiver<Tick>,
    /// Every status that was written.
    told: Arc<Mutex<Vec<Value>>>,
}

impl Stage {
    fn start(change: Value, addressed_at: usize) -> Self {
        let mut spec = json!({"schedule": "*/10 * * * * *", "sink": sink()});
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let object = json!({
            "apiVersion": "sources.knative.dev/v1", "kind": "PingSource",
            "metadata": {"name": "every", "namespace": "shop", "uid": "u", "generation": 3}, "spec": spec,
        });
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let (looks, notes, answer) = (Mutex::new(0), told.clone(), object.clone());
        let service = Arc::new(move |path: &str, body: &[u8]| {
            if path.ends_with("/pingsources/every/status") {
                let patch: Value = serde_json::from_slice(body).unwrap();
                notes.lock().push(patch["status"].clone());
                return (200, answer.clone());
            }
            assert_eq!(path, "/apis/run.kakehi.dev/v1alpha1/namespaces/shop/jobs/tick");
            *looks.lock() += 1;
            let status = if *looks.lock() < addressed_at {
                json!({})
            } else {
                json!({"address": {"url": "http://sink.example/j"}})
            };
            (
                200,
                json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "tick"}, "status": status}),
            )
        });
        let service = tower::service_fn(move |request: Request<Body>| {
            let service = service.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (code, answer) = service(head.uri.path(), &body);
                let response = Response::builder().status(code);
                Ok::<_, Infallible>(response.body(Body::from(answer.to_string().into_bytes())).unwrap())
            }
        });
        let (sender, ticks) = mpsc::channel(16);
        let context = Context { client: Client::new(service, "shop"), clock, ticks: sender };
        let source = Source::new(serde_json::from_value::<PingSource>(object).unwrap(), Arc::new(context));
        tokio::spawn(source.run());
        Self { ticks, told }
    }

    /// When the next event is due, and what the clock shows when it comes.
    async fn next(&mut self) -> (Timestamp, Timestamp) {
        let tick = self.ticks.recv().await.unwrap();
        assert_eq!(tick.sink, "http://sink.example/j");
        (tick.due, clock())
    }

    /// The last status once the source has had a moment to write it.
    async fn told(&self) -> Value {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.told.lock().last().unwrap().clone()
    }
}

/// The status of a condition with its reason and message.
fn condition(status: &Value, kind: &str) -> (String, String, String) {
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

#[tokio::test(start_paused = true)]
async fn events_are_due_by_the_clock() {
    let mut stage = Stage::start(json!({}), 1);
    for time in ["12:00:10", "12:00:20", "12:00:30"] {
        assert_eq!(stage.next().await, (at(time), at(time)));
    }
    let status = stage.told().await;
    assert_eq!(
        (&status["lastScheduleTime"], &status["nextScheduleTime"]),
        (&json!("2026-11-28T12:00:30Z"), &json!("2026-11-28T12:00:40Z"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_forward_brings_one_event() {
    let mut stage = Stage::start(json!({}), 1);
    assert_eq!(stage.next().await.0, at("12:00:10"));
    AHEAD.set(SignedDuration::from_hours(1));
    // It is noticed within a second.
    let (due, came) = stage.next().await;
    assert_eq!(due, at("12:00:20"));
    assert!((at("13:00:10")..=at("13:00:11")).contains(&came), "{came}");
    assert_eq!(stage.next().await, (at("13:00:20"), at("13:00:20")));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_back_brings_nothing_again() {
    let mut stage = Stage::start(json!({}), 1);
    assert_eq!(stage.next().await.0, at("12:00:10"));
    AHEAD.set(SignedDuration::from_mins(-10));
    let begun = Instant::now();
    assert_eq!(stage.next().await, (at("12:00:20"), at("12:00:20")));
    assert_eq!(begun.elapsed().as_secs(), 610);
}

#[tokio::test(start_paused = true)]
async fn a_start_makes_up_for_nothing() {
    AHEAD.set(SignedDuration::from_mins(7));
    let mut stage = Stage::start(json!({"schedule": "*/5 * * * *"}), 1);
    assert_eq!(stage.next().await, (at("12:10:00"), at("12:10:00")));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_never_due_says_so() {
    let mut stage = Stage::start(json!({"schedule": "0 0 30 2 *"}), 1);
    timeout(Duration::from_secs(100_000), stage.next()).await.unwrap_err();
    let status = stage.told().await;
    assert_eq!((&status["nextScheduleTime"], &status["lastScheduleTime"]), (&Value::Null, &Value::Null));
    assert_eq!(condition(&status, "Ready").0, "True");
}

#[tokio::test(start_paused = true)]
async fn without_a_sink_nothing_is_sent_and_the_status_says_why() {
    let mut stage = Stage::start(json!({"schedule": "* * * * * *"}), 6);
    let status = stage.told().await;
    let why = ("False".to_owned(), "NotFound".to_owned(), "the Job tick has no address yet".to_owned());
    assert_eq!((condition(&status, "SinkProvided"), condition(&status, "Ready")), (why.clone(), why));
    assert_eq!(
        (&status["sinkUri"], &status["nextScheduleTime"], &status["observedGeneration"]),
        (&Value::Null, &Value::Null, &json!(3))
    );
    // Looks after 0, .1, .3, .7, 1.5 and 3.1 s.
    assert_eq!(stage.next().await.0, at("12:00:09"));
    let status = stage.told().await;
    for kind in ["Ready", "SinkProvided", "Deployed", "OIDCIdentityCreated"] {
        assert_eq!(condition(&status, kind).0, "True", "{kind}");
    }
    assert_eq!(status["sinkUri"], "http://sink.example/j");
    let attributes =
        json!([{"type": "dev.knative.sources.ping", "source": "/apis/v1/namespaces/shop/pingsources/every"}]);
    assert_eq!(status["ceAttributes"], attributes);
    // What says nothing new is not written.
    let times = stage.told.lock().len();
    assert!(times < 8, "{times} writes");
}
