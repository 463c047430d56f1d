//! What Knative's filters do at their edges, as it was measured or read in its code, and what ours do: a table of golden
//! cases. Every event is decoded from both modes, so that what differs between them would show.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use serde_json::Value;
use serde_json::json;

use super::Filter;
use crate::api::TriggerSpec;
use crate::event::Event;
use crate::event::http::decode;

/// What becomes of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passes,
    Fails,
    /// The filter does not compile here, so that nothing passes; in Knative it is dropped, or its process dies.
    Refused,
    /// Knative only: the process or the connection dies.
    Crashes,
    /// Knative only: nobody looked.
    Unmeasured,
}

use Verdict::Crashes;
use Verdict::Fails;
use Verdict::Passes;
use Verdict::Refused;
use Verdict::Unmeasured;

/// Case, spec of the Trigger, Knative's verdict, ours.
type Row = (&'static str, Value, Verdict, Verdict);

/// The attributes of the event; no `subject`, no `time`, no `dataschema`.
fn attributes() -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/orders/eu", "type": "com.example.order",
        "num": 5, "text": "5", "flag": true, "empty": "", "knativebrokerttl": 3, "knativearrivaltime": "2026-01-01T00:00:00Z",
    })
}

/// The event as it is read from binary and from structured mode.
fn events() -> [Event; 2] {
    let attributes = attributes();
    let mut headers = HeaderMap::new();
    for (name, value) in attributes.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(&text).unwrap());
    }
    let binary = decode(&headers, &Bytes::new()).unwrap();
    let structured = HeaderValue::from_static("application/cloudevents+json");
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, structured)]);
    [binary, decode(&headers, &attributes.to_string().into()).unwrap()]
}

fn verdict(spec: &Value, event: &Event) -> Verdict {
    let mut spec = spec.clone();
    spec["job"] = json!({"name": "job"});
    let spec: TriggerSpec = serde_json::from_value(spec).unwrap();
    match Filter::compile(&spec) {
        Err(_) => Refused,
        Ok(filter) if filter.matches(event) => Passes,
        Ok(_) => Fails,
    }
}

fn legacy(name: &str, value: &str) -> Value {
    json!({"filter": {"attributes": {name: value}}})
}

fn one(filter: &Value) -> Value {
    json!({"filters": [filter]})
}

fn exact(name: &str, value: &str) -> Value {
    one(&json!({"exact": {name: value}}))
}

fn cesql(text: &str) -> Value {
    one(&json!({"cesql": text}))
}

/// Nothing that Knative lets pass by mistake passes here, and nothing crashes.
#[test]
fn edge_cases_are_decided_safely() {
    let rows: Vec<Row> =
        [attributes_compared(), missing_attributes(), empty_filters(), expressions()].concat();
    for (case, spec, knative, ours) in rows {
        for (mode, event) in ["binary", "structured"].into_iter().zip(events()) {
            assert_eq!(verdict(&spec, &event), ours, "{case}, {mode} mode (Knative: {knative:?}): {spec}");
        }
    }
}

fn attributes_compared() -> Vec<Row> {
    vec![
        ("no filter at all", json!({}), Passes, Passes),
        ("an empty list of filters", json!({"filters": []}), Passes, Passes),
        ("legacy: an empty value asks for any", legacy("text", ""), Passes, Passes),
        ("legacy: an empty value, typed attribute", legacy("num", ""), Unmeasured, Passes),
        ("legacy: an empty value, empty attribute", legacy("empty", ""), Fails, Fails),
        ("legacy: an empty value, missing", legacy("missing", ""), Fails, Fails),
        ("legacy: an empty value, missing standard attribute", legacy("subject", ""), Fails, Fails),
        // Knative compares the text with a number, and fails in structured mode only.
        ("legacy: a typed extension", legacy("num", "5"), Fails, Passes),
        ("legacy: a textual extension", legacy("text", "5"), Passes, Passes),
        ("exact: a typed extension", exact("num", "5"), Passes, Passes),
        ("exact: a typed extension, written otherwise", exact("num", "5.0"), Fails, Fails),
        ("exact: a Boolean", exact("flag", "true"), Passes, Passes),
        ("exact: a Boolean in another case", exact("flag", "True"), Fails, Fails),
        ("values are compared with their case", exact("type", "com.example.Order"), Fails, Fails),
        ("legacy values are compared with their case", legacy("type", "COM.example.order"), Fails, Fails),
        (
            "a list overrides the legacy form",
            json!({"filter": {"attributes": {"id": "2"}}, "filters": [{"exact": {"id": "1"}}]}),
            Passes,
            Passes,
        ),
        (
            "an empty list does not",
            json!({"filter": {"attributes": {"id": "2"}}, "filters": []}),
            Fails,
            Fails,
        ),
        // Knative takes it away before it filters; here every attribute that arrives is seen.
        ("the time to live of a broker", exact("knativebrokerttl", "3"), Fails, Passes),
        ("the time of arrival", one(&json!({"prefix": {"knativearrivaltime": "2026"}})), Passes, Passes),
        // Names that Knative reads something else under; here they are names like any other.
        ("schemaurl", legacy("schemaurl", ""), Fails, Fails),
        ("datamediatype", legacy("datamediatype", ""), Fails, Fails),
        ("datacontentencoding", legacy("datacontentencoding", ""), Fails, Fails),
    ]
}

