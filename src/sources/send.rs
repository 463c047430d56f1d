//! Sends an event to its sink as Knative's sources do: a few attempts within seconds, and then it is gone.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

/// Pauses between attempts; each is as long as all before it together and one tenth of a second more.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];
/// How long a sink may take to answer. Knative waits for ever; a connection that nobody closes would be kept as long.
const SILENCE: Duration = Duration::from_secs(300);

/// What a sink said, or that it said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status.
    Status(StatusCode),
    /// No answer, and why.
    None(String),
}

impl Answer {
    /// Whether the event is taken.
    pub(super) fn is_yes(&self) -> bool {
        matches!(self, Answer::Status(status) if status.is_success())
    }

    /// Whether it is sent once more: these and no other, whatever `Retry-After` says.
    fn may_pass(&self) -> bool {
        match self {
            Answer::Status(status) => matches!(status.as_u16(), 404 | 413 | 425 | 429 | 502..=504),
            Answer::None(_) => true,
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Status(status) => write!(f, "the answer was {status}"),
            Answer::None(why) => write!(f, "there was no answer: {why}"),
        }
    }
}

/// Tries until an answer is final or the attempts are used up. Answers the last one, and how many there were.
pub(super) async fn attempts<F: Future<Output = Answer>>(mut send: impl FnMut() -> F) -> (Answer, usize) {
    let mut answer = send().await;
    let mut count = 1;
    for pause in PAUSES {
        if !answer.may_pass() {
            break;
        }
        tokio::time::sleep(pause).await;
        answer = send().await;
        count += 1;
    }
    (answer, count)
}

/// Speaks HTTP with sinks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Sender {
    /// One that trusts whom this machine trusts; nobody, if that cannot be read.
    pub(super) fn new() -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(error = error as &dyn std::error::Error, "certificates cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// One attempt. The body of an answer is of no interest to a source.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        match tokio::time::timeout(SILENCE, self.0.request(request)).await {
            Ok(Ok(response)) => Answer::Status(response.status()),
            Ok(Err(error)) => Answer::None(chain(&error)),
            Err(_) => Answer::None(format!("not within {} s", SILENCE.as_secs())),
        }
    }
}

/// An error with its causes, for one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::Instant;

    use super::*;

    fn status(code: u16) -> Answer {
        Answer::Status(StatusCode::from_u16(code).unwrap())
    }

    /// When attempts were made, in milliseconds, if the sink answers that each time.
    async fn times(answer: &Answer) -> Vec<u128> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        let (last, count) = attempts(|| {
            times.push(begun.elapsed().as_millis());
            ready(answer.clone())
        })
        .await;
        assert_eq!((&last, count), (answer, times.len()));
        times
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_come_when_knatives_come() {
        let silence = Answer::None("connection refused".to_owned());
        for answer in [404, 413, 425, 429, 502, 503, 504].map(status).into_iter().chain([silence]) {
            assert_eq!(times(&answer).await, [0, 100, 300, 700, 1500, 3100], "{answer}");
        }
        for answer in [200, 202, 204, 301, 400, 401, 403, 408, 409, 410, 415, 422, 500, 501, 505].map(status)
        {
            assert_eq!(times(&answer).await, [0], "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_yes_ends_it() {
        let mut answers = vec![status(202), status(503), status(404)];
        let (answer, count) = attempts(|| ready(answers.pop().unwrap())).await;
        assert!(answer.is_yes());
        assert_eq!(count, 3);
    }
}
