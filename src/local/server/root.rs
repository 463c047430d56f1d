//! What is served besides objects: version, health, discovery, schemas, and questions about the caller.

use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;
use serde_json::Value;
use serde_json::json;

use crate::local::server::Inner;
use crate::local::server::body;
use crate::local::server::discovery;
use crate::local::server::refusal::Refusal;
use crate::local::server::respond;

/// The Kubernetes whose behaviour this server follows.
const MINOR: &str = "33";

/// Answers a path that names no resource; `None` if there is no such path.
pub(super) fn get(server: &Inner, path: &str, headers: &HeaderMap) -> Option<Response> {
    match path {
        "/version" | "/version/" => Some(respond::document(&version())),
        "/healthz" | "/readyz" | "/livez" => {
            Some(([(header::CONTENT_TYPE, "text/plain")], "ok").into_response())
        }
        _ => discover(server, path, headers),
    }
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+kakehi.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn discover(server: &Inner, path: &str, headers: &HeaderMap) -> Option<Response> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (document, content_type) = discovery::document(&server.kinds, path, accept)?;
    let mut response = respond::document(&document);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Some(response)
}

/// Reviews about the caller: everybody who reaches a local server is its owner.
pub(super) fn review(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Option<Response>, Refusal> {
    let review = path.trim_end_matches('/').rsplit_once('/').map_or("", |(_, last)| last);
    if method != Method::POST || !path.contains(".k8s.io/v1/selfsubject") {
        return Ok(None);
    }
    let mut object = body::object(headers, bytes)?;
    object["status"] = match review {
        "selfsubjectaccessreviews" => json!({"allowed": true}),
        "selfsubjectrulesreviews" => json!({
            "incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }),
        "selfsubjectreviews" => json!({"userInfo": {"username": "local", "groups": ["system:masters"]}}),
        _ => return Ok(None),
    };
    let mut response = respond::document(&object);
    *response.status_mut() = StatusCode::CREATED;
    Ok(Some(response))
}
