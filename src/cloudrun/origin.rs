//! How a client has reached this server: the beginning of the links that it is given.
//!
//! No setting says it. A client behind a port forward, a proxy or a name of its own gets links that lead back the way it
//! came. What it says of itself goes only into its own answer.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use http::header::HOST;
use http::uri::{Authority, Scheme};

/// Longest host that is repeated in links.
const MAX_HOST: usize = 255 + ":65535".len();

/// `http://HOST:PORT`; nothing where the client did not say how it calls us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin(Option<Arc<str>>);

impl Origin {
    /// Where that request was sent to. A listener with TLS leaves [`Scheme::HTTPS`] at it.
    pub(super) fn of(request: &Request) -> Self {
        let uri = request.uri();
        let scheme = request.extensions().get().or_else(|| uri.scheme()).unwrap_or(&Scheme::HTTP);
        // HTTP/2 and proxies have the host in the target.
        let host = uri.authority().map(Authority::as_str);
        let host = host.or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let fits = |host: &Authority| !host.as_str().contains('@') && host.as_str().len() <= MAX_HOST;
        let is_web = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
        Self(host.filter(|host| is_web && fits(host)).map(|host| format!("{scheme}://{host}").into()))
    }

    /// Where the page of a run is, or of one of its tasks. Both names are names of objects, so nothing is escaped.
    pub(super) fn page(&self, namespace: &str, execution: &str, task: Option<i32>) -> String {
        let Some(origin) = &self.0 else { return String::new() };
        let mut link = format!("{origin}/console/namespaces/{namespace}/executions/{execution}");
        if let Some(task) = task {
            write!(link, "?task={task}").expect("a string takes everything");
        }
        link
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn page(uri: &str, host: Option<&str>, scheme: Option<Scheme>) -> String {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().extend(
            scheme
                .map(|scheme| {
                    let mut all = http::Extensions::new();
                    all.insert(scheme);
                    all
                })
                .unwrap_or_default(),
        );
        Origin::of(&request).page("shop", "resize-abcde", Some(3))
    }

    #[test]
    fn a_link_leads_back_the_way_the_request_came() {
        let path = "/console/namespaces/shop/executions/resize-abcde?task=3";
        for (uri, host, scheme, origin) in [
            ("/v2/x", Some("127.0.0.1:8422"), None, "http://127.0.0.1:8422"),
            ("/v2/x", Some("run.example.com"), Some(Scheme::HTTPS), "https://run.example.com"),
            ("http://us-central1-a.invalid/v2/x", Some("else"), None, "http://us-central1-a.invalid"),
            ("http://[::1]:8422/v2/x", None, Some(Scheme::HTTPS), "https://[::1]:8422"),
        ] {
            assert_eq!(page(uri, host, scheme), format!("{origin}{path}"), "{uri} {host:?}");
        }
    }

    #[test]
    fn what_is_no_host_of_the_web_makes_no_link() {
        let long = "x".repeat(300);
        for host in
            [None, Some(""), Some("a b"), Some("me@host"), Some("h/path"), Some("h\"><script>"), Some(&long)]
        {
            assert_eq!(page("/v2/x", host, None), "", "{host:?}");
        }
        assert_eq!(page("ftp://host/v2/x", None, None), "");
    }
}
