//! The trace that an event belongs to: `traceparent` and `tracestate` (W3C Trace Context level 1), as extensions of the
//! event (`CloudEvents` distributed tracing) or as headers of the request that brought it.
//!
//! A trace is a convenience: one that is malformed is no trace, and nobody is refused for it.

use http::HeaderMap;

/// Longest `tracestate` that is handed on; §3.3.1.5 asks for this much at least.
const MAX_STATE: usize = 512;
/// Most members of a `tracestate` (§3.3.1.1).
const MAX_MEMBERS: usize = 32;

/// Which span comes before. The form was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    parent: String,
    state: Option<String>,
}

impl TraceContext {
    /// Name of the extension, and of the header, that says which span comes before.
    pub const PARENT: &str = "traceparent";
    /// Name of the one with what the tracing systems on the way added.
    pub const STATE: &str = "tracestate";

    /// The context of those two values. A malformed parent is none; a malformed state is left out (§4.3).
    pub fn new(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.map(str::trim).filter(|state| is_state(state)).map(str::to_owned);
        is_parent(parent).then(|| Self { parent: parent.to_owned(), state })
    }

    /// The context of the request with those headers. Several `tracestate` headers are one list (§3.3.1).
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(Self::PARENT).iter();
        let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
        let states: Option<Vec<&str>> =
            headers.get_all(Self::STATE).iter().map(|value| value.to_str().ok()).collect();
        let state = states.map(|states| states.join(","));
        Self::new(parent.trim(), state.as_deref())
    }

    /// `traceparent`.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// `version-trace-parent-flags` (§3.2). Later versions may go on after a dash.
fn is_parent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut hex = |length: usize| {
        let part = parts.next().unwrap_or_default();
        let fits = part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some(part)
    };
    let (Some(version), Some(trace), Some(span), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let more = parts.next();
    let whole = if version == "00" { more.is_none() } else { more.is_none_or(|more| !more.is_empty()) };
    let printable =
        more.is_none_or(|more| more.len() <= MAX_STATE && more.bytes().all(|byte| byte.is_ascii_graphic()));
    version != "ff" && whole && printable && !is_zero(trace) && !is_zero(span)
}

/// A list of `key=value` (§3.3.1). Empty members are allowed.
fn is_state(text: &str) -> bool {
    let members: Vec<&str> = text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect();
    let is_member =
        |member: &str| member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value));
    text.len() <= MAX_STATE
        && (1..=MAX_MEMBERS).contains(&members.len())
        && members.into_iter().all(is_member)
}

fn is_key(key: &str) -> bool {
    let (tenant, system) = match key.split_once('@') {
        Some((tenant, system)) => (tenant, Some(system)),
        None => (key, None),
    };
    let is_rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let starts = |part: &str| part.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    let digits = |part: &str| part.bytes().next().is_some_and(|first| first.is_ascii_digit());
    match system {
        None => starts(tenant) && tenant.bytes().all(is_rest),
        Some(system) => {
            (starts(tenant) || digits(tenant))
                && starts(system)
                && [tenant, system].iter().all(|part| part.bytes().all(is_rest))
        }
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b',' && byte != b'=')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_the_form_of_the_specification_is_a_parent() {
        for good in [GOOD, "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later"] {
            assert!(TraceContext::new(good, None).is_some(), "{good}");
        }
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(TraceContext::new(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_state_does_not_spoil_its_parent() {
        let state = |state: &str| TraceContext::new(GOOD, Some(state)).unwrap().state;
        for good in ["rojo=00f067aa0ba902b7", "a=1,b@c=2", "a=1, ,b=2", "0t@s/y=$(x) 1"] {
            assert_eq!(state(good).as_deref(), Some(good));
        }
        let long = format!("a={}", "1".repeat(MAX_STATE));
        let many = "a=1,".repeat(33);
        for bad in ["", "a", "A=1", "a=", "=1", "0=1", "a@=1", "a=1=2", "a=é", "a=\u{1}", &long, &many] {
            assert_eq!(state(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_has_one_parent_and_one_list_of_states() {
        let (parent, state) = (TraceContext::PARENT, TraceContext::STATE);
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.insert(parent, HeaderValue::from_static(GOOD));
        headers.append(state, HeaderValue::from_static("a=1"));
        headers.append(state, HeaderValue::from_static("b=2"));
        let found = TraceContext::of_headers(&headers).unwrap();
        assert_eq!((found.parent(), found.state()), (GOOD, Some("a=1,b=2")));
        headers.append(parent, HeaderValue::from_static(GOOD));
        assert_eq!(TraceContext::of_headers(&headers), None, "two parents are none");
    }

    proptest! {
        #[test]
        fn whatever_is_handed_on_is_printable_and_short(parent in "\\PC{0,80}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.{0,4}", state in "\\PC{0,40}") {
            if let Some(context) = TraceContext::new(&parent, Some(&state)) {
                let all = format!("{}{}", context.parent(), context.state().unwrap_or_default());
                prop_assert!(all.len() <= 2 * MAX_STATE + 60 && all.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            }
        }
    }
}
