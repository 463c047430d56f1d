//! What is between our controllers and their API server: faults on demand, and a ledger of what was asked and written.

use std::sync::Arc;
use std::sync::Mutex;

use http::Method;
use http::Request;
use kube::Client;
use kube::client::Body;

use crate::support::faults::Fault;
use crate::support::faults::Faults;

/// A wire; without faults to begin with.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    pub(crate) faults: Faults,
    writes: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    /// The same API server at the other end of this wire.
    pub(crate) fn over(&self, client: &Client) -> Client {
        let (beyond, writes, asked) = (client.clone(), self.writes.clone(), self.asked.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (beyond, writes, asked) = (beyond.clone(), writes.clone(), asked.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let is_write = request.method() != Method::GET;
                let response = beyond.send(request).await?;
                asked.lock().unwrap().push(format!("{line} {}", response.status().as_u16()));
                if is_write && response.status().is_success() {
                    writes.lock().unwrap().push(line);
                }
                Ok::<_, kube::Error>(response)
            }
        });
        self.faults.over(&Client::new(service, client.default_namespace()))
    }

    /// From now on nothing gets through, or everything again.
    pub(crate) fn cut(&self, cut: bool) {
        if cut { self.faults.set(|_| Some(Fault::Answer(503))) } else { self.faults.clear() }
    }

    /// The writes that succeeded and name `part` somewhere, as `METHOD path`.
    pub(crate) fn writes(&self, part: &str) -> Vec<String> {
        self.writes.lock().unwrap().iter().filter(|write| write.contains(part)).cloned().collect()
    }

    /// The requests that got through and name `part` somewhere, as `METHOD path code`.
    pub(crate) fn asked(&self, part: &str) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }
}
