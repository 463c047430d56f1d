//! What is not an event: a table. Each line is refused with a reason that names the fault; none is an error of ours.

use axum::body::Body;
use axum::extract::Request;
use http::HeaderName;
use http::HeaderValue;

use super::setup;

/// Headers of a valid event in binary mode.
const GOOD: [(&str, &[u8]); 4] =
    [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"/s"), ("ce-type", b"t")];

/// A line of the table: what is sent, and what the answer must be.
struct Case {
    headers: Vec<(&'static str, &'static [u8])>,
    body: Vec<u8>,
    code: u16,
    reason: &'static str,
}

/// Binary: the good headers with one replaced, added or (with `None`) left out.
fn binary(name: &'static str, value: Option<&'static [u8]>, code: u16, reason: &'static str) -> Case {
    let mut headers: Vec<_> = GOOD.into_iter().filter(|(good, _)| *good != name).collect();
    headers.extend(value.map(|value| (name, value)));
    Case { headers, body: Vec::new(), code, reason }
}

/// Binary: the good headers and these.
fn added(more: &[(&'static str, &'static [u8])], code: u16, reason: &'static str) -> Case {
    Case { headers: GOOD.iter().chain(more).copied().collect(), body: Vec::new(), code, reason }
}

/// Structured: this body.
fn body(body: impl Into<Vec<u8>>, reason: &'static str) -> Case {
    Case {
        headers: vec![("content-type", b"application/cloudevents+json")],
        body: body.into(),
        code: 400,
        reason,
    }
}

/// Structured: a valid event with these members more.
fn members(members: &str, reason: &'static str) -> Case {
    body(format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{members}}}"#), reason)
}

/// No event at all, under this content type.
fn typed(content_type: &'static str, code: u16, reason: &'static str) -> Case {
    Case { headers: vec![("content-type", content_type.as_bytes())], body: b"{}".to_vec(), code, reason }
}

fn binary_cases() -> Vec<Case> {
    vec![
        binary("ce-specversion", None, 400, "`specversion` is missing"),
        binary("ce-id", None, 400, "`id` is missing"),
        binary("ce-source", None, 400, "`source` is missing"),
        binary("ce-type", None, 400, "`type` is missing"),
        binary("ce-specversion", Some(b""), 400, "`specversion` must be `1.0`"),
        binary("ce-specversion", Some(b"0.2"), 400, "`specversion` must be `1.0` or `0.3`, not `0.2`"),
        binary("ce-specversion", Some(b"1.1"), 400, "not `1.1`"),
        binary("ce-specversion", Some(b"1.0.2"), 400, "not `1.0.2`"),
        binary("ce-specversion", Some(b"2"), 400, "not `2`"),
        binary("ce-id", Some(b""), 400, "`id` must be a non-empty string"),
        binary("ce-source", Some(b""), 400, "`source` must be a non-empty string"),
        binary("ce-type", Some(b""), 400, "`type` must be a non-empty string"),
        binary("ce-source", Some(b"1:2"), 400, "`source` must be a URI-reference"),
        binary("ce-source", Some(b"://x"), 400, "`source` must be a URI-reference"),
        binary("ce-source", Some(b"%20"), 400, "`source` must be a URI-reference"),
        binary("ce-source", Some(b"http://[::1"), 400, "`source` must be a URI-reference"),
        binary("ce-id", Some(b"%C0%A0"), 400, "`id` must be UTF-8"),
        binary("ce-id", Some(b"\xff\xfe"), 400, "`id` must be UTF-8"),
        binary("ce-id", Some(b"a%00b"), 400, "`id` must be text without control characters"),
        binary("ce-type", Some(b"a%0D%0Ab"), 400, "`type` must be text without control characters"),
        binary("ce-id", Some(b"a\tb"), 400, "`id` must be text without control characters"),
        added(&[("ce-subject", b"")], 400, "`subject` must be a non-empty string"),
        added(&[("ce-subject", b"%EF%BF%BF")], 400, "`subject` must be text"),
        added(&[("ce-time", b"")], 400, "`time` must be a non-empty string"),
        added(&[("ce-time", b"yesterday")], 400, "`time` must be an RFC 3339 time"),
        added(&[("ce-time", b"2026-11-22")], 400, "`time` must be an RFC 3339 time"),
        added(&[("ce-time", b"2026-11-22T07:20:00")], 400, "`time` must be an RFC 3339 time"),
        added(&[("ce-time", b"2026-02-30T07:20:00Z")], 400, "`time` must be an RFC 3339 time"),
        added(&[("ce-time", b"1763796000")], 400, "`time` must be an RFC 3339 time"),
        added(&[("ce-dataschema", b"")], 400, "`dataschema`"),
        added(&[("ce-dataschema", b"/relative")], 400, "`dataschema` must be an absolute URI"),
        added(&[("ce-datacontenttype", b"text/plain")], 400, "`ce-datacontenttype` is not a header"),
        added(&[("content-type", b"json")], 400, "`datacontenttype` must be a media type"),
        added(&[("content-type", b"\xff/\xff")], 400, "`Content-Type` must be a media type"),
        added(
            &[("content-type", b"a/b"), ("content-type", b"a/b")],
            400,
            "`Content-Type` is given more than once",
        ),
        added(&[("ce-id", b"1")], 400, "`id` is given more than once"),
        added(&[("ce-ext", b"1"), ("ce-ext", b"1")], 400, "`ext` is given more than once"),
        added(&[("ce-", b"1")], 400, "no attribute ``"),
        added(&[("ce-data", b"1")], 400, "no attribute `data`"),
        added(&[("ce-data_base64", b"1")], 400, "no attribute `data_base64`"),
        added(&[("ce-my-ext", b"1")], 400, "no attribute `my-ext`"),
        added(&[("ce-my_ext", b"1")], 400, "no attribute `my_ext`"),
        added(&[("content-encoding", b"gzip")], 415, "content encoding"),
        added(&[("content-type", b"application/cloudevents+avro")], 415, "`application/cloudevents+avro`"),
    ]
}

