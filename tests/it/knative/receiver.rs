//! The rows about requests and answers.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::api::ANNOTATION_TRACEPARENT;
use kakehi::event::{Attribute, Event};
use kakehi::listen::Listener;
use kakehi::sink::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::sink::{World, event, setup};
use crate::support::faults::Fault;

const PATH: &str = "/namespaces/apps/jobs/resize";

/// An event in binary mode with those headers besides the required ones, and that data.
fn binary(id: &str, more: &[(&str, &[u8])], data: &[u8]) -> Request {
    let mut request = event(PATH, id);
    request.headers_mut().remove("content-type");
    for (name, value) in more {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
    }
    *request.body_mut() = Body::from(data.to_vec());
    request
}

/// An event in structured mode.
fn structured(content_type: &str, body: &Value) -> Request {
    Request::post(PATH).header("content-type", content_type).body(Body::from(body.to_string())).unwrap()
}

/// The event with that id, as it was stored.
async fn stored(world: &World, id: &str) -> Event {
    let executions = world.executions().await;
    let records = executions.iter().flat_map(|execution| &execution.spec.events);
    let mut records = records.filter(|record| record.id == id);
    Event::try_from(records.next().unwrap_or_else(|| panic!("no event {id}"))).unwrap()
}

/// An attribute of a stored event as text.
fn text(event: &Event, name: &str) -> Option<String> {
    event.get(&Attribute::parse(name).unwrap()).map(|value| value.to_string())
}

#[tokio::test]
async fn row_08_both_modes_with_and_without_a_charset() {
    let world = setup().job("resize").start().await;
    for (number, content_type) in
        ["application/json", "application/json; charset=utf-8"].into_iter().enumerate()
    {
        let id = format!("binary-{number}");
        let more: &[(&str, &[u8])] = &[("content-type", content_type.as_bytes())];
        assert_eq!(world.send(binary(&id, more, b"{\"n\":1}")).await.code(), 202, "{content_type}");
        let event = stored(&world, &id).await;
        assert_eq!(
            (event.datacontenttype(), event.data().unwrap().as_ref()),
            (Some(content_type), &b"{\"n\":1}"[..])
        );
    }
    for (number, content_type) in
        ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"]
            .into_iter()
            .enumerate()
    {
        let id = format!("structured-{number}");
        let body = json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": {"n": 1}});
        assert_eq!(world.send(structured(content_type, &body)).await.code(), 202, "{content_type}");
        assert_eq!(stored(&world, &id).await.data().unwrap().as_ref(), b"{\"n\":1}");
    }
}

#[tokio::test]
async fn row_09_no_content_type_with_and_without_a_body() {
    let world = setup().job("resize").start().await;
    for (id, data) in [("with", &b"tick"[..]), ("without", b"")] {
        assert_eq!(world.send(binary(id, &[], data)).await.code(), 202, "{id}");
        let event = stored(&world, id).await;
        assert_eq!(event.datacontenttype(), None, "{id}");
        assert_eq!(event.data().map_or(&b""[..], AsRef::as_ref), data, "{id}");
    }
}

#[tokio::test]
async fn row_10_the_content_type_in_any_case() {
    let world = setup().job("resize").start().await;
    for (number, content_type) in [
        "application/cloudevents+json",
        "APPLICATION/CLOUDEVENTS+JSON",
        "Application/CloudEvents+Json;charset=UTF-8",
        "application/cloudevents+json ; charset=\"utf-8\"",
        "application/cloudevents+json; x=y; charset=utf-8",
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"specversion": "1.0", "id": number.to_string(), "source": "/s", "type": "t"});
        let answer = world.send(structured(content_type, &body)).await;
        assert_eq!(answer.code(), 202, "{content_type}: {answer:?}");
    }
}

