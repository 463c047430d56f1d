//! Values of attributes (`CloudEvents` §type system).
//!
//! Booleans and integers keep their type where the format has types (JSON). Everywhere else, and in every comparison,
//! a value is its canonical string, so that `5` and `"5"` are the same in every mode.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;

/// Value of an attribute. Binary, URI and timestamp values travel as strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Boolean.
    Boolean(bool),
    /// Integer, 32 bits.
    Integer(i32),
    /// Anything else. May be empty.
    String(String),
}

impl Value {
    /// A view of it.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Boolean(value) => ValueRef::Boolean(*value),
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::String(value) => ValueRef::String(value),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::String(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.to_owned())
    }
}

/// A view of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// Boolean.
    Boolean(bool),
    /// Integer, 32 bits.
    Integer(i32),
    /// Anything else.
    String(&'a str),
}

impl<'a> ValueRef<'a> {
    /// Its canonical string.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            ValueRef::Boolean(value) => Cow::Borrowed(boolean(value)),
            ValueRef::Integer(value) => Cow::Owned(value.to_string()),
            ValueRef::String(value) => Cow::Borrowed(value),
        }
    }

    /// Bytes of its canonical string.
    pub(super) fn length(self) -> usize {
        let mut length = 0;
        self.is(|text| {
            length = text.len();
            true
        });
        length
    }

    /// Whether its canonical string is what `test` looks for. Allocates nothing, for filters.
    pub fn is(self, test: impl FnOnce(&str) -> bool) -> bool {
        match self {
            ValueRef::Boolean(value) => test(boolean(value)),
            ValueRef::String(value) => test(value),
            ValueRef::Integer(value) => {
                let mut digits = Digits::default();
                write!(digits, "{value}").is_ok_and(|()| test(digits.as_str()))
            }
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Boolean(value) => f.write_str(boolean(*value)),
            ValueRef::Integer(value) => write!(f, "{value}"),
            ValueRef::String(value) => f.write_str(value),
        }
    }
}

pub(super) fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Room for the longest 32-bit integer, `-2147483648`.
#[derive(Default)]
struct Digits {
    bytes: [u8; 11],
    length: usize,
}

impl Digits {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_sees_the_canonical_string() {
        for (value, text) in [
            (Value::from(true), "true"),
            (Value::from(false), "false"),
            (Value::from(0), "0"),
            (Value::from(i32::MIN), "-2147483648"),
            (Value::from(i32::MAX), "2147483647"),
            (Value::from("é"), "é"),
            (Value::from(""), ""),
        ] {
            assert!(value.as_ref().is(|seen| seen == text), "{text}");
            assert!(!value.as_ref().is(|seen| seen != text), "{text}");
            assert_eq!(value.as_ref().text(), text);
            assert_eq!(value.as_ref().to_string(), text);
        }
    }
}
