//! JSON (RFC 8259) as a value that borrows from it and keeps every number as it was written.
//!
//! A test holds it against `serde_json`, which it accepts and refuses the same texts as; that one has no form that keeps
//! the digits without changing how every other part of the program reads numbers.

use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Text, Value};

/// Most levels: what the JSON event format allows, too.
const MAX_DEPTH: usize = 127;
/// Objects with more members than this are searched for repeated names with a table.
const FEW_MEMBERS: usize = 16;

/// The value of `text`; none if it is not JSON. Of members with the same name the last one counts.
pub(super) fn parse(text: &str) -> Option<Value<'_>> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_blanks();
    (parser.at == text.len()).then_some(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        self.skip_blanks();
        match self.peek()? {
            b'n' => self.eat_word("null").map(|()| Value::Null),
            b't' => self.eat_word("true").map(|()| Value::Boolean(true)),
            b'f' => self.eat_word("false").map(|()| Value::Boolean(false)),
            b'"' => self.string().map(Value::Text),
            b'[' | b'{' if depth >= MAX_DEPTH => None,
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value<'a>> {
        self.at += 1;
        let mut values = Vec::new();
        self.skip_blanks();
        if !self.eat(b']') {
            loop {
                values.push(self.value(depth + 1)?);
                self.skip_blanks();
                if self.eat(b']') {
                    break;
                }
                self.eat(b',').then_some(())?;
            }
        }
        Some(Value::list(values))
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_blanks();
        if !self.eat(b'}') {
            loop {
                self.skip_blanks();
                let name = self.string()?;
                self.skip_blanks();
                self.eat(b':').then_some(())?;
                members.push((name, self.value(depth + 1)?));
                self.skip_blanks();
                if self.eat(b'}') {
                    break;
                }
                self.eat(b',').then_some(())?;
            }
        }
        Some(Value::Map(Rc::new(distinct(members))))
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let start = self.at;
        self.eat(b'"').then_some(())?;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if escaped {
            let text: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
            return Some(Text::Shared(text.into()));
        }
        self.text.get(start + 1..self.at - 1).map(Text::Borrowed)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at)?;
        if let Ok(value) = text.parse::<i64>()
            && text != "-0"
        {
            return Some(Value::Integer(value));
        }
        if let Ok(value) = text.parse::<u64>() {
            return Some(Value::Unsigned(value));
        }
        // serde_json refuses numbers beyond what 64 bits can tell from infinity, and so does everybody who calculates.
        text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|_| Value::Decimal(text))
    }
}

/// The members without those that a later one of the same name replaces.
fn distinct<'a>(members: Vec<(Text<'a>, Value<'a>)>) -> Vec<(Text<'a>, Value<'a>)> {
    let repeated = |members: &[(Text<'a>, Value<'a>)]| -> Vec<bool> {
        if members.len() > FEW_MEMBERS {
            let last: HashMap<&str, usize> =
                members.iter().enumerate().map(|(index, (name, _))| (&**name, index)).collect();
            return members.iter().enumerate().map(|(index, (name, _))| last[&**name] != index).collect();
        }
        let later =
            |index: usize, name: &str| members.iter().skip(index + 1).any(|(other, _)| **other == *name);
        members.iter().enumerate().map(|(index, (name, _))| later(index, name)).collect()
    };
    let drop = repeated(&members);
    if !drop.contains(&true) {
        return members;
    }
    members.into_iter().zip(drop).filter(|(_, drop)| !drop).map(|(member, _)| member).collect()
}
