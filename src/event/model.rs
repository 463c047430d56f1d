//! The event itself. Made by [`super::Builder`] only, so it is always a valid one.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::SPECVERSION;
use super::attribute::Attribute;
use super::builder::Builder;
use super::value::{Value, ValueRef, boolean};

/// A valid event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    pub(super) time: Option<String>,
    pub(super) dataschema: Option<String>,
    pub(super) datacontenttype: Option<String>,
    pub(super) extensions: BTreeMap<Box<str>, Value>,
    /// The extensions that are integers, as text: filters compare them so, and many may ask.
    pub(super) digits: BTreeMap<Box<str>, Box<str>>,
    pub(super) data: Option<Bytes>,
}

impl Event {
    /// Starts an event.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `id`: with [`Self::source`] it tells this event from every other one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `source`, a URI-reference.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `subject`.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `time`, RFC 3339, as it was sent.
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// `dataschema`, an absolute URI.
    pub fn dataschema(&self) -> Option<&str> {
        self.dataschema.as_deref()
    }

    /// `datacontenttype`, the media type of the data.
    pub fn datacontenttype(&self) -> Option<&str> {
        self.datacontenttype.as_deref()
    }

    /// The extension attributes, by name.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.extensions.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The data, byte for byte.
    pub fn data(&self) -> Option<&Bytes> {
        self.data.as_ref()
    }

    /// The same for whoever keeps it: its data no longer holds the whole request in memory, and is left out where it has
    /// more than `most` bytes.
    #[must_use]
    pub fn detached(self, most: usize) -> Self {
        let data = self.data.filter(|data| data.len() <= most).map(|data| Bytes::copy_from_slice(&data));
        Self { data, ..self }
    }

    /// Value of an attribute; an attribute that the event does not have is `None`, never an empty value.
    pub fn get(&self, attribute: &Attribute) -> Option<ValueRef<'_>> {
        let text = match attribute {
            Attribute::SpecVersion => Some(SPECVERSION),
            Attribute::Id => Some(self.id.as_str()),
            Attribute::Source => Some(self.source.as_str()),
            Attribute::Type => Some(self.kind.as_str()),
            Attribute::Subject => self.subject(),
            Attribute::Time => self.time(),
            Attribute::DataSchema => self.dataschema(),
            Attribute::DataContentType => self.datacontenttype(),
            Attribute::Extension(name) => return self.extensions.get(name).map(Value::as_ref),
        };
        text.map(ValueRef::String)
    }

    /// The canonical string of an attribute. Allocates nothing.
    pub fn text(&self, attribute: &Attribute) -> Option<&str> {
        match (self.get(attribute)?, attribute) {
            (ValueRef::String(text), _) => Some(text),
            (ValueRef::Boolean(value), _) => Some(boolean(value)),
            (ValueRef::Integer(_), Attribute::Extension(name)) => self.digits.get(name).map(AsRef::as_ref),
            (ValueRef::Integer(_), _) => None,
        }
    }

    /// Value of the attribute of that name, standard or extension.
    pub fn attribute(&self, name: &str) -> Option<ValueRef<'_>> {
        self.get(&Attribute::parse(name).ok()?)
    }

    /// Every attribute that is present, `specversion` first and extensions last, with its value.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        const STANDARD: [Attribute; 8] = [
            Attribute::SpecVersion,
            Attribute::Id,
            Attribute::Source,
            Attribute::Type,
            Attribute::Subject,
            Attribute::Time,
            Attribute::DataContentType,
            Attribute::DataSchema,
        ];
        let standard =
            STANDARD.iter().filter_map(|attribute| Some((attribute.as_str(), self.get(attribute)?)));
        standard.chain(self.extensions().map(|(name, value)| (name, value.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_name_and_missing_ones_are_absent() {
        let event = Event::builder()
            .required("1", "/s", "t")
            .set("num", 5)
            .set("flag", true)
            .set("empty", "")
            .build()
            .unwrap();
        let text = |name| event.attribute(name).map(|value| value.text().into_owned());
        assert_eq!(text("specversion").as_deref(), Some("1.0"));
        assert_eq!(text("type").as_deref(), Some("t"));
        assert_eq!(text("num").as_deref(), Some("5"));
        assert_eq!(text("flag").as_deref(), Some("true"));
        assert_eq!(text("empty").as_deref(), Some(""));
        for (name, value) in event.attributes() {
            let attribute = Attribute::parse(name).unwrap();
            assert_eq!(event.text(&attribute), Some(&*value.text()));
        }
        assert_eq!(event.text(&Attribute::Subject), None);
        for missing in ["subject", "time", "dataschema", "datacontenttype", "other", "data", "No"] {
            assert_eq!(text(missing), None, "{missing}");
        }
        let names: Vec<_> = event.attributes().map(|(name, _)| name).collect();
        assert_eq!(names, ["specversion", "id", "source", "type", "empty", "flag", "num"]);
    }
}
