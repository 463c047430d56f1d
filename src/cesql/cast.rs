//! Values, their types, and how one becomes another (§3.1, §3.7).

use std::borrow::Cow;
use std::fmt;

use crate::event::ValueRef;

/// The primitive types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// Sequence of Unicode characters.
    String,
    /// 32 bits, with a sign.
    Integer,
    /// True or false.
    Boolean,
}

/// A value; text is borrowed where it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of type String.
    String(Cow<'a, str>),
    /// Of type Integer.
    Integer(i32),
    /// Of type Boolean.
    Boolean(bool),
}

impl Type {
    /// What a part of this type is when something is missing in it.
    pub(super) fn zero(self) -> Value<'static> {
        match self {
            Type::String => Value::String(Cow::Borrowed("")),
            Type::Integer => Value::Integer(0),
            Type::Boolean => Value::Boolean(false),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::String => "a String",
            Type::Integer => "an Integer",
            Type::Boolean => "a Boolean",
        })
    }
}

impl<'a> Value<'a> {
    /// The value of an attribute, with the type that it was sent with.
    pub(super) fn typed(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Boolean(value) => Value::Boolean(value),
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::String(value) => Value::String(Cow::Borrowed(value)),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Value::String(_) => Type::String,
            Value::Integer(_) => Type::Integer,
            Value::Boolean(_) => Type::Boolean,
        }
    }

    /// Cast to Integer; none if it is no text of one.
    pub(super) fn to_integer(&self) -> Option<i32> {
        match self {
            Value::Integer(value) => Some(*value),
            Value::Boolean(value) => Some(i32::from(*value)),
            // A sign, then digits: exactly what the standard library reads.
            Value::String(text) => text.parse().ok(),
        }
    }

    /// Cast to Boolean; none if it is no text of one.
    pub(super) fn to_boolean(&self) -> Option<bool> {
        match self {
            Value::Boolean(value) => Some(*value),
            Value::Integer(value) => Some(*value != 0),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Value::String(_) => None,
        }
    }

    /// Cast to String, which always succeeds.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Value::String(text) => text,
            Value::Integer(value) => Cow::Owned(value.to_string()),
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) => f.write_str(text),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Boolean(value) => write!(f, "{value}"),
        }
    }
}
