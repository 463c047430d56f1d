//! The HTTP binding (`CloudEvents` 1.0 HTTP protocol binding): headers and a body to an event, and back.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::builder::Builder;
use super::error::{Error, excerpt};
use super::header;
use super::json;
use super::media_type;
use super::model::Event;
use super::value::Value;

/// Media type of one event in JSON.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// Media type of a batch of events in JSON.
pub const BATCHED_JSON: &str = "application/cloudevents-batch+json";

/// Prefix of the headers that carry attributes; header names come in lower case.
const PREFIX: &str = "ce-";

/// How a message carries events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes are headers, the data is the body.
    Binary,
    /// The body is the event in JSON.
    Structured,
    /// The body is a list of events in JSON.
    Batched,
}

/// How the message carries its events, from the headers alone: what can be refused is refused before the body is read.
///
/// # Errors
/// If it holds events in another format than JSON, or none at all.
pub fn mode(headers: &HeaderMap) -> Result<Mode, Error> {
    let content_type = content_type(headers)?.unwrap_or_default();
    let essence = media_type::essence(content_type).to_ascii_lowercase();
    // That of a batch starts so, too.
    if essence.starts_with("application/cloudevents") {
        let charset = media_type::parameter(content_type, "charset").unwrap_or("utf-8");
        let readable = charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii");
        return match essence.as_str() {
            STRUCTURED_JSON if readable => Ok(Mode::Structured),
            BATCHED_JSON if readable => Ok(Mode::Batched),
            _ => Err(Error::Format(excerpt(content_type))),
        };
    }
    if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        Ok(Mode::Binary)
    } else {
        Err(Error::NotAnEvent)
    }
}

/// The event of a message that carries one.
///
/// # Errors
/// If it holds none, or one that breaks a rule, or a batch; the reason is for the sender.
pub fn decode(headers: &HeaderMap, body: &Bytes) -> Result<Event, Error> {
    match mode(headers)? {
        Mode::Structured => json::decode(body),
        Mode::Binary => decode_binary(headers, body),
        Mode::Batched => Err(Error::Batch),
    }
}

/// The events of a message in any mode.
///
/// # Errors
/// If one of them breaks a rule, or the message is none; the reason is for the sender.
pub fn decode_all(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Event>, Error> {
    match mode(headers)? {
        Mode::Batched => json::decode_batch(body),
        Mode::Structured => Ok(vec![json::decode(body)?]),
        Mode::Binary => Ok(vec![decode_binary(headers, body)?]),
    }
}

fn decode_binary(headers: &HeaderMap, body: &Bytes) -> Result<Event, Error> {
    let mut event = Builder::default();
    for (header, raw) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        if name == "datacontenttype" {
            return Err(Error::ContentTypeHeader);
        }
        let value = header::decode(raw.as_bytes()).ok_or_else(|| {
            let found = String::from_utf8_lossy(raw.as_bytes());
            Error::of_value(name, "UTF-8, percent-encoded or as it is", &found)
        })?;
        event.put(name, Value::String(value))?;
    }
    if !event.has_specversion() {
        return Err(Error::Missing("specversion"));
    }
    if let Some(content_type) = content_type(headers)?
        && !content_type.is_empty()
    {
        event.put("datacontenttype", Value::String(content_type.to_owned()))?;
    }
    let data = if event.upgrade()? { json::base64_text(body)? } else { body.clone() };
    let event = if data.is_empty() { event } else { event.data(data) };
    event.build()
}

fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::Repeated("Content-Type".to_owned()));
    }
    match str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(Error::Attribute {
            name: "Content-Type".to_owned(),
            expected: "a media type such as `application/json`",
            found: excerpt(&String::from_utf8_lossy(value.as_bytes())),
        }),
    }
}

/// The event as a message in binary mode.
pub fn encode_binary(event: &Event) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    for (name, value) in event.attributes() {
        if name == "datacontenttype" {
            continue;
        }
        let header = HeaderName::from_bytes(format!("{PREFIX}{name}").as_bytes())
            .expect("names of attributes are lower-case letters and digits");
        let value = HeaderValue::try_from(header::encode(&value.text())).expect("encoded to visible ASCII");
        headers.insert(header, value);
    }
    if let Some(content_type) = event.datacontenttype() {
        let value = HeaderValue::try_from(content_type).expect("checked to hold no control characters");
        headers.insert(CONTENT_TYPE, value);
    }
    (headers, event.data().cloned().unwrap_or_default())
}

