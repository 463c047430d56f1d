//! Makes an event out of attributes: every rule about attributes is checked here, whatever format they arrived in.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::SPECVERSION;
use super::attribute::Attribute;
use super::error::{Error, excerpt};
use super::media_type;
use super::model::Event;
use super::syntax;
use super::value::Value;

/// Most extension attributes of an event. Twice what the largest senders add, and below the 256 that an Execution can
/// hold.
pub const MAX_EXTENSIONS: usize = 128;

/// Most bytes of all attributes, names and values. Every value becomes an environment variable of the tasks, and Linux
/// takes at most 128 KiB for one.
pub const MAX_ATTRIBUTE_BYTES: usize = 64 * 1024;

/// The version before 1.0 that is still sent. Its events are made into ones of 1.0.
const OLD_SPECVERSION: &str = "0.3";

/// What version 0.3 called `dataschema`, and the attribute that said that its data is Base64.
const OLD_SCHEMA: &str = "schemaurl";
const OLD_ENCODING: &str = "datacontentencoding";

/// A version of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    Current,
}

/// An event in the making. `specversion` may be left out; everything else is checked as it is set, and the first
/// mistake is what [`Builder::build`] returns.
#[derive(Debug, Default)]
pub struct Builder {
    specversion: Option<Version>,
    id: Option<String>,
    source: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    dataschema: Option<String>,
    datacontenttype: Option<String>,
    extensions: BTreeMap<Box<str>, Value>,
    data: Option<Bytes>,
    /// Bytes of names and values so far.
    size: usize,
    mistake: Option<Error>,
}

impl Builder {
    /// Sets `id`, `source` and `type`.
    #[must_use]
    pub fn required(self, id: &str, source: &str, kind: &str) -> Self {
        self.set("id", id).set("source", source).set("type", kind)
    }

