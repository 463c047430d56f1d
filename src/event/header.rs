//! Values of `ce-` headers (`CloudEvents` HTTP binding §3.1.3.2).
//!
//! The binding takes off one layer of quotes and one layer of percent-encoding. Many senders know neither: they put
//! spaces and raw UTF-8 into headers, and a `%` that stands for itself. All of that is read as it was meant.

use std::borrow::Cow;

/// The value that a header stands for; `None` if that is not UTF-8.
pub(super) fn decode(raw: &[u8]) -> Option<String> {
    let unquoted = unquote(raw);
    let encoded = unquoted.contains(&b'%');
    let bytes = if encoded { percent_decode(&unquoted) } else { unquoted.into_owned() };
    String::from_utf8(bytes).ok()
}

/// The header that stands for a value: visible ASCII except `"` and `%` as it is, everything else percent-encoded.
pub(super) fn encode(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, 0x21..=0x7E) && byte != b'"' && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xF)]));
        }
    }
    encoded
}

/// Takes off the quotes of a quoted string (RFC 9110 §5.6.4). What merely begins and ends with one is left alone.
fn unquote(raw: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = raw else { return Cow::Borrowed(raw) };
    let mut value = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return Cow::Borrowed(raw),
            b'\\' => match bytes.next() {
                Some(escaped) => value.push(escaped),
                None => return Cow::Borrowed(raw),
            },
            other => value.push(other),
        }
    }
    Cow::Owned(value)
}

/// One round. A `%` without two hexadecimal digits behind it stands for itself.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = behind;
        } else {
            decoded.push(*first);
        }
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_as_they_were_meant() {
        for (raw, value) in [
            ("plain", "plain"),
            ("", ""),
            ("Euro%20%E2%82%AC", "Euro €"),
            ("Euro%20%e2%82%ac", "Euro €"),
            ("a b €", "a b €"),
            ("%41%2541", "A%41"),
            ("100%", "100%"),
            ("50% of %zz", "50% of %zz"),
            ("%", "%"),
            ("%4", "%4"),
            ("%%41", "%A"),
            (r#""q\"x""#, r#"q"x"#),
            (r#""a%20b""#, "a b"),
            (r#""a" and "b""#, r#""a" and "b""#),
            (r#""open"#, r#""open"#),
            (r#"""#, r#"""#),
            (r#""""#, ""),
            (r#""trailing\""#, r#""trailing\""#),
        ] {
            assert_eq!(decode(raw.as_bytes()).as_deref(), Some(value), "{raw}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        for raw in [b"%C0%A0".as_slice(), b"%ff", b"\xff", b"\xC3", b"%E2\x82", b"%ED%A0%80"] {
            assert_eq!(decode(raw), None, "{raw:?}");
        }
        // Raw bytes and encoded ones may share a character.
        assert_eq!(decode(b"%E2\x82%AC").as_deref(), Some("€"));
    }

    #[test]
    fn what_is_sent_is_visible_ascii() {
        assert_eq!(encode("Euro €"), "Euro%20%E2%82%AC");
        assert_eq!(encode(r#""100%""#), "%22100%25%22");
        assert_eq!(encode("a/b?c=~"), "a/b?c=~");
    }

    proptest! {
        #[test]
        fn a_value_survives_the_header(value in any::<String>()) {
            let sent = encode(&value);
            prop_assert!(sent.bytes().all(|byte| matches!(byte, 0x21..=0x7E)));
            prop_assert_eq!(decode(sent.as_bytes()), Some(value));
        }

        #[test]
        fn any_header_is_read_without_harm(raw in any::<Vec<u8>>()) {
            if let Some(value) = decode(&raw) {
                prop_assert!(value.len() <= raw.len());
            }
        }
    }
}