/// The event as a message in structured mode.
pub fn encode_structured(event: &Event) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
    (headers, json::encode(event).into())
}

/// Events as a message in batched mode. A receiver takes one only if it is known to.
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(BATCHED_JSON));
    (headers, json::encode_batch(events).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    /// A valid binary event with some headers more.
    fn binary(more: &[(&str, &str)]) -> HeaderMap {
        let mut pairs =
            vec![("ce-specversion", "1.0"), ("CE-ID", "1"), ("ce-source", "/s"), ("Ce-Type", "t")];
        pairs.extend_from_slice(more);
        headers(&pairs)
    }

    fn text<'a>(event: &'a Event, name: &str) -> Option<std::borrow::Cow<'a, str>> {
        event.attribute(name).map(super::super::ValueRef::text)
    }

    #[test]
    fn a_binary_event_is_read_from_headers_and_body() {
        let sent = binary(&[
            ("content-type", "application/json; charset=utf-8"),
            ("ce-subject", "a b €"),
            ("ce-time", "2026-11-22T07:20:00.268779172Z"),
            ("ce-knativeerrordata", ""),
            ("ce-num", "5"),
            ("kn-namespace", "default"),
            ("prefer", "reply"),
            ("x-b3-traceid", "1"),
        ]);
        let body = Bytes::from_static(b"\xff\x00 not JSON");
        let event = decode(&sent, &body).unwrap();
        assert_eq!((event.id(), event.source(), event.kind()), ("1", "/s", "t"));
        assert_eq!(event.subject(), Some("a b €"));
        assert_eq!(event.time(), Some("2026-11-22T07:20:00.268779172Z"));
        assert_eq!(event.datacontenttype(), Some("application/json; charset=utf-8"));
        assert_eq!(text(&event, "knativeerrordata").as_deref(), Some(""));
        assert_eq!(text(&event, "num").as_deref(), Some("5"));
        assert_eq!(text(&event, "namespace"), None);
        assert_eq!(event.data(), Some(&body));
    }

    #[test]
    fn an_event_needs_neither_a_content_type_nor_a_body() {
        let event = decode(&binary(&[]), &Bytes::new()).unwrap();
        assert_eq!((event.datacontenttype(), event.data()), (None, None));
        let event = decode(&binary(&[]), &Bytes::from_static(b"x")).unwrap();
        assert_eq!((event.datacontenttype(), event.data().map(AsRef::as_ref)), (None, Some(b"x".as_slice())));
        let event = decode(&binary(&[("content-type", "")]), &Bytes::new()).unwrap();
        assert_eq!(event.datacontenttype(), None);
    }

    #[test]
    fn the_mode_is_in_the_media_type_whatever_its_case_and_parameters() {
        for structured in [
            "application/cloudevents+json",
            "Application/CloudEvents+JSON",
            "application/cloudevents+json; charset=UTF-8",
            "application/cloudevents+json;charset=\"utf-8\";x=y",
        ] {
            assert_eq!(
                mode(&headers(&[("content-type", structured)])).unwrap(),
                Mode::Structured,
                "{structured}"
            );
        }
        for batched in
            ["application/cloudevents-batch+json", "APPLICATION/CLOUDEVENTS-BATCH+JSON; charset=utf-8"]
        {
            let headers = headers(&[("content-type", batched)]);
            assert_eq!(mode(&headers).unwrap(), Mode::Batched, "{batched}");
            assert!(matches!(decode(&headers, &Bytes::from_static(b"[]")), Err(Error::Batch)));
        }
        for unknown in [
            "application/cloudevents+avro",
            "application/cloudevents",
            "application/cloudevents+json; charset=utf-16",
            "application/cloudevents+jsonx",
            "application/cloudevents-batch",
            "application/cloudevents-batch+avro",
            "application/cloudevents-batch+json; charset=utf-16",
        ] {
            // With `ce-` headers beside it: they do not make it binary.
            let refused = mode(&binary(&[("content-type", unknown)])).unwrap_err();
            assert!(matches!(refused, Error::Format(_)), "{unknown}: {refused}");
        }
        assert_eq!(mode(&binary(&[("content-type", "text/plain")])).unwrap(), Mode::Binary);
        assert!(matches!(mode(&headers(&[("content-type", "text/plain")])), Err(Error::NotAnEvent)));
        assert!(matches!(mode(&HeaderMap::new()), Err(Error::NotAnEvent)));
    }

    #[test]
    fn headers_of_a_structured_event_are_not_attributes() {
        let sent = binary(&[("content-type", STRUCTURED_JSON), ("ce-subject", "header")]);
        let body = Bytes::from_static(br#"{"specversion":"1.0","id":"2","source":"/x","type":"y"}"#);
        let event = decode(&sent, &body).unwrap();
        assert_eq!((event.id(), event.subject()), ("2", None));
    }

    #[test]
    fn a_binary_event_of_version_0_3_becomes_one_of_1_0() {
        let old = |more: &[(&str, &str)]| {
            let mut sent = binary(more);
            sent.insert("ce-specversion", HeaderValue::from_static("0.3"));
            sent
        };
        let sent = old(&[("ce-schemaurl", "urn:a"), ("ce-datacontentencoding", "base64")]);
        let event = decode(&sent, &Bytes::from_static(b"/wAB")).unwrap();
        assert_eq!(
            (event.dataschema(), event.data().unwrap().as_ref()),
            (Some("urn:a"), [0xff, 0, 1].as_slice())
        );
        assert_eq!(text(&event, "specversion").as_deref(), Some("1.0"));
        assert_eq!(event.extensions().count(), 0);
        assert!(matches!(decode(&sent, &Bytes::from_static(b"*")), Err(Error::Data(_))));
        let plain = decode(&old(&[]), &Bytes::from_static(b"*")).unwrap();
        assert_eq!(plain.data().unwrap().as_ref(), b"*");
    }

    #[test]
    fn broken_binary_events_are_refused_with_the_reason() {
        for (more, reason) in [
            ([("ce-datacontenttype", "text/plain")].as_slice(), "`Content-Type` says it"),
            (&[("ce-id", "2")], "`id` is given more than once"),
            (&[("ce-specversion", "1.0")], "`specversion` is given more than once"),
            (&[("ce-ext", "1"), ("ce-ext", "2")], "`ext` is given more than once"),
            (&[("ce-my-ext", "1")], "no attribute `my-ext`"),
            (&[("ce-", "1")], "no attribute ``"),
            (&[("ce-data", "1")], "no attribute `data`"),
            (&[("ce-subject", "")], "`subject` must be a non-empty string"),
            (&[("ce-subject", "%C0%A0")], "`subject` must be UTF-8"),
            (&[("ce-subject", "a%0Ab")], "`subject` must be text without control characters"),
            (&[("ce-time", "today")], "`time`"),
            (&[("content-type", "json")], "`datacontenttype` must be a media type"),
            (&[("content-type", "a/b"), ("content-type", "c/d")], "`Content-Type` is given more than once"),
        ] {
            let error = decode(&binary(more), &Bytes::new()).unwrap_err().to_string();
            assert!(error.contains(reason), "{more:?}: {error}");
        }
        let error = decode(&headers(&[("ce-id", "1"), ("ce-source", "/"), ("ce-type", "t")]), &Bytes::new());
        assert!(matches!(error, Err(Error::Missing("specversion"))));
    }

    #[test]
    fn a_message_that_was_encoded_reads_back() {
        let event = Event::builder()
            .required("1", "/s?q=\"", "t")
            .set("subject", "100% a b €")
            .set("datacontenttype", "text/plain; charset=utf-8")
            .set("empty", "")
            .data("\u{0}x")
            .build()
            .unwrap();
        let (headers, body) = encode_binary(&event);
        assert_eq!(headers["ce-subject"], "100%25%20a%20b%20%E2%82%AC");
        assert!(!headers.contains_key("ce-datacontenttype"));
        assert_eq!(decode(&headers, &body).unwrap(), event);
        let (headers, body) = encode_structured(&event);
        assert_eq!(decode(&headers, &body).unwrap(), event);
    }
}