    /// Sets an attribute by name.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        if self.mistake.is_none()
            && let Err(error) = self.put(name, value.into())
        {
            self.mistake = Some(error);
        }
        self
    }

    /// Sets the data.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// The event.
    ///
    /// # Errors
    /// The first mistake that was made, or the first required attribute that is missing.
    pub fn build(mut self) -> Result<Event, Error> {
        if let Some(error) = self.mistake.take() {
            return Err(error);
        }
        // Data is bytes here, whatever it was on the wire.
        self.upgrade()?;
        let Self {
            specversion: _,
            id,
            source,
            kind,
            subject,
            time,
            dataschema,
            datacontenttype,
            extensions,
            data,
            size: _,
            mistake: _,
        } = self;
        let integers = extensions.iter().filter(|(_, value)| matches!(value, Value::Integer(_)));
        let digits = integers.map(|(name, value)| (name.clone(), value.as_ref().text().into())).collect();
        Ok(Event {
            id: id.ok_or(Error::Missing("id"))?,
            source: source.ok_or(Error::Missing("source"))?,
            kind: kind.ok_or(Error::Missing("type"))?,
            subject,
            time,
            dataschema,
            datacontenttype,
            extensions,
            digits,
            data,
        })
    }

    /// Whether `specversion` was set. The wire formats demand it.
    pub(super) fn has_specversion(&self) -> bool {
        self.specversion.is_some()
    }

    /// Makes what was written in version 0.3 into an event of 1.0, once all attributes are set, and says whether its data
    /// is Base64. In an event of 1.0 these names are extensions like any other.
    pub(super) fn upgrade(&mut self) -> Result<bool, Error> {
        if self.specversion != Some(Version::Old) {
            return Ok(false);
        }
        // It could be relative there; what cannot be a `dataschema` stays what it was.
        if let Some(Value::String(schema)) = self.extensions.get(OLD_SCHEMA)
            && self.dataschema.is_none()
            && syntax::is_absolute_uri(schema)
        {
            self.dataschema = Some(schema.clone());
            self.extensions.remove(OLD_SCHEMA);
        }
        match self.extensions.remove(OLD_ENCODING) {
            None => Ok(false),
            Some(Value::String(encoding)) if encoding.eq_ignore_ascii_case("base64") => Ok(true),
            Some(other) => Err(wrong(OLD_ENCODING, "`base64`", &other.as_ref().text())),
        }
    }

    pub(super) fn datacontenttype(&self) -> Option<&str> {
        self.datacontenttype.as_deref()
    }

    /// Whether the attribute of that name was set.
    pub(super) fn has(&self, name: &str) -> bool {
        match name {
            "specversion" => self.specversion.is_some(),
            "id" => self.id.is_some(),
            "source" => self.source.is_some(),
            "type" => self.kind.is_some(),
            "subject" => self.subject.is_some(),
            "time" => self.time.is_some(),
            "dataschema" => self.dataschema.is_some(),
            "datacontenttype" => self.datacontenttype.is_some(),
            extension => self.extensions.contains_key(extension),
        }
    }

    /// Sets an attribute, or says at once why not.
    pub(super) fn put(&mut self, name: &str, value: Value) -> Result<(), Error> {
        let attribute = Attribute::parse(name)?;
        self.size += name.len() + value.as_ref().length();
        if self.size > MAX_ATTRIBUTE_BYTES {
            return Err(Error::TooLarge("64 KiB of names and values"));
        }
        if let Attribute::Extension(name) = attribute {
            return self.put_extension(name, value);
        }
        let name = attribute.as_str();
        if self.has(name) {
            return Err(Error::Repeated(name.to_owned()));
        }
        let Value::String(text) = value else {
            return Err(wrong(name, "a string", &value.as_ref().text()));
        };
        if attribute == Attribute::SpecVersion {
            // 1.0.1 and 1.0.2 of the specification keep `1.0` here.
            self.specversion = match text.as_str() {
                SPECVERSION => Some(Version::Current),
                OLD_SPECVERSION => Some(Version::Old),
                _ => return Err(Error::Version(excerpt(&text))),
            };
            return Ok(());
        }
        // White space around a media type is no part of it, and no header could carry it.
        let text = match attribute {
            Attribute::DataContentType if text.trim().len() < text.len() => text.trim().to_owned(),
            _ => text,
        };
        check(&attribute, &text)?;
        let slot = match attribute {
            Attribute::Id => &mut self.id,
            Attribute::Source => &mut self.source,
            Attribute::Type => &mut self.kind,
            Attribute::Subject => &mut self.subject,
            Attribute::Time => &mut self.time,
            Attribute::DataSchema => &mut self.dataschema,
            Attribute::DataContentType => &mut self.datacontenttype,
            Attribute::SpecVersion | Attribute::Extension(_) => return Ok(()),
        };
        *slot = Some(text);
        Ok(())
    }

    fn put_extension(&mut self, name: Box<str>, value: Value) -> Result<(), Error> {
        if let Value::String(text) = &value
            && !syntax::is_all_text(text)
        {
            return Err(wrong(&name, NO_CONTROLS, text));
        }
        if self.extensions.len() >= MAX_EXTENSIONS {
            return Err(Error::TooLarge("128 extensions"));
        }
        if self.extensions.contains_key(&name) {
            return Err(Error::Repeated(name.into()));
        }
        self.extensions.insert(name, value);
        Ok(())
    }
}

const NO_CONTROLS: &str = "text without control characters";

/// The rules of the standard attributes (`CloudEvents` §required and optional attributes).
fn check(attribute: &Attribute, text: &str) -> Result<(), Error> {
    let name = attribute.as_str();
    if text.is_empty() {
        return Err(Error::Attribute {
            name: name.to_owned(),
            expected: "a non-empty string",
            found: "empty".to_owned(),
        });
    }
    if !syntax::is_all_text(text) {
        return Err(wrong(name, NO_CONTROLS, text));
    }
    let (holds, expected) = match attribute {
        Attribute::Source => {
            (syntax::is_uri_reference(text), "a URI-reference such as `/orders` or `urn:x:y`")
        }
        Attribute::Time => (syntax::is_timestamp(text), "an RFC 3339 time such as `2026-11-22T07:20:00Z`"),
        Attribute::DataSchema => (syntax::is_absolute_uri(text), "an absolute URI"),
        Attribute::DataContentType => (media_type::is_valid(text), "a media type such as `application/json`"),
        Attribute::SpecVersion
        | Attribute::Id
        | Attribute::Type
        | Attribute::Subject
        | Attribute::Extension(_) => return Ok(()),
    };
    if holds { Ok(()) } else { Err(wrong(name, expected, text)) }
}

