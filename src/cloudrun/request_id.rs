//! The id by which a request to run a Job that is sent again is known for the same one.
//!
//! `RunJob` has no field for it, so a client that repeats the call after a lost answer would start a second run. One that
//! sends [`HEADER`] with it (over gRPC as metadata) does not: an id, a caller and a Job are one run, for as long as that is
//! kept. What else the two requests say is not compared; the first one counts (AIP-155).

use std::sync::Arc;

use http::HeaderMap;

use super::fault::Fault;

/// Where the id stands.
pub(super) const HEADER: &str = "x-goog-request-id";

/// The id of a request, as it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestId(Option<Arc<str>>);

impl RequestId {
    /// What these headers say; what is no text is no id, and is refused as one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(HEADER).map(|id| id.to_str().unwrap_or_default().into()))
    }

    /// What makes all requests of `user` with this id one. An id that cannot be one is refused: without it the caller
    /// would get what he wanted to avoid.
    pub(super) fn nonce(&self, user: Option<&str>) -> Result<Option<String>, Fault> {
        let Some(id) = &self.0 else { return Ok(None) };
        let is_id =
            (16..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_id {
            let rule = "is an id of 16 to 64 letters, digits and dashes, such as a UUID, and another one for each run";
            return Err(Fault::invalid_field(HEADER, rule));
        }
        Ok(Some(format!("{HEADER} {id} {}", user.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(id: &'static str, user: Option<&str>) -> Result<Option<String>, Fault> {
        let headers = [(HEADER.parse().unwrap(), id.parse().unwrap())].into_iter().collect();
        RequestId::of(&headers).nonce(user)
    }

    #[test]
    fn an_id_is_one_of_its_caller() {
        let id = "0d3f9c1e-5f2a-4d7e-9a55-7a8f0f6f5b11";
        let found = [None, Some("ann"), Some("bob")].map(|user| nonce(id, user).unwrap().unwrap());
        assert!(found[0] != found[1] && found[1] != found[2], "{found:?}");
        assert_eq!(nonce(id, Some("ann")).unwrap().unwrap(), found[1]);
        assert_eq!(RequestId::of(&HeaderMap::new()).nonce(Some("ann")).unwrap(), None);
    }

    #[test]
    fn what_is_no_id_is_refused_by_name() {
        for id in ["", "1", "0123456789abcde", "0123456789abcdef 0", "0123456789abcdef/", "é123456789abcdef"]
        {
            assert_eq!(nonce(id, None).unwrap_err().violations()[0].field, HEADER, "{id}");
        }
    }
}
