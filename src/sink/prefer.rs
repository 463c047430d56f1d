//! What a sender would rather have (`Prefer`, RFC 7240).

use std::time::Duration;

use axum::http::HeaderMap;

use crate::api::MAX_WAIT_SECONDS;

/// Whether the sender asks to be told what happened (§4.2). Brokers do not, and take a body for a failure.
pub(super) fn representation(headers: &HeaderMap) -> bool {
    preferences(headers).any(|(name, value)| {
        name.eq_ignore_ascii_case("return") && value.eq_ignore_ascii_case("representation")
    })
}

/// How long the sender would wait for the end of the run (§4.3), up to our own limit. The first wish counts (§2).
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let (_, seconds) = preferences(headers).find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large to be read is more than our limit, too.
    let seconds = digits.then(|| seconds.parse().unwrap_or(MAX_WAIT_SECONDS).min(MAX_WAIT_SECONDS))?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// The preferences with a value, without their parameters.
fn preferences(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn prefer(values: &[&'static str]) -> HeaderMap {
        let name = http::HeaderName::from_static("prefer");
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_representation_is_given_only_to_who_asks_for_it() {
        for asks in [
            ["return=representation"].as_slice(),
            &["Return=\"representation\""],
            &["respond-async, return=representation; x=y"],
            &["reply", "return=representation"],
        ] {
            assert!(representation(&prefer(asks)), "{asks:?}");
        }
        for does_not in [[].as_slice(), &["reply"], &["return=minimal"], &["return"], &["wait=5"]] {
            assert!(!representation(&prefer(does_not)), "{does_not:?}");
        }
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_up_to_a_limit() {
        for (asks, seconds) in [
            (["wait=10"].as_slice(), 10),
            (&["respond-async, wait=1; foreground"], 1),
            (&["reply", "Wait = \"7\""], 7),
            (&["wait=3, wait=9"], 3),
            (&["wait=300"], 300),
            (&["wait=301"], 300),
            (&["wait=99999999999999999999"], 300),
        ] {
            assert_eq!(wait(&prefer(asks)), Some(Duration::from_secs(seconds)), "{asks:?}");
        }
        for does_not in
            ["wait", "wait=", "wait=0", "wait=-1", "wait=1.5", "wait=x", "reply", "return=minimal"]
        {
            assert_eq!(wait(&prefer(&[does_not])), None, "{does_not}");
        }
    }
}
