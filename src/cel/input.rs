//! An event as an expression sees it.

use std::cell::OnceCell;

use super::json;
use super::value::{Text, Value};
use crate::event::{Attribute, Event, ValueRef, is_json};

/// Why nobody can say anything about the data.
const NOT_KEPT: &str = "the event's data was not kept";

/// An event, with its data parsed once for all the expressions that ask for it, and never if none does.
#[derive(Debug)]
pub struct Input<'e> {
    event: &'e Event,
    data: OnceCell<Result<Value<'e>, &'static str>>,
    /// Whether what the event says of its data is all that there was.
    is_whole: bool,
}

impl<'e> Input<'e> {
    /// The event as it is asked.
    pub fn new(event: &'e Event) -> Self {
        Self { event, data: OnceCell::new(), is_whole: true }
    }

    /// An event whose data was not kept: whoever asks for it is told so.
    pub fn without_data(event: &'e Event) -> Self {
        Self { event, data: OnceCell::from(Err(NOT_KEPT)), is_whole: false }
    }

    /// The event.
    pub fn event(&self) -> &'e Event {
        self.event
    }

    pub(super) fn attribute(&self, attribute: &Attribute) -> Option<Value<'e>> {
        self.event.get(attribute).map(|value| match value {
            ValueRef::Boolean(value) => Value::Boolean(value),
            ValueRef::Integer(value) => Value::Integer(i64::from(value)),
            ValueRef::String(value) => Value::Text(Text::Borrowed(value)),
        })
    }

    /// Whether there is data to speak of, if that is known.
    pub(super) fn has_data(&self) -> Result<bool, &'static str> {
        if self.is_whole { Ok(self.data().is_ok()) } else { Err(NOT_KEPT) }
    }

    /// Bytes of the data.
    pub(super) fn size(&self) -> usize {
        self.event.data().map_or(0, bytes::Bytes::len)
    }

    /// The data, or why there is none to speak of.
    pub(super) fn data(&self) -> Result<Value<'e>, &'static str> {
        self.data.get_or_init(|| parse(self.event)).clone()
    }
}

fn parse(event: &Event) -> Result<Value<'_>, &'static str> {
    let data = event.data().ok_or("the event has no data")?;
    if !event.datacontenttype().is_none_or(is_json) {
        return Err("the data is not JSON by its content type");
    }
    let text = str::from_utf8(data).map_err(|_| "the data is not JSON: it is not UTF-8")?;
    json::parse(text).ok_or("the data is not JSON")
}
