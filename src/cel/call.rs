//! Calls of functions: what they take, what they cost, what they give.

use std::borrow::Cow;

use super::arithmetic::{Number, cut, finite};
use super::error::{Failure, Problem};
use super::evaluate::{Evaluation, Outcome, STEP_READ, at};
use super::function::Function;
use super::program::STEP_BYTES;
use super::syntax::Node;
use super::text;
use super::value::Value;

impl<'a, 'e: 'a> Evaluation<'a, 'e> {
    pub(super) fn call(&mut self, node: &'a Node, function: Function, arguments: &'a [Node]) -> Outcome<'a> {
        let (Some(first), second, third) = (arguments.first(), arguments.get(1), arguments.get(2)) else {
            return Err(at(node)(Problem::Missing));
        };
        match function {
            Function::Size => self.value(first).and_then(|value| self.size(&value).map_err(at(first))),
            Function::Dyn => self.value(first),
            Function::String | Function::Int | Function::Uint | Function::Double | Function::Bool => {
                let value = self.value(first)?;
                converted(function, &value).map_err(at(node))
            }
            Function::Join => {
                let list = self.value(first)?;
                let separator = second.map(|node| self.text(node)).transpose()?;
                self.join(&list, separator.as_deref().unwrap_or_default()).map_err(at(node))
            }
            Function::Substring => {
                let text = self.text(first)?;
                let start = second.map_or(Ok(0), |node| self.position(node))?;
                let end = third.map(|node| self.position(node)).transpose()?;
                self.spend(text.len() / STEP_BYTES).map_err(at(node))?;
                text::substring(&text, start, end).map(Value::text).map_err(at(node))
            }
            _ => {
                let text = self.text(first)?;
                let one = second.map(|node| self.text(node)).transpose()?;
                let other = third.map(|node| self.text(node)).transpose()?;
                let one = one.as_deref().unwrap_or_default();
                self.string(function, &text, one, other.as_deref().unwrap_or_default()).map_err(at(node))
            }
        }
    }

    fn position(&mut self, node: &'a Node) -> Result<i64, Failure> {
        match self.value(node)? {
            Value::Integer(value) => Ok(value),
            other => Err(at(node)(Problem::Type { expected: "an integer", found: other.kind() })),
        }
    }

    fn size(&mut self, value: &Value<'a>) -> Result<Value<'a>, Problem> {
        let length = match value {
            Value::Text(text) => {
                self.spend(text.len() / STEP_READ)?;
                return Ok(Value::Integer(text::length(text)));
            }
            Value::List(values) => values.len(),
            Value::Map(members) => members.len(),
            other => {
                return Err(Problem::Type { expected: "a string, a list or an object", found: other.kind() });
            }
        };
        Ok(Value::Integer(i64::try_from(length).unwrap_or(i64::MAX)))
    }

    /// Functions on strings alone. What they make is paid for before it is made.
    fn string(
        &mut self,
        function: Function,
        text: &str,
        one: &str,
        other: &str,
    ) -> Result<Value<'a>, Problem> {
        self.spend(text.len() / STEP_READ)?;
        Ok(match function {
            Function::Contains => Value::Boolean(text.contains(one)),
            Function::StartsWith => Value::Boolean(text.starts_with(one)),
            Function::EndsWith => Value::Boolean(text.ends_with(one)),
            Function::IndexOf => Value::Integer(text::index_of(text, one)),
            Function::Replace => {
                let times = text.matches(one).count();
                self.spend((text.len() + times.saturating_mul(other.len())) / STEP_BYTES)?;
                Value::text(text.replace(one, other))
            }
            Function::Split => {
                // Each piece is text of its own.
                let pieces = text.matches(one).count() + 1;
                self.spend(pieces * 2 + text.len() / STEP_BYTES)?;
                if one.is_empty() {
                    let mut buffer = [0; 4];
                    Value::list(text.chars().map(|c| Value::text(&*c.encode_utf8(&mut buffer))).collect())
                } else {
                    Value::list(text.split(one).map(Value::text).collect())
                }
            }
            _ => {
                self.spend(text.len() / STEP_BYTES)?;
                match function {
                    Function::LowerAscii => Value::text(text.to_ascii_lowercase()),
                    Function::UpperAscii => Value::text(text.to_ascii_uppercase()),
                    _ => Value::text(text.trim()),
                }
            }
        })
    }

    fn join(&mut self, list: &Value<'a>, separator: &str) -> Result<Value<'a>, Problem> {
        let Value::List(values) = list else {
            return Err(Problem::Type { expected: "a list", found: list.kind() });
        };
        let mut joined = String::new();
        for (index, value) in values.iter().enumerate() {
            let Value::Text(text) = value else {
                return Err(Problem::Type { expected: "a list of strings", found: value.kind() });
            };
            self.spend(1 + (text.len() + separator.len()) / STEP_BYTES)?;
            if index > 0 {
                joined.push_str(separator);
            }
            joined.push_str(text);
        }
        Ok(Value::text(joined))
    }
}

/// `string(x)`, `int(x)`, `uint(x)`, `double(x)`, `bool(x)`.
fn converted<'a>(function: Function, value: &Value<'a>) -> Result<Value<'a>, Problem> {
    if matches!(function, Function::String) {
        return value.plain().map(Value::Text);
    }
    let text: Option<Cow<'_, str>> = match value {
        Value::Text(text) => Some(Cow::Borrowed(&**text)),
        _ => None,
    };
    let (name, result) = match function {
        Function::Bool => (
            "a boolean",
            match (value, text.as_deref()) {
                (Value::Boolean(value), _) => Some(Value::Boolean(*value)),
                (_, Some("true" | "True" | "TRUE" | "t" | "1")) => Some(Value::Boolean(true)),
                (_, Some("false" | "False" | "FALSE" | "f" | "0")) => Some(Value::Boolean(false)),
                _ => None,
            },
        ),
        Function::Double => {
            let number = match text.as_deref() {
                Some(text) => text.parse().ok(),
                None => Number::of(value).map(Number::double),
            };
            ("a number", number.and_then(|number| finite(number).ok()))
        }
        Function::Uint => (
            "an unsigned integer",
            match text.as_deref() {
                Some(text) => text.parse().ok().map(Value::Unsigned),
                None => whole(value).and_then(|number| u64::try_from(number).ok()).map(Value::Unsigned),
            },
        ),
        _ => (
            "an integer",
            match text.as_deref() {
                Some(text) => text.parse().ok().map(Value::Integer),
                None => whole(value).and_then(|number| i64::try_from(number).ok()).map(Value::Integer),
            },
        ),
    };
    result.ok_or(Problem::Conversion(name))
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match Number::of(value)? {
        Number::Whole(value) => Some(value),
        Number::Double(value) => cut(value),
    }
}