fn missing_attributes() -> Vec<Row> {
    let mut rows = Vec::new();
    for dialect in ["exact", "prefix", "suffix"] {
        let filter = json!({dialect: {"missing": "a"}});
        rows.push(("a missing extension", one(&filter), Fails, Fails));
        rows.push(("a missing extension inside not", one(&json!({"not": filter})), Passes, Passes));
    }
    let time = json!({"prefix": {"time": "0001"}});
    rows.extend([
        // Knative takes a missing time for the first one that its language knows.
        ("a missing time is no time", one(&time), Passes, Fails),
        ("a missing time inside not", one(&json!({"not": time})), Fails, Passes),
        ("a missing time, exactly", exact("time", "0001-01-01T00:00:00Z"), Passes, Fails),
        ("a missing subject", one(&json!({"prefix": {"subject": "a"}})), Fails, Fails),
        (
            "a missing schema inside not",
            one(&json!({"not": {"prefix": {"dataschema": "h"}}})),
            Passes,
            Passes,
        ),
    ]);
    rows
}

fn empty_filters() -> Vec<Row> {
    vec![
        ("exact with an empty value", exact("subject", ""), Passes, Refused),
        ("an empty filter", one(&json!({})), Passes, Refused),
        ("all of nothing", one(&json!({"all": []})), Passes, Refused),
        ("any of nothing", one(&json!({"any": []})), Unmeasured, Refused),
        ("not nothing", one(&json!({"not": {}})), Passes, Refused),
        ("any with an empty member", one(&json!({"any": [{"exact": {"id": "2"}}, {}]})), Fails, Refused),
        // The next change of that Trigger kills Knative's filter.
        ("not with an empty value", one(&json!({"not": {"exact": {"type": ""}}})), Crashes, Refused),
    ]
}

fn expressions() -> Vec<Row> {
    let not = |text: &str| one(&json!({"not": {"cesql": text}}));
    vec![
        ("cesql: true", cesql("type = 'com.example.order'"), Passes, Passes),
        ("cesql: false", cesql("type = 'other'"), Fails, Fails),
        ("cesql: an error", cesql("missing = 'a'"), Fails, Fails),
        ("cesql: not false", not("type = 'other'"), Passes, Passes),
        // The expression fails, and `not` is about the filter.
        ("cesql: an error inside not", not("missing = 'a'"), Passes, Passes),
        ("cesql: an error inside NOT", cesql("NOT (missing = 'a')"), Fails, Fails),
        ("cesql: an error before what is true", cesql("missing = 'a' OR id = '1'"), Fails, Fails),
        ("cesql: an error behind what is true", cesql("id = '1' OR missing = 'a'"), Passes, Passes),
        ("cesql: an integer", cesql("5"), Crashes, Refused),
        ("cesql: a string", cesql("'abc'"), Crashes, Refused),
        ("cesql: an attribute alone", cesql("text"), Unmeasured, Refused),
        ("cesql: an integer inside not", not("5"), Unmeasured, Refused),
        ("cesql: malformed", cesql("type = "), Crashes, Refused),
        ("cesql: malformed inside not", not("type = "), Unmeasured, Refused),
        ("cesql: empty", cesql(""), Unmeasured, Refused),
        ("cesql: no such function", cesql("NOPE(id) = 1"), Unmeasured, Refused),
        ("cesql: no such function inside not", not("NOPE(id) = 1"), Unmeasured, Refused),
        ("cesql: the time to live of a broker", cesql("EXISTS knativebrokerttl"), Fails, Passes),
        ("cesql: the time of arrival", cesql("EXISTS knativearrivaltime"), Passes, Passes),
        // A missing time is none here, too.
        ("cesql: a missing time", cesql("EXISTS time"), Fails, Fails),
        ("cesql: a typed extension as a number", cesql("num = 5"), Passes, Passes),
        ("cesql: a typed extension as text", cesql("num = '5'"), Passes, Passes),
        ("cesql: a textual extension as a number", cesql("text = 5 AND text > 4"), Passes, Passes),
        // The right side decides in which type: here that is text, in both modes.
        ("cesql: a typed extension on the right", cesql("'05' = num"), Unmeasured, Fails),
        ("cesql: a textual extension on the right", cesql("'05' = text"), Unmeasured, Fails),
        ("cesql: a Boolean", cesql("flag = TRUE AND BOOL(flag)"), Passes, Passes),
    ]
}
