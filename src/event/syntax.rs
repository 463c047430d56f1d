//! What the standard attributes may look like: text, URI-references, times.

/// Whether a string may be a value. Most are plain ASCII, which is quickly seen.
pub(super) fn is_all_text(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_text)
}

/// Whether a string may hold the character (`CloudEvents` §type system: no controls, no non-characters).
fn is_text(character: char) -> bool {
    let code = u32::from(character);
    !character.is_control() && !(0xFDD0..=0xFDEF).contains(&code) && code & 0xFFFE != 0xFFFE
}

/// RFC 3986 §4.1, as far as it protects anybody: not blank, and what looks like a scheme or an IP literal is one.
///
/// The characters are not checked. Senders that do not know the header encoding put percent-encoded references into
/// headers, where the encoding is taken off once; what arrives here may thus hold spaces and the like.
pub(super) fn is_uri_reference(text: &str) -> bool {
    if text.trim().is_empty() {
        return false;
    }
    let first_segment = text.split(['/', '?', '#']).next().unwrap_or_default();
    let hierarchy = match first_segment.split_once(':') {
        Some((scheme, _)) if !is_scheme(scheme) => return false,
        Some((scheme, _)) => text.get(scheme.len() + 1..).unwrap_or_default(),
        None => text,
    };
    hierarchy.strip_prefix("//").is_none_or(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.contains('[') == authority.contains(']')
    })
}

/// RFC 3986 §3: a scheme and something behind it. A fragment is let in: schema URIs have them.
pub(super) fn is_absolute_uri(text: &str) -> bool {
    is_uri_reference(text)
        && text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.trim().is_empty())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// RFC 3339 §5.6 `date-time`, any number of fraction digits, leap second included.
pub(super) fn is_timestamp(text: &str) -> bool {
    parse_timestamp(text.as_bytes()).is_some()
}

fn parse_timestamp(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (number(&date[0..4])?, number(&date[5..7])?, number(&date[8..10])?);
    let dashed = date[4] == b'-' && date[7] == b'-';
    if !dashed || !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    let (time, mut rest) = rest.split_at_checked(9)?;
    let separated = matches!(time[0], b'T' | b't') && time[3] == b':' && time[6] == b':';
    let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..9])?);
    if !separated || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    match rest {
        [b'Z' | b'z'] => Some(()),
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            (number(&[*h1, *h2])? <= 23 && number(&[*m1, *m2])? <= 59).then_some(())
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_rfc_3339_are_taken() {
        for time in [
            "2026-11-22T07:20:00Z",
            "2026-11-22t07:20:00z",
            "2026-11-22T07:20:00.268779172Z",
            "2026-11-22T07:20:00.1234567890123+05:30",
            "2024-02-29T00:00:00-23:59",
            "1990-12-31T23:59:60Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert!(is_timestamp(time), "{time}");
        }
    }

    #[test]
    fn what_only_resembles_a_time_is_not() {
        for time in [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T07:20:00",
            "2026-11-22 07:20:00Z",
            "2026-11-22T07:20Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T07:60:00Z",
            "2026-11-22T07:20:61Z",
            "2026-11-22T07:20:00.Z",
            "2026-11-22T07:20:00+0530",
            "2026-11-22T07:20:00+24:00",
            "2026-11-22T07:20:00ZZ",
            "2026-11-22T07:20:00é",
            "２026-11-22T07:20:00Z",
            "1763796000",
        ] {
            assert!(!is_timestamp(time), "{time}");
        }
    }

    #[test]
    fn uri_references_are_checked_where_it_protects_somebody() {
        for reference in [
            "/s",
            "s",
            "urn:uuid:1",
            "https://example.com:8080/a?b#c",
            "//host/x",
            "http://[::1]/x",
            "mailto:a@b",
            "/a b/ü",
            "a/b:c",
            "/a//b[c",
            "#q",
        ] {
            assert!(is_uri_reference(reference), "{reference}");
        }
        for not in ["", " ", ":", "://x", "1:2", "é:x", "http://[::1/x", "a b:c"] {
            assert!(!is_uri_reference(not), "{not}");
        }
        for absolute in ["https://example.com/s", "urn:a", "http://x/schema#part"] {
            assert!(is_absolute_uri(absolute), "{absolute}");
        }
        for relative in ["/s", "s", "", "urn:", "//host/x", "a/b:c"] {
            assert!(!is_absolute_uri(relative), "{relative}");
        }
    }

    #[test]
    fn controls_and_non_characters_are_no_text() {
        for bad in ['\0', '\t', '\n', '\u{7f}', '\u{85}', '\u{FDD0}', '\u{FFFF}', '\u{1FFFE}'] {
            assert!(!is_text(bad), "{bad:?}");
        }
        for good in ['a', ' ', 'é', '€', '😀', '\u{FFFD}'] {
            assert!(is_text(good), "{good:?}");
        }
    }
}
