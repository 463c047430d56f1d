//! Values of expressions, and how they are written down.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Deref;
use std::rc::Rc;

use super::error::Problem;

/// A value. Cheap to clone: what is large is borrowed from the event or shared.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// A whole number of 64 bits without a sign.
    Unsigned(u64),
    /// A number of 64 bits with a fraction; always finite.
    Double(f64),
    /// A JSON number that neither of these writes as the sender did: `1.50`, `1e3`, or one with more digits.
    Decimal(&'a str),
    /// Text.
    Text(Text<'a>),
    /// A list.
    List(Rc<Vec<Value<'a>>>),
    /// An object: members with different names, in their order.
    Map(Rc<Vec<(Text<'a>, Value<'a>)>>),
}

/// Text that is borrowed or shared.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// From the event or the expression.
    Borrowed(&'a str),
    /// Made on the way.
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Value::Text(Text::Shared(text.into()))
    }

    pub(super) fn list(values: Vec<Value<'a>>) -> Self {
        Value::List(Rc::new(values))
    }

    /// What it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Unsigned(_) => "an unsigned integer",
            Value::Double(_) | Value::Decimal(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }

    /// The value as text of at most `limit` bytes: a string as it is, a number as its sender wrote it, a list or an object
    /// as JSON without blanks. `None` for null, which is no value.
    ///
    /// # Errors
    /// If the text would be longer.
    pub fn render(&self, limit: usize) -> Result<Option<Cow<'_, str>>, TooLong> {
        let text = match self {
            Value::Null => return Ok(None),
            Value::Text(text) => Cow::Borrowed(&**text),
            other => Cow::Owned(other.to_json(limit)?),
        };
        if text.len() > limit { Err(TooLong) } else { Ok(Some(text)) }
    }

    /// The value as JSON of at most `limit` bytes.
    ///
    /// # Errors
    /// If the text would be longer.
    pub fn to_json(&self, limit: usize) -> Result<String, TooLong> {
        let mut writer = Writer { text: String::new(), limit };
        writer.value(self)?;
        Ok(writer.text)
    }

    /// The text of a value that is one piece; the function `string`.
    pub(super) fn plain(&self) -> Result<Text<'a>, Problem> {
        Ok(match self {
            Value::Text(text) => text.clone(),
            Value::Decimal(digits) => Text::Borrowed(digits),
            Value::Boolean(true) => Text::Borrowed("true"),
            Value::Boolean(false) => Text::Borrowed("false"),
            Value::Integer(value) => Text::Shared(value.to_string().into()),
            Value::Unsigned(value) => Text::Shared(value.to_string().into()),
            Value::Double(value) => Text::Shared(double(*value).into()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                return Err(Problem::Type {
                    expected: "a string, a number or a boolean",
                    found: self.kind(),
                });
            }
        })
    }
}

/// The text of a value has more bytes than are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text of the value is too long")]
pub struct TooLong;

/// A number that was calculated, as JSON writes it: `0.1`, `3`, `1e21`.
fn double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// Writes JSON, and stops where it becomes too long: a small value can hold a large one a thousand times.
struct Writer {
    text: String,
    limit: usize,
}

impl Writer {
    fn push(&mut self, part: &str) -> Result<(), TooLong> {
        if self.text.len() + part.len() > self.limit {
            return Err(TooLong);
        }
        self.text.push_str(part);
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>) -> Result<(), TooLong> {
        match value {
            Value::Null => self.push("null"),
            Value::Text(text) => self.quoted(text),
            Value::List(values) => {
                self.push("[")?;
                for (index, value) in values.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," })?;
                    self.value(value)?;
                }
                self.push("]")
            }
            Value::Map(members) => {
                self.push("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," })?;
                    self.quoted(name)?;
                    self.push(":")?;
                    self.value(value)?;
                }
                self.push("}")
            }
            Value::Boolean(_)
            | Value::Integer(_)
            | Value::Unsigned(_)
            | Value::Double(_)
            | Value::Decimal(_) => {
                let text = value.plain().map_err(|_| TooLong)?;
                self.push(&text)
            }
        }
    }

    fn quoted(&mut self, text: &str) -> Result<(), TooLong> {
        self.push("\"")?;
        // What JSON must escape, and the controls beyond ASCII that it need not: who prints the text is safe from them.
        let mut rest = text;
        while let Some(at) =
            rest.find(|character: char| character.is_control() || matches!(character, '"' | '\\'))
        {
            let (plain, special) = rest.split_at(at);
            self.push(plain)?;
            let Some(character) = special.chars().next() else { break };
            let mut escape = String::new();
            match character {
                '"' => escape.push_str("\\\""),
                '\\' => escape.push_str("\\\\"),
                '\n' => escape.push_str("\\n"),
                '\r' => escape.push_str("\\r"),
                '\t' => escape.push_str("\\t"),
                other => write!(escape, "\\u{:04x}", u32::from(other)).map_err(|_| TooLong)?,
            }
            self.push(&escape)?;
            rest = special.get(character.len_utf8()..).unwrap_or_default();
        }
        self.push(rest)?;
        self.push("\"")
    }
}
