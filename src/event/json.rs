//! The JSON event format (`CloudEvents` 1.0 JSON format).
//!
//! Reading borrows: the members of the envelope are found in one pass and the data stays where it is in the body,
//! unparsed. Writing embeds JSON data as it stands, so a number keeps its digits and an object the order of its keys.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::attribute::Attribute;
use super::builder::{Builder, MAX_EXTENSIONS};
use super::error::Error;
use super::media_type::is_json;
use super::model::Event;
use super::scan;
use super::value::{Value, ValueRef};

/// What data without a content type is (JSON format §3.1).
const DEFAULT_CONTENT_TYPE: &str = "application/json";

/// Most levels of JSON data.
const MAX_DEPTH: usize = scan::MAX_DEPTH as usize;

/// Most members of an envelope: the attributes, `data` and `data_base64`, and some that are null.
const MAX_MEMBERS: usize = 2 * MAX_EXTENSIONS;

/// Most events of a batch. The answer waits until every one is stored, and the body of a batch is no larger than that of an
/// event; a thousand are as many as fit into both patiently.
pub const MAX_BATCH: usize = 1000;

/// Reads one event.
///
/// # Errors
/// If the body is not a JSON object, or the event in it breaks a rule.
pub fn decode(body: &Bytes) -> Result<Event, Error> {
    let members = members(body)?;
    let mut event = Builder::default();
    let (mut data, mut data_base64) = (None, None);
    let mut absent: Vec<&str> = Vec::new();
    for (name, raw) in &members {
        let slot = match name.as_ref() {
            "data" => &mut data,
            "data_base64" => &mut data_base64,
            name => {
                match attribute(name, raw)? {
                    Some(value) => event.put(name, value)?,
                    None if absent.contains(&name) => {
                        return Err(Error::Repeated(Attribute::parse(name)?.to_string()));
                    }
                    None => absent.push(name),
                }
                continue;
            }
        };
        if slot.replace(*raw).is_some() {
            return Err(Error::Repeated(name.clone().into_owned()));
        }
    }
    if let Some(twice) = absent.into_iter().find(|name| event.has(name)) {
        return Err(Error::Repeated(twice.to_owned()));
    }
    if !event.has_specversion() {
        return Err(Error::Missing("specversion"));
    }
    let encoded = event.upgrade()?;
    match (data, data_base64.filter(|raw| *raw != "null")) {
        // Version 0.3 put Base64 into `data`, too.
        (Some(raw), None) if encoded && raw != "null" => event.data(base64_data(raw)?).build(),
        (Some(_), Some(_)) => Err(Error::Data("`data` and `data_base64` exclude each other")),
        (Some(raw), None) => {
            let data = plain_data(raw, event.datacontenttype(), body)?;
            if event.datacontenttype().is_none() {
                event.put("datacontenttype", DEFAULT_CONTENT_TYPE.into())?;
            }
            event.data(data).build()
        }
        (None, Some(raw)) => event.data(base64_data(raw)?).build(),
        (None, None) => event.build(),
    }
}

/// The members of the envelope, as they stand in the body.
fn members(body: &[u8]) -> Result<Vec<(Cow<'_, str>, &str)>, Error> {
    if let Some(members) = str::from_utf8(body).ok().and_then(|text| scan::members(text, MAX_MEMBERS)) {
        return Ok(members);
    }
    let Envelope(members) = serde_json::from_slice(body).map_err(Error::Json)?;
    if members.iter().any(|(name, value)| name == "data" && is_deeper_than(value.get().as_bytes(), MAX_DEPTH))
    {
        return Err(Error::Data("`data` nests more than 128 levels"));
    }
    Ok(members.into_iter().map(|(name, value)| (name, value.get())).collect())
}

