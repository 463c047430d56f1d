//! What a client asks of an API server: how often, with what result, and how long the answers took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use http::Request;
use kube::Client;
use kube::client::Body;

/// Requests by what they do and how they ended: `PATCH executions/status 200`. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<String, (usize, Duration)>>>);

impl Ledger {
    /// `client`, with every request written down.
    pub(crate) fn over(&self, client: &Client) -> Client {
        let (ledger, beyond) = (self.clone(), client.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (ledger, beyond) = (ledger.clone(), beyond.clone());
            async move {
                let (what, asked) = (what(&request), Instant::now());
                let answer = beyond.send(request).await;
                let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
                let mut book = ledger.0.lock().expect("nobody panics in between");
                let (count, time) = book.entry(format!("{what} {code}")).or_default();
                *count += 1;
                *time += asked.elapsed();
                drop(book);
                answer
            }
        });
        Client::new(service, client.default_namespace())
    }

    /// What was written down since the last time.
    pub(crate) fn take(&self) -> BTreeMap<String, (usize, Duration)> {
        std::mem::take(&mut self.0.lock().expect("nobody panics in between"))
    }
}

/// `POST pods`, `PATCH executions/status`, `WATCH jobs.batch`.
fn what(request: &Request<Body>) -> String {
    let path = request.uri().path();
    let group = path.strip_prefix("/apis/").and_then(|rest| rest.split('/').next());
    let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").skip(2).collect();
    let (plural, subresource) = match parts[..] {
        [plural] | [plural, _] => (plural, String::new()),
        [plural, _, subresource] => (plural, format!("/{subresource}")),
        _ => (path, String::new()),
    };
    let group = if group == Some("batch") { ".batch" } else { "" };
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
    let method = if is_watch { "WATCH" } else { request.method().as_str() };
    format!("{method} {plural}{group}{subresource}")
}
