//! Messages ⇄ JSON by the rules of proto3 (`protobuf.dev/programming-guides/json`): lowerCamelCase names, 64-bit numbers as
//! strings, enums as names, spans as `600s`, moments as RFC 3339, `Any` with `@type`.
//!
//! The message crate knows no JSON. So a message is taken in the form that it has between machines, tags and values, and
//! [`schema`] says what the tags are called. One table serves both directions, and whether it is right is tested against
//! the crate itself: what it does not know would be lost on the way there and back.

mod read;
mod schema;
mod write;

pub(super) use read::read;
pub(super) use schema::{
    CANCEL_EXECUTION_REQUEST, EXECUTION, JOB, LIST_EXECUTIONS_RESPONSE, LIST_JOBS_RESPONSE,
    LIST_OPERATIONS_RESPONSE, LIST_TASKS_RESPONSE, OPERATION, RUN_JOB_REQUEST, TASK, WAIT_OPERATION_REQUEST,
};
pub(super) use write::{Enums, write};

/// How a value stands between machines: numbers by themselves, everything else with its length.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// The name in JSON.
fn camel(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut parts = name.split('_');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let mut letters = part.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

#[cfg(test)]
mod tests;