fn content_type_cases() -> Vec<Case> {
    vec![
        Case { headers: Vec::new(), body: Vec::new(), code: 400, reason: "not a CloudEvent" },
        Case { headers: Vec::new(), body: b"hello".to_vec(), code: 400, reason: "not a CloudEvent" },
        typed("application/json", 400, "not a CloudEvent"),
        typed("text/plain", 400, "not a CloudEvent"),
        typed("application/x-www-form-urlencoded", 400, "not a CloudEvent"),
        typed("application/cloudevents", 415, "`application/cloudevents` is not known"),
        typed("application/cloudevents+protobuf", 415, "is not known"),
        typed("application/cloudevents+xml; charset=utf-8", 415, "is not known"),
        typed("application/cloudevents+json; charset=utf-16", 415, "is not known"),
        typed("application/cloudevents-batch+json", 400, "not a batch of events in JSON"),
        typed("Application/CloudEvents-Batch+JSON; charset=utf-8", 400, "expected a JSON array of events"),
        typed("application/cloudevents-batch+json; charset=utf-16", 415, "is not known"),
        typed("application/cloudevents-batch+avro", 415, "is not known"),
        typed("application/cloudevents-batch", 415, "is not known"),
    ]
}

fn structured_cases() -> Vec<Case> {
    vec![
        body("", "not an event in JSON: EOF"),
        body("{", "not an event in JSON: EOF"),
        body("null", "expected one JSON object"),
        body("[]", "expected one JSON object"),
        body("\"x\"", "expected one JSON object"),
        body("{}{}", "trailing characters"),
        body("not JSON", "not an event in JSON"),
        body("{'id':1}", "not an event in JSON"),
        body(b"{\"id\":\"\xff\"}", "not an event in JSON"),
        body(vec![b'['; 100_000], "not an event in JSON"),
        body("{}", "`specversion` is missing"),
        body(r#"{"specversion":"1.0"}"#, "`id` is missing"),
        body(r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#, "`id` is missing"),
        body(r#"{"specversion":1.0,"id":"1","source":"/s","type":"t"}"#, "`specversion`"),
        body(r#"{"specversion":"1.0","id":1,"source":"/s","type":"t"}"#, "`id` must be a string, not `1`"),
        body(r#"{"specversion":"1.0","id":"1","source":{},"type":"t"}"#, "`source` must be a string"),
        body(
            r#"{"specversion":"1.0","id":"1","source":"/s","type":""}"#,
            "`type` must be a non-empty string",
        ),
        members(r#""id":"2""#, "`id` is given more than once"),
        members(r#""data":1,"data":2"#, "`data` is given more than once"),
        members(r#""data":{"a":1},"data_base64":"eA==""#, "exclude each other"),
        members(r#""data_base64":"*""#, "Base64"),
        members(r#""data_base64":{}"#, "Base64"),
        members(r#""time":"x""#, "`time` must be an RFC 3339 time"),
        members(r#""subject":"""#, "`subject`"),
        members(r#""subject":"\u0000""#, "`subject` must be text without control characters"),
        members(r#""subject":"\ud83d""#, "`subject` must be text in Unicode"),
        members(r#""Ext":"x""#, "no attribute `Ext`"),
        members(r#""my-ext":"x""#, "no attribute `my-ext`"),
        members(r#""":"x""#, "no attribute ``"),
        members(r#""ext":1.5"#, "`ext` must be a string, a boolean or a 32-bit integer, not `1.5`"),
        members(r#""ext":99999999999"#, "`ext` must be a string, a boolean or a 32-bit integer"),
        members(r#""ext":{"a":1}"#, "`ext` must be a string"),
        members(r#""ext":[1]"#, "`ext` must be a string"),
        members(r#""datacontenttype":"text""#, "`datacontenttype` must be a media type"),
        members(r#""dataschema":"x""#, "`dataschema` must be an absolute URI"),
        members(&format!(r#""data":{}{}"#, "[".repeat(200), "]".repeat(200)), "128 levels"),
        members(&format!(r#""{}":"x""#, "a".repeat(65)), "longer than 64 characters"),
        members(&format!(r#""ext":"{}""#, "x".repeat(70_000)), "64 KiB"),
        members(&(0..200).map(|n| format!(r#""e{n}":"""#)).collect::<Vec<_>>().join(","), "128 extensions"),
    ]
}

#[tokio::test]
async fn malformed_events_are_refused_with_a_reason() {
    let world = setup().job("resize").start().await;
    let cases: Vec<_> =
        binary_cases().into_iter().chain(content_type_cases()).chain(structured_cases()).collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    for Case { headers, body, code, reason } in cases {
        let mut request =
            Request::post("/namespaces/apps/jobs/resize").body(Body::from(body.clone())).unwrap();
        for (name, value) in &headers {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let answer = world.send(request).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!(answer.code(), code, "{headers:?} {shown}: {answer:?}");
        let detail = answer.detail();
        assert!(detail.contains(reason), "{headers:?} {shown}: {detail}");
        assert!(detail.len() < 400, "{detail}");
    }
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn unusual_events_are_taken() {
    let world = setup().job("resize").start().await;
    let cases: [&[(&'static str, &[u8])]; 8] = [
        &[("ce-subject", "a b €".as_bytes())],
        &[("ce-subject", b"a%20b%E2%82%AC")],
        &[("ce-subject", b"100%")],
        &[("ce-subject", br#""q\"x""#)],
        &[("ce-knativeerrordata", b"")],
        &[("ce-time", b"2026-11-22T07:20:00.268779172+09:00")],
        &[("kn-namespace", b"default"), ("prefer", b"reply"), ("x-b3-traceid", b"1")],
        &[("content-type", b"image/png")],
    ];
    for (number, more) in cases.into_iter().enumerate() {
        let mut request = Request::post("/namespaces/apps/jobs/resize").body(Body::empty()).unwrap();
        for (name, value) in GOOD.iter().chain(more) {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        request.headers_mut().insert("ce-id", HeaderValue::from_str(&number.to_string()).unwrap());
        let answer = world.send(request).await;
        assert_eq!(answer.code(), 202, "{more:?}: {answer:?}");
    }
    assert_eq!(world.executions().await.len(), cases.len());
}