/// Reads a batch (JSON format §4). It may be empty.
///
/// # Errors
/// If the body is not a JSON array of at most [`MAX_BATCH`], or one of the events breaks a rule.
pub fn decode_batch(body: &Bytes) -> Result<Vec<Event>, Error> {
    let Batch(events) = serde_json::from_slice(body).map_err(Error::JsonBatch)?;
    let one = |(index, raw): (usize, &RawValue)| {
        decode(&body.slice_ref(raw.get().as_bytes()))
            .map_err(|reason| Error::InBatch { number: index + 1, reason: Box::new(reason) })
    };
    events.into_iter().enumerate().map(one).collect()
}

/// The events of a batch, as they stand in the body.
struct Batch<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Events;

        impl<'de> Visitor<'de> for Events {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array of events")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut events = Vec::new();
                while let Some(event) = list.next_element()? {
                    if events.len() == MAX_BATCH {
                        return Err(A::Error::custom(format_args!(
                            "the batch has more than {MAX_BATCH} events"
                        )));
                    }
                    events.push(event);
                }
                Ok(Batch(events))
            }
        }

        deserializer.deserialize_seq(Events)
    }
}

/// The members of the envelope, as they stand in the body.
struct Envelope<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // The usual event has fewer members than this.
                let mut members = Vec::with_capacity(12);
                while let Some(Name(name)) = map.next_key()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom("the object has more than 256 members"));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Envelope(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Name of a member, borrowed unless it holds escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Value of an attribute; `null` is the same as leaving it out.
fn attribute(name: &str, raw: &str) -> Result<Option<Value>, Error> {
    let wrong = || Error::of_value(name, "a string, a boolean or a 32-bit integer", raw);
    Ok(match raw {
        "null" => None,
        "true" => Some(Value::Boolean(true)),
        "false" => Some(Value::Boolean(false)),
        string if string.starts_with('"') => Some(Value::String(
            string_value(string).map_err(|_| Error::of_value(name, "text in Unicode", raw))?,
        )),
        number => Some(Value::Integer(number.parse().map_err(|_| wrong())?)),
    })
}

/// The text of a JSON string.
fn string_value(raw: &str) -> Result<String, serde_json::Error> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(plain.to_owned()),
        _ => serde_json::from_str(raw),
    }
}

/// `data`: the JSON text itself, unless the content type is not JSON and the value a string; then what it spells.
fn plain_data(text: &str, content_type: Option<&str>, body: &Bytes) -> Result<Bytes, Error> {
    if text.starts_with('"') && !content_type.is_none_or(is_json) {
        let spelled = string_value(text).map_err(|_| Error::Data("`data` is not text in Unicode"))?;
        return Ok(spelled.into());
    }
    Ok(body.slice_ref(text.as_bytes()))
}

const BASE64_EXPECTED: &str = "`data_base64` must be a string in Base64, with padding";

fn base64_data(raw: &str) -> Result<Bytes, Error> {
    let text = string_value(raw).map_err(|_| Error::Data(BASE64_EXPECTED))?;
    base64_text(text.as_bytes()).map_err(|_| Error::Data(BASE64_EXPECTED))
}

/// The bytes that Base64 stands for.
pub(super) fn base64_text(text: &[u8]) -> Result<Bytes, Error> {
    let decoded = BASE64.decode(text).map_err(|_| Error::Data("it is said to be Base64 and is not"))?;
    Ok(decoded.into())
}