fn wrong(name: &str, expected: &'static str, found: &str) -> Error {
    Error::Attribute { name: name.to_owned(), expected, found: excerpt(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Builder {
        Event::builder().required("1", "/s", "t")
    }

    #[test]
    fn a_time_is_kept_as_it_was_sent() {
        let sent = "2026-11-22T07:20:00.268779172+05:30";
        let event = minimal().set("time", sent).build().unwrap();
        assert_eq!(event.time(), Some(sent));
    }

    #[test]
    fn whatever_the_version_was_the_event_is_one_of_1_0() {
        let old = minimal()
            .set("specversion", "0.3")
            .set("schemaurl", "urn:a")
            .set("datacontentencoding", "base64");
        let event = old.data("/wAB").build().unwrap();
        // Who hands bytes to a builder means these bytes.
        assert_eq!((event.dataschema(), event.data().unwrap().as_ref()), (Some("urn:a"), b"/wAB".as_slice()));
        assert_eq!(event.extensions().count(), 0);
    }

    #[test]
    fn every_mistake_names_the_attribute() {
        for (name, value, reason) in [
            ("id", Value::from(""), "`id` must be a non-empty string"),
            ("source", "".into(), "`source` must be a non-empty string"),
            ("source", "1:2".into(), "`source` must be a URI-reference"),
            ("type", "".into(), "`type`"),
            ("type", 5.into(), "`type` must be a string, not `5`"),
            ("id", true.into(), "`id` must be a string, not `true`"),
            ("id", "a\nb".into(), "`id` must be text without control characters, not `a\\nb`"),
            ("subject", "".into(), "`subject`"),
            ("time", "noon".into(), "`time` must be an RFC 3339 time"),
            ("dataschema", "/relative".into(), "`dataschema` must be an absolute URI"),
            ("datacontenttype", "json".into(), "`datacontenttype` must be a media type"),
            ("specversion", "0.2".into(), "`specversion` must be `1.0` or `0.3`, not `0.2`"),
            ("specversion", "1.0.2".into(), "`specversion`"),
            ("data", "x".into(), "no attribute `data`"),
            ("My_Ext", "x".into(), "no attribute `My_Ext`"),
            ("ext", "a\u{7f}".into(), "`ext` must be text without control characters"),
        ] {
            let error = Event::builder().set(name, value).build().unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }

    #[test]
    fn the_first_mistake_is_the_one_told() {
        let error = Event::builder().set("time", "x").set("id", "").build().unwrap_err();
        assert!(error.to_string().contains("`time`"), "{error}");
    }

    #[test]
    fn required_attributes_are_required() {
        for missing in ["id", "source", "type"] {
            let mut builder = Event::builder();
            for (name, value) in [("id", "1"), ("source", "/s"), ("type", "t")] {
                if name != missing {
                    builder = builder.set(name, value);
                }
            }
            let error = builder.build().unwrap_err();
            assert!(matches!(error, Error::Missing(name) if name == missing), "{error}");
        }
    }

    #[test]
    fn nothing_is_set_twice() {
        assert!(matches!(minimal().set("id", "1").build(), Err(Error::Repeated(name)) if name == "id"));
        let twice = minimal().set("ext", "1").set("ext", 1).build();
        assert!(matches!(twice, Err(Error::Repeated(name)) if name == "ext"));
    }

    #[test]
    fn the_number_and_the_size_of_attributes_are_bounded() {
        let mut builder = minimal();
        for number in 0..MAX_EXTENSIONS {
            builder = builder.set(&format!("e{number}"), "");
        }
        assert!(matches!(builder.set("more", "").build(), Err(Error::TooLarge(_))));
        let long = "x".repeat(MAX_ATTRIBUTE_BYTES);
        assert!(matches!(minimal().set("ext", long.as_str()).build(), Err(Error::TooLarge(_))));
    }
}
