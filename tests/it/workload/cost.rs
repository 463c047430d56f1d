//! What the controllers ask of the API server, in requests.

use super::*;
use crate::workload::faults::kubelet;
use axum::body::Body;
use http::Request;
use kube::client::Body as Sent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use tower::ServiceExt;

/// Requests by what they do: `POST pods`, `PATCH jobs/status`.
type Ledger = Arc<Mutex<BTreeMap<String, usize>>>;

/// A client that writes down what it asks.
fn accounted(field: &Field) -> (Client, Ledger) {
    let (router, ledger) = (server(field).router(), Ledger::default());
    let book = ledger.clone();
    let service = tower::service_fn(move |request: Request<Sent>| {
        let path = request.uri().path();
        let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").skip(2).collect();
        let what = match parts[..] {
            [plural] | [plural, _] => plural.to_owned(),
            [plural, _, subresource] => format!("{plural}/{subresource}"),
            _ => "cluster".to_owned(),
        };
        let watch = request.uri().query().is_some_and(|query| query.contains("watch"));
        let method = if watch { "WATCH" } else { request.method().as_str() };
        *book.lock().unwrap().entry(format!("{method} {what}")).or_default() += 1;
        router.clone().oneshot(request.map(Body::new))
    });
    (Client::new(service, "default"), ledger)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_one_task_costs_six_writes_and_nothing_is_polled() {
    const JOBS: usize = 40;
    let mut field = Field::local(options()).await;
    field.shutdown.cancel();
    (&mut field.controllers).await.unwrap();
    let (client, ledger) = accounted(&field);
    // No delay is long enough for a status that nobody waits for: the next one takes it along.
    (field.shutdown, field.controllers) =
        start(client, workload::Options { status_delay: crate::support::DEADLINE, ..options() });
    let (_, kubelet) = kubelet(field.pods(), |_, _| 0);
    for number in 0..JOBS {
        field
            .job(&format!("j{number}"), "completionMode: Indexed, completions: 1, backoffLimitPerIndex: 3")
            .await;
    }
    for number in 0..JOBS {
        field.until_condition(&format!("j{number}"), "Complete").await;
    }
    let settled = async || {
        let ledger = ledger.lock().unwrap().clone();
        let count = |what: &str| ledger.get(what).copied().unwrap_or(0);
        if count("PATCH pods") == JOBS && count("POST events") == 2 * JOBS { Ok(ledger) } else { Err(ledger) }
    };
    let ledger = eventually("finalizers are taken and events written", settled).await;
    let expected = [
        ("PATCH jobs/status", 2 * JOBS),
        ("PATCH pods", JOBS),
        ("POST events", 2 * JOBS),
        ("POST pods", JOBS),
    ];
    let written: Vec<(&str, usize)> = ledger
        .iter()
        .filter(|(what, _)| what.starts_with('P') || what.starts_with("DELETE"))
        .map(|(what, count)| (what.as_str(), *count))
        .collect();
    assert_eq!(written, expected);
    let (rest, per_job) = (ledger.values().sum::<usize>() - 6 * JOBS, JOBS);
    assert!(
        rest < 3 * per_job,
        "lists, watches and discovery do not grow with the jobs, and a look of the collector is rare: {ledger:?}"
    );
    kubelet.abort();
}