#[tokio::test]
async fn row_13_and_14_success_is_202_without_a_body() {
    let filters = json!([{"exact": {"type": "nobody.sends.this"}}]);
    let world = setup()
        .job("resize")
        .trigger("none", json!({"filters": filters, "job": {"name": "resize"}}))
        .start()
        .await;
    for (what, path) in [("created", PATH), ("duplicate", PATH), ("unmatched", "/namespaces/apps")] {
        let mut request = event(path, "1");
        request.headers_mut().insert("prefer", HeaderValue::from_static("reply"));
        let answer = world.send(request).await;
        assert_eq!((answer.code(), answer.body.as_ref()), (202, &b""[..]), "{what}");
        assert_eq!(answer.header("content-type"), None, "{what}");
    }
}

#[tokio::test]
async fn row_15_nothing_is_ever_redirected() {
    let world = setup().job("resize").start().await;
    for path in ["", "/", "//", "/namespaces", "/namespaces/", "/namespaces/apps", "/namespaces/apps/", PATH]
    {
        for suffix in ["", "/", "//", "/.", "/..", "/../resize", "?x", "/%2e%2e/"] {
            for method in ["POST", "GET", "PUT", "OPTIONS"] {
                let Ok(request) = Request::builder()
                    .method(method)
                    .uri(format!("/{path}{suffix}").replacen("//", "/", 1))
                    .body(Body::empty())
                else {
                    continue;
                };
                let answer = world.send(request).await;
                assert!(!answer.status.is_redirection(), "{method} {path}{suffix}: {answer:?}");
                assert_eq!(answer.header("location"), None, "{method} {path}{suffix}");
            }
        }
    }
}

