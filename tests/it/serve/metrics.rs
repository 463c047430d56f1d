//! What is counted, and how it is told.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;

use super::process::{Cluster, JOB, Serve, event};
use crate::support::eventually;

/// The samples of `/metrics`, by name and labels.
async fn samples(serve: &Serve) -> BTreeMap<String, String> {
    let (status, text) = serve.admin("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.to_owned())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

#[tokio::test]
async fn what_happens_is_counted_by_both_roles() {
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    let serve = cluster.serve(&[]).await;
    serve.is_ready().await;
    let before = samples(&serve).await;
    assert_eq!(before["kakehi_events_total{outcome=\"accepted\"}"], "0");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(before[&format!("kakehi_build_info{{version=\"{version}\"}}")], "1");

    let sink = serve.sink.unwrap();
    serve.send("work", "1").await;
    serve.send("work", "1").await;
    let mut unmatched = event(sink, "work", "2");
    *unmatched.uri_mut() = format!("http://{sink}/namespaces/default").parse().unwrap();
    assert_eq!(serve.request(unmatched).await.status(), StatusCode::ACCEPTED);
    let mut invalid = event(sink, "work", "3");
    invalid.headers_mut().remove("ce-type");
    assert_eq!(serve.request(invalid).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(serve.request(event(sink, "nobody", "4")).await.status(), StatusCode::NOT_FOUND);
    cluster.succeeded(1).await;

    let wanted = [
        ("kakehi_events_total{outcome=\"accepted\"}", "1"),
        ("kakehi_events_total{outcome=\"duplicate\"}", "1"),
        ("kakehi_events_total{outcome=\"unmatched\"}", "1"),
        ("kakehi_events_rejected_total{reason=\"invalid\"}", "1"),
        ("kakehi_event_accept_duration_seconds_count", "3"),
        ("kakehi_executions{state=\"Succeeded\"}", "1"),
        ("kakehi_executions{state=\"Running\"}", "0"),
        ("kakehi_reconcile_errors_total{controller=\"executions\"}", "0"),
        ("kakehi_leader", "1"),
    ];
    eventually("the counts", async || {
        let samples = samples(&serve).await;
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(name, count)| samples.get(*name).map(String::as_str) != Some(*count))
            .collect();
        // The first send may have been refused while the Job was not known yet.
        let happened = |name: &str| samples.get(name).is_some_and(|count| count != "0");
        let steps = happened("kakehi_reconcile_duration_seconds_count{controller=\"executions\"}");
        let refused = happened("kakehi_events_rejected_total{reason=\"not_found\"}");
        if missing.is_empty() && steps && refused { Ok(()) } else { Err(format!("{missing:?} {samples:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn metrics_are_told_in_the_format_that_their_head_names() {
    let cluster = Cluster::start().await;
    let serve = cluster.serve(&["--controller"]).await;
    let request = http::Request::get(format!("http://{}/metrics", serve.admin));
    let answer = serve.request(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for described in text.lines().filter(|line| line.starts_with("# HELP")) {
        assert!(described.starts_with("# HELP kakehi_"), "{described}");
    }
    // A role that does not run counts nothing.
    assert!(!text.contains("kakehi_events"), "{text}");
}
