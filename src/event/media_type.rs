//! Media types, as far as events need them (RFC 2045 §5.1, `CloudEvents` JSON format §3.1).

/// The type and subtype, without parameters: what decides.
pub(super) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Value of a parameter, unquoted.
pub(super) fn parameter<'a>(media_type: &'a str, name: &str) -> Option<&'a str> {
    media_type.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// Whether data of that type is JSON: the subtype is `json` or ends in `+json`, in any case, whatever the parameters.
pub fn is_json(media_type: &str) -> bool {
    let Some((_, subtype)) = essence(media_type).split_once('/') else { return false };
    let subtype = subtype.as_bytes();
    subtype.eq_ignore_ascii_case(b"json")
        || subtype.len() > 5 && subtype[subtype.len() - 5..].eq_ignore_ascii_case(b"+json")
}

/// Whether the text is `type/subtype`, with or without parameters.
pub(super) fn is_valid(media_type: &str) -> bool {
    essence(media_type).split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_subtype_alone() {
        for json in [
            "application/json",
            "text/json",
            "Application/JSON",
            "application/vnd.x+json; charset=utf-8",
            "a/b+JSON",
        ] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/plain", "json", "application/jsonl", "application/xml; x=+json", "a/+js", ""] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn a_media_type_has_two_tokens() {
        for valid in ["text/plain", "a/b;c", "application/x+y ; q=\"1;2\""] {
            assert!(is_valid(valid), "{valid}");
        }
        for invalid in ["", "text", "/", "text/", "/plain", "te xt/plain", "text/pl(ain", "ü/x", "a/b/c"] {
            assert!(!is_valid(invalid), "{invalid}");
        }
    }

    #[test]
    fn a_parameter_is_found_in_any_case() {
        assert_eq!(parameter("a/b; Charset=\"UTF-8\"", "charset"), Some("UTF-8"));
        assert_eq!(parameter("a/b; x=1", "charset"), None);
        assert_eq!(parameter("a/b", "charset"), None);
    }
}
