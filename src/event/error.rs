//! Why something is not an event. Every reason names what is at fault and what was expected, for the person who sent it.

use std::fmt::Write;

use super::attribute::Attribute;

/// Longest part of somebody's input that a reason repeats, in characters.
const EXCERPT: usize = 80;

/// Why something cannot be taken as an event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither mode of the HTTP binding was used.
    #[error(
        "this is not a CloudEvent: send the headers `ce-specversion`, `ce-id`, `ce-source` and `ce-type`, or a body of type `application/cloudevents+json`"
    )]
    NotAnEvent,
    /// A required attribute is not there.
    #[error("`{0}` is missing: every event has `specversion`, `id`, `source` and `type`")]
    Missing(&'static str),
    /// A value is not what its attribute takes.
    #[error("`{name}` must be {expected}, not {found}")]
    Attribute {
        /// The attribute.
        name: String,
        /// What it takes.
        expected: &'static str,
        /// What was sent, shortened.
        found: String,
    },
    /// No attribute can have that name.
    #[error("there is no attribute {name}: {problem}")]
    Name {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An attribute, a header or a member occurs twice.
    #[error("`{0}` is given more than once")]
    Repeated(String),
    /// A version of the specification that is not spoken.
    #[error("`specversion` must be `1.0` or `0.3`, not {0}")]
    Version(String),
    /// More attributes, or longer ones, than an event may have.
    #[error("the event's attributes are too large: at most {0} are taken")]
    TooLarge(&'static str),
    /// In binary mode the content type has its own header.
    #[error("`ce-datacontenttype` is not a header of an event: in binary mode `Content-Type` says it")]
    ContentTypeHeader,
    /// The body of a structured event is not what the JSON format asks for.
    #[error("the body is not an event in JSON")]
    Json(#[source] serde_json::Error),
    /// The event's data cannot be read.
    #[error("the event's data cannot be read: {0}")]
    Data(&'static str),
    /// Several events where there should be one.
    #[error("a batch of events is not taken here: send every event in a request of its own")]
    Batch,
    /// The body of a batch is not what the JSON batch format asks for.
    #[error("the body is not a batch of events in JSON")]
    JsonBatch(#[source] serde_json::Error),
    /// One event of a batch is none, so that nothing of the batch is taken.
    #[error("event {number} of the batch: {reason}")]
    InBatch {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: Box<Error>,
    },
    /// A structured format other than JSON.
    #[error("the event format {0} is not known: send `application/cloudevents+json`, or use binary mode")]
    Format(String),
}

impl Error {
    /// The error for a value that nothing can be made of, whatever its attribute takes. Names can be anything yet, of any
    /// length: one that no attribute can have is what is told.
    pub(super) fn of_value(name: &str, expected: &'static str, found: &str) -> Self {
        match Attribute::parse(name) {
            Ok(attribute) => Self::attribute(attribute.as_str(), expected, found),
            Err(error) => error,
        }
    }

    /// The error for a value that its attribute does not take; `found` is what was sent.
    pub(crate) fn attribute(name: &str, expected: &'static str, found: &str) -> Self {
        Error::Attribute { name: name.to_owned(), expected, found: excerpt(found) }
    }
}

/// Somebody's text, quoted, shortened and without control characters, fit to be shown.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown = String::from("`");
    let mut characters = text.chars();
    for character in characters.by_ref().take(EXCERPT) {
        if character.is_control() {
            // Writing to a String cannot fail.
            write!(shown, "{}", character.escape_default()).expect("a String takes everything");
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt("a\r\nb\0"), "`a\\r\\nb\\u{0}`");
        let long = excerpt(&"é".repeat(5000));
        assert_eq!(long.chars().count(), EXCERPT + 3);
        assert!(long.ends_with("`…"));
    }
}
