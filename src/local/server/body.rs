//! Request bodies: bounded, JSON or YAML, and which kind of patch.

use axum::body::Body;
use axum::body::to_bytes;
use bytes::Bytes;
use http::HeaderMap;
use http::header;
use serde_json::Value;

use crate::local::server::refusal::Refusal;

/// The API server's limit: what etcd takes (1.5 MiB) and room for the JSON around it.
const LIMIT: usize = 3 << 20;

/// The kinds of patch, told apart by the content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match media_type(headers) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Refusal::UnsupportedMediaType(
                "application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The whole body, unless it is too long.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LIMIT) {
        return Err(Refusal::TooLarge(LIMIT));
    }
    // A chunked body announces nothing; what ends early is the client's doing and is told as too large or as broken.
    to_bytes(body, LIMIT).await.map_err(|error| {
        let error = error.into_inner();
        if error.is::<http_body_util::LengthLimitError>() {
            Refusal::TooLarge(LIMIT)
        } else {
            Refusal::BadRequest(format!("the body cannot be read: {error}"))
        }
    })
}

/// An object in the body. No content type means JSON.
pub(super) fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Refusal> {
    let value = match media_type(headers) {
        "" | "application/json" | "text/json" => json(bytes)?,
        "application/yaml" | "text/yaml" => yaml(bytes)?,
        "application/vnd.kubernetes.protobuf" => return Err(Refusal::Protobuf),
        _ => return Err(Refusal::UnsupportedMediaType("application/json, application/yaml")),
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(Refusal::BadRequest("the body is not an object".to_owned()))
    }
}

pub(super) fn json(bytes: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::BadRequest(format!("the body is not JSON: {error}")))
}

/// YAML, of which JSON is a part.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, Refusal> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    // YAML 1.2: `y`, `no` and `off` are text.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| Refusal::BadRequest(format!("error decoding YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        headers
    }

    #[test]
    fn objects_come_as_json_or_yaml() {
        assert_eq!(
            object(&headers("application/json; charset=utf-8"), br#"{"a":1}"#).unwrap(),
            json!({"a": 1})
        );
        assert_eq!(object(&HeaderMap::new(), br#"{"a":1}"#).unwrap(), json!({"a": 1}));
        assert_eq!(
            object(&headers("application/yaml"), b"a: 1\nb: [x, 'y']").unwrap(),
            json!({"a": 1, "b": ["x", "y"]})
        );
        assert_eq!(
            object(&headers("application/yaml"), b"a: no").unwrap(),
            json!({"a": "no"}),
            "text, as in YAML 1.2"
        );
        assert!(matches!(
            object(&headers("application/vnd.kubernetes.protobuf"), b"k8s\0"),
            Err(Refusal::Protobuf)
        ));
        assert!(matches!(object(&headers("text/plain"), b"{}"), Err(Refusal::UnsupportedMediaType(_))));
        assert!(matches!(object(&HeaderMap::new(), b"[1]"), Err(Refusal::BadRequest(_))));
        assert!(matches!(object(&HeaderMap::new(), b"{"), Err(Refusal::BadRequest(_))));
    }

    #[tokio::test]
    async fn a_long_body_is_refused_before_and_after_it_is_sent() {
        let mut announced = HeaderMap::new();
        announced.insert(header::CONTENT_LENGTH, (LIMIT + 1).into());
        assert!(matches!(read(&announced, Body::empty()).await, Err(Refusal::TooLarge(LIMIT))));
        let long = Body::from(vec![b' '; LIMIT + 1]);
        assert!(matches!(read(&HeaderMap::new(), long).await, Err(Refusal::TooLarge(LIMIT))));
        assert_eq!(read(&HeaderMap::new(), Body::from("{}")).await.unwrap(), "{}");
    }
}