#[tokio::test]
async fn row_17_who_shall_try_again_is_told_when() {
    let world = setup().job("resize").start().await;
    for code in [429, 500, 503] {
        world.faults.set(move |_| Some(Fault::Answer(code)));
        let answer = world.post_event("1").await;
        assert_eq!(answer.code(), 503);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().expect("whole seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    let full = Options { max_requests: 0, ..Options::default() };
    let answer = setup().options(full).start().await.post_event("1").await;
    assert_eq!((answer.code(), answer.header("retry-after")), (429, Some("1")));
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn row_19_a_refused_event_is_recorded_with_its_reason() {
    let world = setup().job("resize").start().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let recording = tracing::subscriber::set_default(subscriber);
    let mut request = event(PATH, "1");
    request.headers_mut().insert("ce-time", HeaderValue::from_static("yesterday"));
    let answer = world.send(request).await;
    drop(recording);
    assert_eq!(answer.code(), 400);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused =
        lines.iter().find(|line| line["fields"]["status"] == 400).unwrap_or_else(|| panic!("{log}"));
    assert_eq!(refused["fields"]["detail"], answer.detail(), "{log}");
    let named = ["id", "source", "type"].map(|name| &refused["span"][format!("cloudevents.event_{name}")]);
    assert_eq!(
        named,
        ["1", "/orders", "com.example.order"],
        "an operator has to find the event that a sender then drops: {log}"
    );
}

#[tokio::test]
async fn row_30_an_event_that_is_too_large_stays_an_error() {
    let world = setup().job("resize").start().await;
    let large = vec![b'x'; 2 * 1024 * 1024];
    for attempt in 1..=3 {
        assert_eq!(world.send(binary("1", &[], &large)).await.code(), 413, "attempt {attempt}");
    }
    // One that fits the body, and is refused by the API server.
    world.faults.set(|head| head.uri().path().ends_with("/executions").then_some(Fault::Answer(413)));
    for attempt in 1..=3 {
        assert_eq!(world.post_event("2").await.code(), 422, "attempt {attempt}");
    }
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn row_31_a_key_of_ones_own_knows_an_event_that_comes_again_under_another_id() {
    let world = setup().start().await;
    let rules = json!({"event": {"dedupKey": "event.source + '#' + event.data.order"}});
    world.create_job_with("resize", rules).await;
    let order = |id: &str, order: &str| {
        let more: &[(&str, &[u8])] = &[("content-type", b"application/json")];
        binary(id, more, json!({"order": order}).to_string().as_bytes())
    };
    let first = world.send(order("random-1", "o-7")).await;
    assert_eq!(first.code(), 202, "{first:?}");
    let again = world.send(order("random-2", "o-7")).await;
    assert_eq!((again.code(), again.header("location")), (202, first.header("location")));
    let other = world.send(order("random-3", "o-8")).await;
    assert_eq!(other.code(), 202);
    assert_ne!(other.header("location"), first.header("location"));
    assert_eq!(world.executions().await.len(), 2);
    assert_eq!(stored(&world, "random-1").await.id(), "random-1", "it keeps the id that it came with");
    // Without a key nobody can say whether it was here before.
    let without = world.send(binary("random-4", &[("content-type", b"application/json")], b"{}")).await;
    assert_eq!(without.code(), 422);
    assert!(without.detail().ends_with("`event.data.order` is missing"), "{}", without.detail());
}

#[tokio::test]
async fn row_32_what_changes_between_attempts_does_not_make_another_run() {
    const FIRST: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const SECOND: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let world = setup().job("resize").start().await;
    let attempts: [&[(&str, &[u8])]; 5] = [
        &[("traceparent", FIRST), ("ce-knativearrivaltime", b"2026-11-22T07:20:00Z")],
        &[("traceparent", SECOND), ("ce-knativearrivaltime", b"2026-11-22T07:20:01Z")],
        &[("ce-traceparent", SECOND)],
        &[("ce-time", b"2026-11-22T07:20:02Z"), ("kn-namespace", b"apps")],
        &[],
    ];
    let mut locations = Vec::new();
    for more in attempts {
        let answer = world.send(binary("1", more, b"{}")).await;
        assert_eq!(answer.code(), 202, "{more:?}");
        locations.push(answer.header("location").unwrap().to_owned());
    }
    locations.dedup();
    assert_eq!(locations.len(), 1);
    let executions = world.executions().await;
    assert_eq!(executions.len(), 1);
    let kept = executions[0].metadata.annotations.as_ref().unwrap().get(ANNOTATION_TRACEPARENT);
    assert_eq!(kept.unwrap().as_bytes(), FIRST, "what was stored stands");
}

#[tokio::test]
async fn row_33_unknown_extensions_are_kept_and_hop_headers_are_not() {
    let world = setup().job("resize").start().await;
    let more: &[(&str, &[u8])] = &[
        ("ce-knativebrokerttl", b"255"),
        ("ce-tenant", b"red"),
        ("kn-namespace", b"default"),
        ("prefer", b"reply"),
        ("x-b3-traceid", b"463ac35c9f6413ad"),
        ("x-request-id", b"1"),
        ("knative-error-dest", b"http://x"),
    ];
    assert_eq!(world.send(binary("1", more, b"{}")).await.code(), 202);
    let event = stored(&world, "1").await;
    let names: Vec<_> = event.extensions().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["knativebrokerttl", "tenant"]);
}

#[tokio::test]
async fn row_34_an_extension_may_be_empty() {
    let world = setup().job("resize").start().await;
    assert_eq!(world.send(binary("1", &[("ce-knativeerrordata", b"")], b"{}")).await.code(), 202);
    assert_eq!(text(&stored(&world, "1").await, "knativeerrordata").as_deref(), Some(""));
}

#[tokio::test]
async fn row_35_to_37_header_values_are_decoded_once() {
    let world = setup().job("resize").start().await;
    let cases: [(&[u8], &str); 8] = [
        ("a b €".as_bytes(), "a b €"),
        (b"a%20b%E2%82%AC", "a b€"),
        (b"a%20b%e2%82%ac", "a b€"),
        (b"%2541", "%41"),
        (b"100%", "100%"),
        (b"50%zz", "50%zz"),
        (br#""q\"x""#, "q\"x"),
        (br#""a b""#, "a b"),
    ];
    for (number, (sent, wanted)) in cases.into_iter().enumerate() {
        let id = number.to_string();
        assert_eq!(world.send(binary(&id, &[("ce-subject", sent)], b"{}")).await.code(), 202, "{wanted}");
        assert_eq!(stored(&world, &id).await.subject(), Some(wanted));
    }
    for bad in [&b"%C0%A0"[..], b"\xff"] {
        assert_eq!(world.send(binary("bad", &[("ce-subject", bad)], b"{}")).await.code(), 400, "{bad:?}");
    }
}

/// Reads one answer with an empty body off a connection, and returns its status line.
async fn status_line(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.to_ascii_lowercase().contains("content-length: 0"), "{head}");
    head.lines().next().unwrap().to_owned()
}

/// Lets the sink of a scenario listen until the guard is dropped.
async fn listening(world: &World) -> (SocketAddr, DropGuard) {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let (address, shutdown) = (listener.address(), CancellationToken::new());
    let (router, until) = (world.router.clone(), shutdown.clone());
    tokio::spawn(async move { listener.serve(router, until, Duration::from_secs(1)).await });
    (address, shutdown.drop_guard())
}

/// Without TLS and without an upgrade: a mesh's proxies know beforehand that HTTP/2 is spoken.
#[tokio::test]
async fn row_38_and_58_many_events_at_once_over_one_http_2_connection() {
    let world = setup().job("resize").start().await;
    let (address, _ends) = listening(&world).await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let answers = (0..20).map(|id| {
        let (mut request, mut sender) = (event(PATH, &id.to_string()), sender.clone());
        *request.uri_mut() = format!("http://{address}{PATH}").parse().unwrap();
        async move { sender.send_request(request).await.unwrap().status() }
    });
    let answers = futures::future::join_all(answers).await;
    assert!(answers.iter().all(|status| *status == 202), "{answers:?}");
    assert_eq!(world.executions().await.len(), 20);
}

#[tokio::test]
async fn row_38_and_58_names_in_any_case_chunks_and_one_connection() {
    let world = setup().job("resize").start().await;
    let (address, _ends) = listening(&world).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for (id, prefix) in [("1", "CE-"), ("2", "Ce-"), ("3", "ce-")] {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: sink\r\n{prefix}SpecVersion: 1.0\r\n{prefix}Id: {id}\r\n{prefix}SOURCE: /s\r\n\
             {prefix}type: t\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for chunk in ["3\r\nabc\r\n", "2\r\nde\r\n", "0\r\n\r\n"] {
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        assert_eq!(status_line(&mut stream).await, "HTTP/1.1 202 Accepted", "{prefix}");
        assert_eq!(stored(&world, id).await.data().unwrap().as_ref(), b"abcde");
    }
}

#[tokio::test]
async fn row_41_what_is_missing_is_absent() {
    let matches = |filter: Value| json!({"filters": [filter], "job": {"name": "resize"}});
    let world = setup()
        .job("resize")
        .trigger("year-one", matches(json!({"prefix": {"time": "0001"}})))
        .trigger("ends", matches(json!({"suffix": {"dataschema": "/"}})))
        .trigger("not-there", matches(json!({"not": {"prefix": {"subject": "a"}}})))
        .start()
        .await;
    let mut request = event("/namespaces/apps", "1");
    request.headers_mut().insert("prefer", HeaderValue::from_static("return=representation"));
    let lines = world.send(request).await.json();
    let passed: Vec<_> = lines.as_array().unwrap().iter().map(|line| line["trigger"].clone()).collect();
    assert_eq!(passed, ["not-there"]);
    let event = stored(&world, "1").await;
    assert_eq!((event.subject(), event.time(), event.dataschema()), (None, None, None));
}

#[tokio::test]
async fn row_21_a_sender_that_asks_first_is_told_that_it_may_send() {
    let world = setup().job("resize").start().await;
    let ask = async |path: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = Request::options(path).body(Body::empty()).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let answer = world.send(request).await;
        assert_eq!((answer.code(), answer.header("allow")), (200, Some("POST, OPTIONS")), "{path}");
        assert!(answer.body.is_empty());
        let header = |name| answer.header(name).map(str::to_owned);
        (header("webhook-allowed-origin"), header("webhook-allowed-rate"))
    };
    let some = |text: &str| Some(text.to_owned());
    for path in ["/", "/namespaces/apps", PATH, "/namespaces/apps/jobs/resize/x?y=z"] {
        let plain = ask(path, &[("webhook-request-origin", "eventemitter.example.com")]).await;
        assert_eq!(plain, (some("eventemitter.example.com"), some("*")), "{path}");
        let rated = [
            ("webhook-request-origin", "e.example.com"),
            ("webhook-request-rate", "120"),
            ("webhook-request-callback", "https://e.example.com/ok"),
        ];
        assert_eq!(ask(path, &rated).await, (some("e.example.com"), some("*")), "{path}");
        // Nobody asked for consent.
        assert_eq!(ask(path, &[]).await, (None, None), "{path}");
    }
    assert!(world.executions().await.is_empty());
    // Later deliveries say where they come from.
    let sent = binary("1", &[("webhook-request-origin", b"e.example.com")], b"{}");
    assert_eq!(world.send(sent).await.code(), 202);
}

#[tokio::test]
async fn row_42_version_0_3_becomes_1_0_and_no_other_is_spoken() {
    let world = setup().job("resize").start().await;
    for (version, code) in [("1.0", 202), ("0.3", 202), ("0.2", 400), ("1.1", 400), ("2.0", 400), ("", 400)] {
        let answer = world.send(binary(version, &[("ce-specversion", version.as_bytes())], b"{}")).await;
        // An empty id would be refused for itself.
        let mut request = binary("x", &[("ce-specversion", version.as_bytes())], b"{}");
        request.headers_mut().insert("ce-id", HeaderValue::from_str(&format!("v{version}")).unwrap());
        assert_eq!(world.send(request).await.code(), code, "binary {version}");
        assert_eq!(answer.code(), code, "{version}");
        let body = json!({"specversion": version, "id": format!("s{version}"), "source": "/s", "type": "t"});
        let answer = world.send(structured("application/cloudevents+json", &body)).await;
        assert_eq!(answer.code(), code, "structured {version}");
    }
    let old = json!({
        "specversion": "0.3", "id": "old", "source": "/s", "type": "t", "schemaurl": "http://a/b",
        "datacontenttype": "text/plain", "datacontentencoding": "base64", "data": "eA==",
    });
    assert_eq!(world.send(structured("application/cloudevents+json", &old)).await.code(), 202);
    let event = stored(&world, "old").await;
    assert_eq!((event.dataschema(), event.data().unwrap().as_ref()), (Some("http://a/b"), &b"x"[..]));
    assert_eq!(text(&event, "specversion").as_deref(), Some("1.0"));
    assert_eq!(event.extensions().count(), 0);
}

#[tokio::test]
async fn row_44_json_data_without_a_type_is_json() {
    let world = setup().job("resize").start().await;
    let event = |id: &str, more: Value| {
        let mut body = json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        structured("application/cloudevents+json", &body)
    };
    for (id, more, wanted) in [
        ("object", json!({"data": {"a": 1}}), Some("application/json")),
        ("text", json!({"data": "a"}), Some("application/json")),
        ("bytes", json!({"data_base64": "/w=="}), None),
        ("typed", json!({"data": "<a/>", "datacontenttype": "text/xml"}), Some("text/xml")),
    ] {
        assert_eq!(world.send(event(id, more)).await.code(), 202, "{id}");
        assert_eq!(stored(&world, id).await.datacontenttype(), wanted, "{id}");
    }
}

#[tokio::test]
async fn row_62_nothing_of_an_internal_error_is_shown() {
    let world = setup().job("resize").start().await;
    for code in [400, 401, 403, 409, 413, 422, 429, 500, 503] {
        world.faults.set(move |_| Some(Fault::Answer(code)));
        for path in [PATH, "/namespaces/apps/jobs/unseen", "/namespaces/apps"] {
            let answer = world.send(event(path, "1")).await;
            let shown = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            assert!(!shown.contains("etcd"), "{code}: {shown}");
            assert!(!answer.headers.contains_key("reason"), "{code}: {shown}");
        }
    }
}
