//! Sends an event to a sink and reads what it answers (design §4).

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use clap::ValueEnum;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::{Client, Config};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::Error;
use super::connect::{CONNECT_TIMEOUT, parse_url};
use crate::event::Event;
use crate::event::http::{encode_binary, encode_structured};
use crate::explain::Told;

/// Longest wait for an answer. A sink answers in milliseconds; ten times its own deadline is no answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read: one line for each Trigger of a namespace.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How an event travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Attributes as headers, data as the body
    #[default]
    Binary,
    /// The whole event as one JSON document
    Structured,
}

/// Where events go: a namespace's Triggers, or one Job of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The namespace.
    pub(crate) namespace: String,
    /// The Job, if not the Triggers decide.
    pub(crate) job: Option<String>,
}

impl Address {
    fn path(&self) -> String {
        match &self.job {
            None => format!("/namespaces/{}", self.namespace),
            Some(job) => format!("/namespaces/{}/jobs/{job}", self.namespace),
        }
    }
}

/// What became of an event, one entry per run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivered {
    /// The Trigger that matched, unless the event was sent to a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trigger: Option<String>,
    /// In the sink's words: `created` or `duplicate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// The name of the Execution.
    pub(crate) execution: String,
}

/// A line of the answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    trigger: Option<String>,
    #[serde(default)]
    outcome: Option<String>,
    /// None where a run of the Job led to the event: it runs nothing then.
    #[serde(default)]
    execution: Option<String>,
}

impl Line {
    fn delivered(self) -> Option<Delivered> {
        let Self { trigger, outcome, execution } = self;
        Some(Delivered { trigger, outcome, execution: execution? })
    }
}

/// A sink, ready to be sent to.
#[derive(Clone)]
pub(crate) struct Sink {
    client: Client,
    url: String,
}

/// A try that did not succeed.
enum Refused {
    /// Trying again can help; after that long, if the sink said so.
    Later(Error, Option<Duration>),
    /// Trying again cannot help.
    Never(Error),
}

