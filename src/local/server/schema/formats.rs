//! The string formats that the API server enforces. A format that it does not know means nothing.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use serde_json::Value;

use crate::local::server::schema::checks::in_body;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::path::Path;

/// The error, if `text` is not of this format.
pub(super) fn check(format: &str, text: &str, path: &Path<'_>) -> Option<FieldError> {
    if holds(format, text) {
        return None;
    }
    let detail = in_body(path, &format!("must be of type {format}: {text:?}"));
    Some(FieldError::invalid(path, &Value::from(text), &detail))
}

pub(super) fn holds(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "uuid" => uuid::Uuid::parse_str(text).is_ok(),
        "uuid3" | "uuid4" | "uuid5" => uuid::Uuid::parse_str(text).is_ok_and(|uuid| {
            format.as_bytes().last().is_some_and(|last| usize::from(last - b'0') == uuid.get_version_num())
        }),
        "uri" => uri(text),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && hostname(host)),
        "hostname" => hostname(text),
        "mac" => mac(text),
        "byte" => base64(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => true,
    }
}

/// A duration as Go writes it (`1h30m`, `300ms`).
fn duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = rest.strip_suffix(after).unwrap_or_default();
        if number.parse::<f64>().is_err() {
            return false;
        }
        let units = ["ns", "us", "µs", "ms", "h", "m", "s"];
        let Some(next) = units.iter().find_map(|unit| after.strip_prefix(unit)) else { return false };
        rest = next;
    }
    true
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u8>() else { return false };
    address.parse::<IpAddr>().is_ok_and(|address| length <= if address.is_ipv4() { 32 } else { 128 })
}

fn uri(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() || text.starts_with('/'))
}

fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

fn mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8)
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

/// Standard base64 with padding; line breaks are allowed, as in Go's decoder.
fn base64(text: &str) -> bool {
    let clean: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let padding = clean.iter().rev().take_while(|byte| **byte == b'=').count();
    let letters = clean.len() - padding;
    clean.len().is_multiple_of(4)
        && padding <= 2
        && clean.iter().take(letters).all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse_as_the_api_server_does() {
        let table: &[(&str, &str, bool)] = &[
            ("date-time", "2024-01-01T00:00:00Z", true),
            ("date-time", "2024-01-01T00:00:00+09:00", true),
            ("date-time", "2024-01-01", false),
            ("date", "2024-02-29", true),
            ("date", "2023-02-29", false),
            ("duration", "1h30m", true),
            ("duration", "1.5s", true),
            ("duration", "1", false),
            ("duration", "", false),
            ("duration", "5 minutes", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "::1", false),
            ("ipv6", "::1", true),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("uuid", "8b3c7a1e-63a1-4b62-a2a9-2c3bba1b6f11", true),
            ("uuid4", "8b3c7a1e-63a1-4b62-a2a9-2c3bba1b6f11", true),
            ("uuid3", "8b3c7a1e-63a1-4b62-a2a9-2c3bba1b6f11", false),
            ("uri", "https://a.example/x", true),
            ("uri", "not a uri", false),
            ("hostname", "a-b.example", true),
            ("hostname", "-a.example", false),
            ("email", "a@b.example", true),
            ("email", "a", false),
            ("mac", "01:23:45:67:89:ab", true),
            ("mac", "01:23", false),
            ("byte", "aGk=", true),
            ("byte", "aGk", false),
            ("byte", "a!k=", false),
            ("hexcolor", "#fff", true),
            ("hexcolor", "#ff", false),
            ("password", "anything", true),
            ("x-unknown", "anything", true),
        ];
        for (format, text, good) in table {
            assert_eq!(holds(format, text), *good, "{format} {text:?}");
        }
    }
}
