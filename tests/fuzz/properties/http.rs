//! Messages: lines of headers, an empty line, a body. Whichever way an event is read, it is the same one.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use kakehi::event::http::{self as binding, Mode};
use kakehi::event::{Error, MAX_ATTRIBUTE_BYTES, MAX_EXTENSIONS};

use super::event;

pub(crate) fn check(input: &[u8]) {
    let (headers, body) = message(input);
    let (one, all) = (binding::decode(&headers, &body), binding::decode_all(&headers, &body));
    match (binding::mode(&headers), &one, &all) {
        (Ok(Mode::Batched), one, _) => assert!(matches!(one, Err(Error::Batch))),
        (_, Ok(one), Ok(all)) => assert_eq!(std::slice::from_ref(one), all.as_slice()),
        (_, Err(one), Err(all)) => assert_eq!(one.to_string(), all.to_string()),
        (mode, one, all) => panic!("{mode:?}: {one:?}, {all:?}"),
    }
    match all {
        Err(error) => event::is_fit_to_be_shown(&error),
        Ok(events) => {
            for event in &events {
                assert!(!event.id().is_empty() && !event.source().is_empty() && !event.kind().is_empty());
                assert!(event.extensions().count() <= MAX_EXTENSIONS);
                let size: usize =
                    event::texts(event).iter().map(|(name, value)| name.len() + value.len()).sum();
                // Old names are a little shorter, and a content type may be added.
                assert!(size <= MAX_ATTRIBUTE_BYTES + 64, "{size}");
                assert!(event::texts(event).iter().all(|(_, value)| !value.contains(char::is_control)));
                event::survives(event);
            }
        }
    }
}

/// The message; what can be no header is left out.
fn message(input: &[u8]) -> (HeaderMap, Bytes) {
    let end = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = input.split_at(end);
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(300) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(body.get(2..).unwrap_or_default()))
}