impl Sink {
    /// The sink at that URL. Nothing is sent yet.
    pub(crate) fn new(url: &str) -> Result<Self, Error> {
        let mut config = Config::new(parse_url(url)?);
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Whether to try again is the user's choice here.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| Error::Usage(error.into()))?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// Sends an event. What can succeed later is tried again until `patience` is over.
    pub(crate) async fn send(
        &self,
        event: &Event,
        mode: Mode,
        address: &Address,
        patience: Duration,
    ) -> Result<Vec<Delivered>, Error> {
        let deadline = Instant::now() + patience;
        let mut pause = PAUSE.0;
        loop {
            match self.once(event, mode, address).await {
                Ok(delivered) => return Ok(delivered),
                Err(Refused::Never(error)) => return Err(error),
                Err(Refused::Later(error, after)) => {
                    let wait = after.unwrap_or(pause).min(PAUSE.1);
                    if Instant::now() + wait > deadline {
                        return Err(error);
                    }
                    sleep(wait).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Asks what became of events of that namespace.
    pub(crate) async fn decisions(
        &self,
        namespace: &str,
        question: &[(&str, &str)],
        token: Option<&str>,
    ) -> Result<Told, Error> {
        let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<String> =
            question.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let path = format!("/namespaces/{}/decisions?{}", quoted(namespace), query.join("&"));
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).map_err(|error| Error::Usage(error.into()))?;
        let (status, _, body) = self.ask(request).await?;
        if status.is_success() {
            let told = serde_json::from_slice(&body).context("read what the sink tells");
            return told.map_err(Error::Failed);
        }
        let words = words(&body);
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "\n  hint: it tells whoever may list executions there; `kakehi explain --help` shows how to make a token"
            }
            _ => "",
        };
        Err(Error::Failed(anyhow!("the sink does not tell: {words} ({}){hint}", status.as_u16())))
    }

    /// Sends a request and reads the answer.
    async fn ask(&self, request: Request<Body>) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let answer = timeout(ANSWER_TIMEOUT, async {
            let (head, body) = self.client.send(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(kube::Error::Service)?;
            Ok::<_, kube::Error>((head, body.to_bytes()))
        });
        match answer.await {
            Ok(Ok((head, body))) => Ok((head.status, head.headers, body)),
            Ok(Err(error)) => Err(self.unreachable(error.into())),
            Err(_) => Err(self.unreachable(anyhow!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    async fn once(&self, event: &Event, mode: Mode, address: &Address) -> Result<Vec<Delivered>, Refused> {
        let request = request(event, mode, address).map_err(Refused::Never)?;
        let answer = self.ask(request).await.map_err(|error| Refused::Later(error, None))?;
        let (status, headers, body) = answer;
        read(status, &headers, &body, address)
    }

    fn unreachable(&self, source: anyhow::Error) -> Error {
        let hint = "is `kakehi dev` running? --sink or KAKEHI_SINK says where the sink is".to_owned();
        Error::Unreachable { target: format!("the sink at {}", self.url), hint, source }
    }
}

fn request(event: &Event, mode: Mode, address: &Address) -> Result<Request<Body>, Error> {
    let (headers, body) = match mode {
        Mode::Binary => encode_binary(event),
        Mode::Structured => encode_structured(event),
    };
    let mut request = Request::post(address.path()).header("prefer", "return=representation");
    if let Some(all) = request.headers_mut() {
        all.extend(headers);
    }
    request.body(Body::from(body.to_vec())).map_err(|error| Error::Usage(error.into()))
}

/// Reads an answer: the runs behind a 2xx, the reason behind anything else.
fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    address: &Address,
) -> Result<Vec<Delivered>, Refused> {
    if status.is_success() {
        return match serde_json::from_slice::<Vec<Line>>(body) {
            Ok(lines) => Ok(lines.into_iter().filter_map(Line::delivered).collect()),
            // An empty answer: the Location names the run, if there is exactly one.
            Err(_) => Ok(location(headers).into_iter().collect()),
        };
    }
    let error = Error::Failed(anyhow!("{}", reason(status, body, address)));
    match status {
        // 404: what was applied a moment ago may not have reached the sink yet.
        StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(Refused::Later(error, retry_after(headers)))
        }
        _ => Err(Refused::Never(error)),
    }
}

fn location(headers: &HeaderMap) -> Option<Delivered> {
    let path = headers.get(LOCATION)?.to_str().ok()?;
    let (_, execution) = path.rsplit_once("/executions/")?;
    Some(Delivered { trigger: None, outcome: None, execution: execution.to_owned() })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// What a refusal says for itself.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) => ["detail", "error", "message"]
            .iter()
            .find_map(|name| value.get(name)?.as_str())
            .map_or_else(|| text.trim().to_owned(), str::to_owned),
        Err(_) => text.trim().to_owned(),
    };
    super::output::one_line(&words)
}

/// Why the sink refused, with its own words where it has some.
fn reason(status: StatusCode, body: &[u8], address: &Address) -> String {
    let words = words(body);
    let to = match &address.job {
        None => format!("namespace {}", address.namespace),
        Some(job) => format!("job {job} of namespace {}", address.namespace),
    };
    if words.is_empty() {
        return format!("the sink refused the event for {to}: {status}");
    }
    format!("the sink refused the event for {to}: {words} ({})", status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(job: Option<&str>) -> Address {
        Address { namespace: "shop".to_owned(), job: job.map(str::to_owned) }
    }

    fn event() -> Event {
        Event::builder().required("42", "/shop", "com.example.order").data("{}").build().unwrap()
    }

    fn answer(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Result<Vec<Delivered>, Refused> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            &Bytes::from_static(body.as_bytes()),
            &address(None),
        )
    }

    #[test]
    fn the_path_names_the_namespace_or_the_job() {
        assert_eq!(address(None).path(), "/namespaces/shop");
        assert_eq!(address(Some("resize")).path(), "/namespaces/shop/jobs/resize");
    }

    #[test]
    fn both_modes_carry_the_event() {
        let binary = request(&event(), Mode::Binary, &address(None)).unwrap();
        assert_eq!(binary.headers()["ce-id"], "42");
        assert_eq!(binary.headers()["prefer"], "return=representation");
        let structured = request(&event(), Mode::Structured, &address(None)).unwrap();
        assert_eq!(structured.headers()["content-type"], "application/cloudevents+json");
    }

    #[test]
    fn the_runs_come_from_the_body_or_the_location() {
        let listed =
            answer(202, &[], r#"[{"trigger":"a","outcome":"created","execution":"x"},{"execution":"y"}]"#);
        let names: Vec<String> = listed.ok().unwrap().into_iter().map(|one| one.execution).collect();
        assert_eq!(names, ["x", "y"]);
        let located = answer(202, &[("location", "/namespaces/shop/executions/x-1")], "").ok().unwrap();
        assert_eq!(located[0].execution, "x-1");
        assert_eq!(answer(202, &[], "").ok().unwrap(), []);
    }

    #[test]
    fn what_may_succeed_later_is_told_apart() {
        for status in [404, 429, 503] {
            assert!(matches!(answer(status, &[], ""), Err(Refused::Later(_, None))), "{status}");
        }
        for status in [400, 401, 403, 405, 413, 415, 422] {
            assert!(matches!(answer(status, &[], ""), Err(Refused::Never(_))), "{status}");
        }
        let told = answer(503, &[("retry-after", "2")], "");
        assert!(matches!(told, Err(Refused::Later(_, Some(wait))) if wait == Duration::from_secs(2)));
    }

    #[test]
    fn a_refusal_keeps_the_words_of_the_sink() {
        let table = [
            ("", "the sink refused the event for namespace shop: 400 Bad Request"),
            ("`id` is missing\n", "the sink refused the event for namespace shop: `id` is missing (400)"),
            (r#"{"error": "no `id`"}"#, "the sink refused the event for namespace shop: no `id` (400)"),
        ];
        for (body, words) in table {
            assert_eq!(reason(StatusCode::BAD_REQUEST, body.as_bytes(), &address(None)), words);
        }
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable() {
        let sink = Sink::new("http://127.0.0.1:1/").unwrap();
        let error = sink.send(&event(), Mode::Binary, &address(None), Duration::ZERO).await.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { target, .. } if target == "the sink at http://127.0.0.1:1")
        );
    }
}
