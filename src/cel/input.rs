//! An event as an expression sees it.

use std::cell::{Cell, OnceCell};

use super::json;
use super::program::MAX_STEPS;
use super::value::{Text, Value};
use crate::event::{Attribute, Event, ValueRef, is_json};

/// Why nobody can say anything about the data.
const NOT_KEPT: &str = "the event's data was not kept";

/// Most steps that all expressions together take that are asked about one event: some tenths of a second, however many
/// Triggers there are. Each of a thousand can be sure of 2,500, a hundred times what a look at a few members takes.
pub const MAX_EVENT_STEPS: u32 = 10 * MAX_STEPS;

/// Most steps that all expressions of a run take together: those of its Job and of the Trigger that matched. A run costs a
/// write as well, so there are not many for nothing.
pub(super) const MAX_RUN_STEPS: u32 = 2 * MAX_STEPS;

/// An event, with its data parsed once for all the expressions that ask for it, and never if none does; and with what they
/// may cost together.
#[derive(Debug)]
pub struct Input<'e> {
    event: &'e Event,
    data: OnceCell<Result<Value<'e>, &'static str>>,
    /// Whether what the event says of its data is all that there was.
    is_whole: bool,
    /// Steps that are left for all who still ask.
    left: Cell<u32>,
    /// Those of them that are kept for who asks later.
    kept: Cell<u32>,
    /// Whether somebody who was allowed steps since wanted more than there were for him.
    ran_out: Cell<bool>,
}

impl<'e> Input<'e> {
    /// The event as it is asked.
    pub fn new(event: &'e Event) -> Self {
        Self::with(event, OnceCell::new(), MAX_EVENT_STEPS)
    }

    /// The same for what one run of a Job needs of the event: its key and its parameters.
    pub fn for_run(event: &'e Event) -> Self {
        Self::with(event, OnceCell::new(), MAX_RUN_STEPS)
    }

    /// An event whose data was not kept: whoever asks for it is told so.
    pub fn without_data(event: &'e Event) -> Self {
        Self { is_whole: false, ..Self::with(event, OnceCell::from(Err(NOT_KEPT)), MAX_EVENT_STEPS) }
    }

    fn with(event: &'e Event, data: OnceCell<Result<Value<'e>, &'static str>>, steps: u32) -> Self {
        let (left, kept, ran_out) = (Cell::new(steps), Cell::new(0), Cell::new(false));
        Self { event, data, is_whole: true, left, kept, ran_out }
    }

    /// What each has, if what is left is divided among so many.
    pub fn share(&self, among: usize) -> u32 {
        self.left.get() / u32::try_from(among).unwrap_or(u32::MAX).max(1)
    }

    /// The event.
    pub fn event(&self) -> &'e Event {
        self.event
    }

    /// Allows whoever asks next so many of the steps that are left.
    pub fn allow(&self, steps: u32) {
        self.kept.set(self.left.get().saturating_sub(steps));
        self.ran_out.set(false);
    }

    /// Steps that can be taken now.
    pub fn allowed(&self) -> u32 {
        self.left.get().saturating_sub(self.kept.get())
    }

    /// Takes steps; more than are allowed use up what is, and that is remembered.
    pub fn spend(&self, steps: u32) {
        if steps > self.allowed() {
            self.ran_out.set(true);
        }
        self.left.set(self.left.get() - steps.min(self.allowed()));
    }

    /// Whether more was asked than was allowed last, so that an answer may be owed to that alone.
    pub fn ran_out(&self) -> bool {
        self.ran_out.get()
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
