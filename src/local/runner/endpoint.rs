//! The kubelet's HTTP endpoint, of which local mode needs one route: container logs.
//!
//! `GET /containerLogs/{namespace}/{pod}/{container}` with the parameters of `PodLogOptions`. An API server finds it by the Node's address and port and
//! passes its answers on. It listens on loopback only and asks for no credentials, as processes of one machine and user.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::local::runner::context::Context;
use crate::local::runner::logs::{LogOptions, LogReader, NoLog};
use crate::local::runner::secure::Secure;

/// Logs read at once: each holds a file and a buffer of 64 KiB.
const READERS: usize = 256;

#[derive(Clone)]
struct Logs {
    context: Arc<Context>,
    readers: Arc<Semaphore>,
}

/// Serves until `over`, and then what is under way to its end.
pub(super) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    over: CancellationToken,
) -> io::Result<()> {
    let tls = context.options.tls.clone();
    let (router, over) = (router(context), over.cancelled_owned());
    match tls {
        None => axum::serve(listener, router).with_graceful_shutdown(over).await,
        Some(tls) => {
            let secure = Secure { listener, acceptor: TlsAcceptor::from(tls) };
            axum::serve(secure, router).with_graceful_shutdown(over).await
        }
    }
}

fn router(context: Arc<Context>) -> Router {
    let logs = Logs { context, readers: Arc::new(Semaphore::new(READERS)) };
    Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs)).with_state(logs)
}

async fn container_logs(
    State(logs): State<Logs>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let (options, previous) = match options(&query, Timestamp::now()) {
        Ok(parsed) => parsed,
        Err(message) => return (StatusCode::BAD_REQUEST, message).into_response(),
    };
    let source = match logs.context.logs.find(&namespace, &pod, &container, previous) {
        Ok(source) => source,
        Err(error) => return (status_of(&error), error.to_string()).into_response(),
    };
    let Ok(permit) = logs.readers.try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many logs are being read").into_response();
    };
    match LogReader::open(source, &options).await {
        Ok(reader) => ([(header::CONTENT_TYPE, "text/plain")], body(reader, permit)).into_response(),
        Err(error) => {
            let message = format!("cannot read the log: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// The answers that an API server passes on as its own.
fn status_of(error: &NoLog) -> StatusCode {
    match error {
        NoLog::Pod { .. } => StatusCode::NOT_FOUND,
        NoLog::Container { .. } | NoLog::NotStarted { .. } | NoLog::NoPrevious { .. } => {
            StatusCode::BAD_REQUEST
        }
    }
}

fn body(reader: LogReader, permit: OwnedSemaphorePermit) -> Body {
    let pieces = stream::try_unfold((reader, permit), |(mut reader, permit)| async move {
        Ok::<_, std::io::Error>(reader.next().await?.map(|piece| (piece, (reader, permit))))
    });
    Body::from_stream(pieces)
}

/// Reads the parameters; the second part is `previous`.
fn options(query: &HashMap<String, String>, now: Timestamp) -> Result<(LogOptions, bool), String> {
    let get = |name: &str| query.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let flag = |name: &str| match get(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => Err(format!("{name} must be true or false, not {other:?}")),
    };
    let number = |name: &str| match get(name).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(format!("{name} must be a number that is not negative")),
    };
    let since = match (number("sinceSeconds")?, get("sinceTime")) {
        (Some(_), Some(_)) => {
            return Err("at most one of sinceTime or sinceSeconds may be specified".to_owned());
        }
        (Some(seconds), None) => {
            let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            // Longer ago than time goes back means everything.
            Some(now.checked_sub(span).unwrap_or(Timestamp::MIN))
        }
        (None, Some(time)) => {
            let parsed = time.parse::<Timestamp>();
            Some(parsed.map_err(|_| format!("sinceTime must be an RFC 3339 time, not {time:?}"))?)
        }
        (None, None) => None,
    };
    let options = LogOptions {
        follow: flag("follow")?,
        tail: number("tailLines")?,
        timestamps: flag("timestamps")?,
        since,
        limit: number("limitBytes")?,
    };
    Ok((options, flag("previous")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &[(&str, &str)]) -> Result<(LogOptions, bool), String> {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        options(&query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), now)
    }

    #[test]
    fn nothing_asked_is_the_whole_log() {
        assert_eq!(parsed(&[]), Ok((LogOptions::default(), false)));
    }

    #[test]
    fn every_parameter_is_understood() {
        let all = [
            ("follow", "true"),
            ("tailLines", "10"),
            ("timestamps", "1"),
            ("limitBytes", "99"),
            ("sinceSeconds", "60"),
            ("previous", "true"),
        ];
        let since = Some("2026-01-01T23:59:00Z".parse().unwrap());
        let want = LogOptions { follow: true, tail: Some(10), timestamps: true, since, limit: Some(99) };
        assert_eq!(parsed(&all), Ok((want, true)));
        let time = parsed(&[("sinceTime", "2025-05-05T05:05:05Z")]).unwrap().0.since;
        assert_eq!(time, Some("2025-05-05T05:05:05Z".parse().unwrap()));
        let ages = parsed(&[("sinceSeconds", "99999999999999999")]).unwrap().0.since;
        assert_eq!(ages, Some(Timestamp::MIN));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for query in [
            &[("follow", "yes")][..],
            &[("tailLines", "-1")],
            &[("limitBytes", "x")],
            &[("sinceTime", "yesterday")],
            &[("sinceTime", "2026-01-01T00:00:00Z"), ("sinceSeconds", "1")],
        ] {
            assert!(parsed(query).is_err(), "{query:?}");
        }
    }

    #[test]
    fn a_container_that_waits_is_a_bad_request_and_an_unknown_pod_is_not_found() {
        let (pod, container) = ("p".to_owned(), "c".to_owned());
        assert_eq!(status_of(&NoLog::NotStarted { pod: pod.clone(), container }), StatusCode::BAD_REQUEST);
        assert_eq!(status_of(&NoLog::Pod { namespace: "ns".to_owned(), pod }), StatusCode::NOT_FOUND);
    }
}
