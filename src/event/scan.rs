//! The short way through the JSON of an envelope: its members as they stand, without looking into them more than it takes
//! to see that they are JSON.
//!
//! It takes what is JSON for certain. What it does not take (a name with escapes, a value that nests deeper than whoever
//! parses it later would follow, a mistake) is read by `serde_json`, which also says what is wrong. So this part can be
//! short, and has no errors of its own.

use std::borrow::Cow;
use std::ops::Range;

/// Most levels of a value: what `serde_json`, and so whoever parses it later, is willing to follow.
pub(super) const MAX_DEPTH: u32 = 128;

/// The members of the object that the text is, at most so many: name and value. None if that is not certain.
pub(super) fn members(text: &str, most: usize) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    // The usual event has fewer members than this.
    let mut members = Vec::with_capacity(16);
    scan.blank();
    scan.take(b'{')?;
    scan.blank();
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        loop {
            let name = scan.name()?;
            let value = scan.value()?;
            if members.len() == most {
                return None;
            }
            members.push((Cow::Borrowed(text.get(name)?), text.get(value)?));
            scan.blank();
            match scan.next()? {
                b',' => scan.blank(),
                b'}' => break,
                _ => return None,
            }
        }
    }
    scan.blank();
    (scan.at == scan.text.len()).then_some(members)
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    #[inline]
    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// A name without escapes, and the colon behind it.
    fn name(&mut self) -> Option<Range<usize>> {
        self.take(b'"')?;
        let start = self.at;
        let escapes = self.string()?;
        let end = self.at - 1;
        self.colon()?;
        (!escapes).then_some(start..end)
    }

    fn colon(&mut self) -> Option<()> {
        self.blank();
        self.take(b':')?;
        self.blank();
        Some(())
    }

    /// A value of any kind.
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut levels = Levels::default();
        loop {
            self.beginning(&mut levels)?;
            if levels.pending {
                continue;
            }
            while levels.depth > 0 {
                self.blank();
                match (self.next()?, levels.in_object()) {
                    (b',', is_object) => {
                        self.blank();
                        if is_object {
                            self.key()?;
                        }
                        levels.pending = true;
                        break;
                    }
                    (b'}', true) | (b']', false) => levels.leave(),
                    _ => return None,
                }
            }
            if !levels.pending {
                return Some(start..self.at);
            }
        }
    }

    /// A whole simple value, or the beginning of a list or an object, up to the first value in it, which is pending then.
    fn beginning(&mut self, levels: &mut Levels) -> Option<()> {
        levels.pending = false;
        match self.next()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                levels.enter(true)?;
                self.blank();
                if self.peek()? == b'}' {
                    return Some(());
                }
                levels.pending = true;
                self.key()
            }
            b'[' => {
                levels.enter(false)?;
                self.blank();
                levels.pending = self.peek()? != b']';
                Some(())
            }
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            b'-' => match self.next()? {
                digit @ b'0'..=b'9' => self.number(digit),
                _ => None,
            },
            digit @ b'0'..=b'9' => self.number(digit),
            _ => None,
        }
    }

    fn key(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.string()?;
        self.colon()
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        let end = self.at + rest.len();
        let holds = self.text.get(self.at..end)? == rest;
        self.at = end;
        holds.then_some(())
    }

    /// What follows the first digit.
    fn number(&mut self, first: u8) -> Option<()> {
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Some(())
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        (self.at > start).then_some(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    /// What follows the first quote, and whether there are escapes in it.
    fn string(&mut self) -> Option<bool> {
        let mut escapes = false;
        loop {
            while let Some(eight) = self.text.get(self.at..self.at + 8) {
                let special = special(u64::from_le_bytes(eight.try_into().ok()?));
                self.at += (special.trailing_zeros() / 8) as usize;
                if special != 0 {
                    break;
                }
            }
            match self.next()? {
                b'"' => return Some(escapes),
                b'\\' => {
                    escapes = true;
                    self.escape()?;
                }
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }
}

/// The lists and objects around a value: one bit for each, set for an object.
#[derive(Default)]
struct Levels {
    objects: u128,
    depth: u32,
    /// Whether the next thing is another value.
    pending: bool,
}

impl Levels {
    fn enter(&mut self, object: bool) -> Option<()> {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        (self.depth <= MAX_DEPTH).then_some(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

/// The high bit of the first byte, in memory, that is a quote, a backslash or a control character, and of some that come
/// after it; all 64 bits clear if there is none.
#[inline]
fn special(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let equal = |byte: u8| {
        let difference = eight ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference
    };
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (equal(b'"') | equal(b'\\') | control) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn members_are_found_as_they_stand() {
        let text = " {\"a\" : [1, {\"b\":[]}] ,\"c\":\"x\\\"}\\u00e9\" , \"d\":-0.5e+3,\"e\":{}\n} ";
        let expected = [("a", "[1, {\"b\":[]}]"), ("c", "\"x\\\"}\\u00e9\""), ("d", "-0.5e+3"), ("e", "{}")];
        assert_eq!(members(text, 4).unwrap(), expected.map(|(name, value)| (Cow::Borrowed(name), value)));
        assert_eq!(members(text, 3), None);
        assert_eq!(members("{}", 0), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_json_for_certain_is_left_to_others() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(members(&deep(128), 9).is_some());
        for text in [
            "",
            "{",
            "[]",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":-}",
            "{\"a\":tru}",
            "{\"a\":nulll}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":[1 2]}",
            "{\"a\":[1}}",
            "{\"a\":{1:2}}",
            "{\"a\":[,]}",
            "{\"\\u0061\":1}",
            &deep(129),
        ] {
            assert_eq!(members(text, 9), None, "{text}");
        }
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for (place, byte) in (0..8).flat_map(|place| [b'"', b'\\', 0, 0x1f, b'\n'].map(|byte| (place, byte)))
        {
            let mut eight = [b'a', 0x20, 0x7f, 0xff, 0x80, b'!', b'#', b'['];
            assert_eq!(special(u64::from_le_bytes(eight)), 0);
            eight[place] = byte;
            assert_eq!(
                special(u64::from_le_bytes(eight)).trailing_zeros() / 8,
                u32::try_from(place).unwrap()
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_json_and_what_is_json_is_taken(
            value in r#"([\[\]{}:,]|"[ab\\"u0-9]{0,5}"|"\\u00e9"|"a":|[ \n\t]|-?[0-9]{1,3}|0\.5|1e[+-]?[0-9]|true|false|null){0,9}"#,
        ) {
            let text = format!("{{\"a\":{value}}}");
            let theirs = serde_json::from_str::<std::collections::HashMap<&str, &RawValue>>(&text);
            // Two members of one name are one to a map, and a name with an escape is not taken.
            match (members(&text, 99), theirs) {
                (Some(found), Ok(map)) => {
                    for (name, value) in map {
                        prop_assert!(found.contains(&(Cow::Borrowed(name), value.get())), "{}", text);
                    }
                }
                (found, theirs) => prop_assert_eq!(found.is_some(), theirs.is_ok(), "{}", text),
            }
        }
    }
}