/// Whether valid JSON nests deeper than that.
fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    // Most data does not even hold that many brackets; counting them is fast.
    if json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= limit {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in json {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// Writes one event.
///
/// JSON data is embedded as it stands (white space around it, which is no part of the value, is dropped); other text
/// becomes a string; everything that would read back as something else is Base64.
pub fn encode(event: &Event) -> Vec<u8> {
    let mut json = Vec::with_capacity(256 + event.data().map_or(0, Bytes::len));
    json.push(b'{');
    for (name, value) in event.attributes() {
        member(&mut json, name);
        match value {
            ValueRef::Boolean(_) | ValueRef::Integer(_) => json.extend_from_slice(value.text().as_bytes()),
            ValueRef::String(text) => string(&mut json, text),
        }
    }
    if let Some(data) = event.data() {
        write_data(&mut json, data, event.datacontenttype());
    }
    json.push(b'}');
    json
}

/// Writes a batch.
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<u8> {
    let mut json = vec![b'['];
    for event in events {
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend(encode(event));
    }
    json.push(b']');
    json
}

fn write_data(json: &mut Vec<u8>, data: &[u8], content_type: Option<&str>) {
    match content_type {
        Some(content_type) if is_json(content_type) => {
            if let Ok(value) = serde_json::from_slice::<&RawValue>(data)
                && !is_deeper_than(value.get().as_bytes(), MAX_DEPTH)
            {
                member(json, "data");
                return json.extend_from_slice(value.get().as_bytes());
            }
        }
        Some(_) => {
            if let Ok(text) = str::from_utf8(data) {
                member(json, "data");
                return string(json, text);
            }
        }
        // `data` without a content type would read back as JSON.
        None => {}
    }
    member(json, "data_base64");
    string(json, &BASE64.encode(data));
}

fn member(json: &mut Vec<u8>, name: &str) {
    if json.len() > 1 {
        json.push(b',');
    }
    string(json, name);
    json.push(b':');
}

fn string(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a string is JSON and a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::event::http;

    const REQUIRED: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

    fn read(members: &str) -> Result<Event, Error> {
        let comma = if members.is_empty() { "" } else { "," };
        decode(&Bytes::from(format!("{{{REQUIRED}{comma}{members}}}")))
    }

    fn data(members: &str) -> Vec<u8> {
        read(members).unwrap().data().unwrap().to_vec()
    }

    #[test]
    fn attributes_keep_their_types() {
        let event =
            read(r#""flag":true,"num":-5,"min":-2147483648,"text":"5","gone":null,"empty":"""#).unwrap();
        let values: Vec<_> = event.extensions().map(|(name, value)| (name, value.clone())).collect();
        assert_eq!(
            values,
            [
                ("empty", "".into()),
                ("flag", true.into()),
                ("min", i32::MIN.into()),
                ("num", (-5).into()),
                ("text", "5".into())
            ]
        );
        assert_eq!(read(r#""subject":"a\"\u20ac\/b""#).unwrap().subject(), Some("a\"€/b"));
        assert_eq!(read(r#""subject":null"#).unwrap().subject(), None);
        assert_eq!(read(r#""\u0065xt":"by an escaped name""#).unwrap().extensions().count(), 1);
    }

    #[test]
    fn data_is_never_written_anew() {
        for json in [
            r#"{"b":1,  "a":12345678901234567890123,"a":1.10}"#,
            "[1, 2,3]",
            r#""a JSON \u0041 string""#,
            "null",
            "true",
            "-0.0e+1",
        ] {
            assert_eq!(data(&format!("\"data\": {json} ")), json.as_bytes(), "{json}");
            assert_eq!(
                data(&format!(r#""data": {json},"datacontenttype":"a/B+Json""#)),
                json.as_bytes(),
                "{json}"
            );
        }
    }

    #[test]
    fn data_without_a_content_type_is_json() {
        assert_eq!(read(r#""data":{}"#).unwrap().datacontenttype(), Some("application/json"));
        assert_eq!(read(r#""data":"x""#).unwrap().data().unwrap().as_ref(), br#""x""#);
        assert_eq!(read(r#""data_base64":"eA==""#).unwrap().datacontenttype(), None);
        assert_eq!(read("").unwrap().datacontenttype(), None);
    }

    #[test]
    fn a_string_of_another_type_is_what_it_spells() {
        assert_eq!(data(r#""datacontenttype":"text/plain","data":"a\nb \u20ac""#), "a\nb €".as_bytes());
        assert_eq!(data(r#""data":"<a b=\"c\"/>","datacontenttype":"application/xml""#), b"<a b=\"c\"/>");
        assert_eq!(data(r#""datacontenttype":"text/plain","data":{"a":1}"#), br#"{"a":1}"#);
        assert_eq!(data(r#""datacontenttype":"text/plain","data":"""#), b"");
    }

    #[test]
    fn base64_is_bytes() {
        assert_eq!(data(r#""data_base64":"/wAB""#), [0xff, 0, 1]);
        assert_eq!(data(r#""data_base64":"\u002fwAB","datacontenttype":"application/json""#), [0xff, 0, 1]);
        assert_eq!(data(r#""data_base64":"""#), b"");
        assert_eq!(read(r#""data_base64":null"#).unwrap().data(), None);
        assert_eq!(data(r#""data_base64":null,"data":1"#), b"1");
    }

    #[test]
    fn data_is_not_copied() {
        let body = Bytes::from(format!(r#"{{"data":{{"a":1}},{REQUIRED}}}"#));
        let data = decode(&body).unwrap().data().unwrap().clone();
        assert!(body.as_ptr_range().contains(&data.as_ptr()));
    }

    #[test]
    fn broken_events_are_refused_with_the_reason() {
        let deep = format!(r#""data":{}{}"#, "[".repeat(129), "]".repeat(129));
        for (members, reason) in [
            (r#""id":"2""#, "`id` is given more than once"),
            (r#""id":null"#, "`id` is given more than once"),
            (r#""ext":null,"ext":null"#, "`ext` is given more than once"),
            (r#""ext":null,"ext":1"#, "`ext` is given more than once"),
            (r#""\u0069d":"2""#, "`id` is given more than once"),
            (r#""data":1,"data":2"#, "`data` is given more than once"),
            (r#""data_base64":"","data_base64":"""#, "`data_base64` is given more than once"),
            (r#""data":1,"data_base64":"eA==""#, "exclude each other"),
            (r#""data":null,"data_base64":"eA==""#, "exclude each other"),
            (r#""data_base64":"e===""#, "Base64"),
            (r#""data_base64":"eA""#, "Base64"),
            (r#""data_base64":"e A==""#, "Base64"),
            (r#""data_base64":5"#, "Base64"),
            (r#""num":1.0"#, "`num` must be a string, a boolean or a 32-bit integer, not `1.0`"),
            (r#""num":1e3"#, "`num`"),
            (r#""num":2147483648"#, "`num`"),
            (r#""obj":{"a":1}"#, "`obj` must be a string, a boolean or a 32-bit integer"),
            (r#""list":[]"#, "`list`"),
            (r#""subject":5"#, "`subject` must be a string, not `5`"),
            (r#""subject":"""#, "`subject` must be a non-empty string"),
            (r#""subject":"a\u0000b""#, "`subject` must be text without control characters"),
            (r#""ext":"\ud800""#, "`ext` must be text in Unicode"),
            (r#""Ext":"x""#, "no attribute `Ext`"),
            (r#""\u0000":"\ud800""#, r"no attribute `\u{0}`"),
            (r#""\n":null,"\n":null"#, r"no attribute `\n`"),
            (r#""":"x""#, "no attribute ``"),
            (r#""datacontenttype":"text/plain","data":"\ud800""#, "not text in Unicode"),
            (deep.as_str(), "128 levels"),
        ] {
            let error = read(members).unwrap_err().to_string();
            assert!(error.contains(reason), "{members}: {error}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let many =
            format!("{{{}}}", (0..300).map(|n| format!("\"a{n}\":null")).collect::<Vec<_>>().join(","));
        for body in
            ["", "{", "[]", "null", "5", "\"x\"", "{}{}", "{\"a\"}", "\u{feff}{}", "{'a':1}", many.as_str()]
        {
            assert!(matches!(decode(&Bytes::from(body.to_owned())), Err(Error::Json(_))), "{body}");
        }
        assert!(matches!(decode(&Bytes::from_static(b"{\"a\":\"\xff\"}")), Err(Error::Json(_))));
        assert!(matches!(decode(&Bytes::from_static(b"{}")), Err(Error::Missing("specversion"))));
    }

    #[test]
    fn an_event_of_version_0_3_becomes_one_of_1_0() {
        let read = |members: &str| {
            decode(&Bytes::from(format!(
                r#"{{"specversion":"0.3","id":"1","source":"/s","type":"t",{members}}}"#
            )))
        };
        let event = read(r#""schemaurl":"http://a/b","subject":"s","data":{"a":1}"#).unwrap();
        let named: Vec<_> = event.attributes().map(|(name, value)| (name, value.to_string())).collect();
        let named: Vec<_> = named.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            named,
            [
                ("specversion", "1.0"),
                ("id", "1"),
                ("source", "/s"),
                ("type", "t"),
                ("subject", "s"),
                ("datacontenttype", "application/json"),
                ("dataschema", "http://a/b"),
            ]
        );
        let encoded = r#""data":"/wAB","datacontenttype":"image/png","datacontentencoding":"Base64""#;
        let event = read(encoded).unwrap();
        assert_eq!(event.data().unwrap().as_ref(), [0xff, 0, 1]);
        assert_eq!(event.attribute("datacontentencoding"), None);
        // What cannot be a `dataschema` is not lost.
        let relative = read(r#""schemaurl":"/b""#).unwrap();
        assert_eq!((relative.dataschema(), relative.extensions().count()), (None, 1));
        for (members, reason) in [
            (r#""data":"*","datacontentencoding":"base64""#, "Base64"),
            (r#""data":{},"datacontentencoding":"base64""#, "Base64"),
            (
                r#""data":"x","datacontentencoding":"gzip""#,
                "`datacontentencoding` must be `base64`, not `gzip`",
            ),
        ] {
            let error = read(members).unwrap_err().to_string();
            assert!(error.contains(reason), "{members}: {error}");
        }
        // In version 1.0 they are extensions.
        let current =
            super::tests::read(r#""schemaurl":"http://a/b","datacontentencoding":"base64","data":"x""#);
        let current = current.unwrap();
        assert_eq!((current.dataschema(), current.extensions().count()), (None, 2));
        assert_eq!(current.data().unwrap().as_ref(), br#""x""#);
    }

    #[test]
    fn a_batch_is_every_event_of_it_or_none() {
        let batch = |events: &str| decode_batch(&Bytes::from(events.to_owned()));
        assert_eq!(batch(" [ ] ").unwrap(), []);
        let two = format!(r#"[{{{REQUIRED},"data":{{"a":1}}}}, {{{REQUIRED},"specversion2":""}}]"#);
        let events = batch(&two).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].data().unwrap().as_ref(), br#"{"a":1}"#);
        for (events, reason) in [
            ("{}", "not a batch of events in JSON"),
            ("", "not a batch of events in JSON"),
            ("[{}", "not a batch of events in JSON"),
            ("[][]", "not a batch of events in JSON"),
            ("[1]", "event 1 of the batch: the body is not an event in JSON"),
            ("[[]]", "event 1 of the batch: the body is not an event in JSON"),
            (&format!("[{{{REQUIRED}}},{{}}]"), "event 2 of the batch: `specversion` is missing"),
        ] {
            let error = batch(events).unwrap_err().to_string();
            assert!(error.contains(reason), "{events}: {error}");
        }
        let many = |count: usize| format!("[{}]", vec![format!("{{{REQUIRED}}}"); count].join(","));
        assert_eq!(batch(&many(MAX_BATCH)).unwrap().len(), MAX_BATCH);
        assert!(matches!(batch(&many(MAX_BATCH + 1)), Err(Error::JsonBatch(_))));
    }

    #[test]
    fn brackets_in_strings_are_not_levels() {
        let brackets = format!(r#""data":"\\\"{}""#, "[{".repeat(200));
        assert!(read(&brackets).is_ok());
        let wide = format!(r#""data":[{}[]]"#, "[],".repeat(500));
        assert!(read(&wide).is_ok());
    }

    #[test]
    fn json_is_embedded_as_it_stands_and_the_rest_is_not_mistaken_for_it() {
        let encoded = |content_type: Option<&str>, data: &'static [u8]| {
            let mut event = Event::builder().required("1", "/s", "t").data(data);
            if let Some(content_type) = content_type {
                event = event.set("datacontenttype", content_type);
            }
            let json = encode(&event.build().unwrap());
            let text = String::from_utf8(json).unwrap();
            text.rsplit_once(r#","data"#).unwrap().1.to_owned()
        };
        assert_eq!(encoded(Some("text/json"), b" {\"b\":1.10, \"a\":2}\n"), r#"":{"b":1.10, "a":2}}"#);
        assert_eq!(encoded(Some("application/json"), b"{broken"), r#"_base64":"e2Jyb2tlbg=="}"#);
        assert_eq!(encoded(Some("text/plain"), b"a\"b"), r#"":"a\"b"}"#);
        assert_eq!(encoded(Some("text/plain"), b"\xff"), r#"_base64":"/w=="}"#);
        assert_eq!(encoded(None, b"{}"), r#"_base64":"e30="}"#);
    }

    prop_compose! {
        fn text()(text in "[^\\p{C}]{1,12}") -> String { text }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i32>().prop_map(Value::Integer),
            "[^\\p{C}]{0,12}".prop_map(Value::String),
        ]
    }

    prop_compose! {
        fn event()(
            id in text(),
            path in text(),
            kind in text(),
            subject in option::of(text()),
            content_type in option::of(prop_oneof![
                Just("application/json"), Just("text/plain; charset=utf-8"), Just("a/b+JSON"), Just("image/png")
            ]),
            extensions in btree_map("x[a-z0-9]{1,10}", value(), 0..5),
            data in option::of(prop_oneof![
                any::<Vec<u8>>(),
                any::<String>().prop_map(String::into_bytes),
                Just(b"{\"a\":[1,2.50]}".to_vec()),
            ]),
        ) -> Event {
            let mut event = Event::builder().required(&id, &format!("/s/{path}"), &kind);
            for (name, value) in extensions {
                event = event.set(&name, value);
            }
            for (name, value) in [("subject", subject.as_deref()), ("datacontenttype", content_type)] {
                if let Some(value) = value {
                    event = event.set(name, value);
                }
            }
            match data {
                Some(data) => event.data(data),
                None => event,
            }.build().unwrap()
        }
    }

    proptest! {
        #[test]
        fn an_event_survives_json(event in event()) {
            let json = encode(&event);
            let read = decode(&Bytes::from(json)).unwrap();
            // White space around JSON is no part of the value.
            let trim = |event: &Event| event.data().map(|data| data.trim_ascii().to_vec());
            prop_assert_eq!(trim(&read), trim(&event));
            prop_assert!(read.attributes().eq(event.attributes()));
        }

        #[test]
        fn a_batch_survives_json(events in proptest::collection::vec(event(), 0..4)) {
            let (headers, body) = http::encode_batch(&events);
            let read = http::decode_all(&headers, &body).unwrap();
            prop_assert_eq!(read.len(), events.len());
            for (read, event) in read.iter().zip(&events) {
                prop_assert_eq!(read, &decode(&Bytes::from(encode(event))).unwrap());
            }
        }

        #[test]
        fn an_event_survives_headers_as_text(event in event()) {
            let (headers, body) = http::encode_binary(&event);
            let read = http::decode(&headers, &body).unwrap();
            let pairs = |event: &Event| -> Vec<(String, String)> {
                event.attributes().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
            };
            prop_assert_eq!(pairs(&read), pairs(&event));
            prop_assert_eq!(read.data(), event.data().filter(|data| !data.is_empty()));
        }

        #[test]
        fn any_body_is_read_without_harm(body in any::<Vec<u8>>()) {
            prop_assert!(decode(&Bytes::from(body)).is_err());
        }
    }
}
