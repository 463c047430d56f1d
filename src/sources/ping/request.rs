//! The request that carries one event: what Knative's adapter sends, attribute by attribute.
//!
//! It is made of headers rather than of an `Event`, because Go writes what an override says as it stands, without the
//! percent encoding that the binding asks for. `datacontenttype` goes with data only; there is no subject, and the id is
//! the same in every attempt of a tick.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use k8s_openapi::jiff::Timestamp;
use uuid::Uuid;

use super::admission::decode;
use super::object::PingSourceSpec;
use crate::event::SPECVERSION;

/// The type of these events.
pub(super) const TYPE: &str = "dev.knative.sources.ping";
/// The namespace of the source, for whoever receives from many.
const NAMESPACE: HeaderName = HeaderName::from_static("kn-namespace");

/// The source attribute of a PingSource's events.
pub(super) fn source(namespace: &str, name: &str) -> String {
    format!("/apis/v1/namespaces/{namespace}/pingsources/{name}")
}

/// An event that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    headers: HeaderMap,
    body: Bytes,
}

impl Message {
    /// The event of that source, sent at `now`. A header that nothing can be made of is left out; none such is admitted.
    pub(super) fn new(
        spec: &PingSourceSpec,
        (namespace, name): (&str, &str),
        id: Uuid,
        now: Timestamp,
    ) -> Self {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(name, value);
            }
        };
        set(HeaderName::from_static("ce-specversion"), SPECVERSION);
        set(HeaderName::from_static("ce-id"), &id.to_string());
        set(HeaderName::from_static("ce-source"), &source(namespace, name));
        set(HeaderName::from_static("ce-type"), TYPE);
        set(HeaderName::from_static("ce-time"), &now.to_string());
        set(NAMESPACE, namespace);
        for (name, value) in spec.ce_overrides.iter().flat_map(|overrides| &overrides.extensions) {
            if let Ok(name) = HeaderName::try_from(format!("ce-{}", name.to_ascii_lowercase())) {
                set(name, value);
            }
        }
        let data = PingSourceSpec::text(spec.data.as_ref()).map(|data| data.as_bytes().to_vec());
        let bytes = || decode(PingSourceSpec::text(spec.data_base64.as_ref())?).ok();
        let body = data.or_else(bytes);
        if let (Some(_), Some(content_type)) = (&body, PingSourceSpec::text(spec.content_type.as_ref())) {
            set(CONTENT_TYPE, content_type);
        }
        Self { headers, body: body.unwrap_or_default().into() }
    }

    /// One attempt to bring it there.
    pub(super) fn to(&self, sink: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = sink.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}
