//! Watches: from where, what, and how they end.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use kube::runtime::watcher;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::forgetful_place;
use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::support::DEADLINE;
use crate::support::cluster::differs;

type Events = BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>;

async fn watch(api: &Api<ConfigMap>, params: &WatchParams, since: &str) -> Events {
    api.watch(params, since).await.unwrap().boxed()
}

/// The next event as text: what happened to which object. Bookmarks come when the server likes.
async fn next(events: &mut Events) -> String {
    let name = |object: ConfigMap| object.metadata.name.unwrap();
    loop {
        let event = tokio::time::timeout(DEADLINE, events.next()).await.expect("an event in time");
        return match event.expect("no end yet").unwrap() {
            WatchEvent::Added(object) => format!("+{}", name(object)),
            WatchEvent::Modified(object) => format!("~{}", name(object)),
            WatchEvent::Deleted(object) => format!("-{}", name(object)),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(error) => format!("!{}", error.code),
        };
    }
}

async fn revision(api: &Api<ConfigMap>) -> String {
    api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
}

fn labelled(name: &str, label: &str) -> ConfigMap {
    let mut object = map(name, &[]);
    object.metadata.labels = Some(BTreeMap::from([("l".to_owned(), label.to_owned())]));
    object
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_revision() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("before", &[])).await.unwrap();
    let since = revision(&api).await;
    let mut events = watch(&api, &WatchParams::default(), &since).await;
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    assert_eq!(next(&mut events).await, "+a");
    let patch = Patch::Merge(json!({"data": {"k": "v"}}));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(next(&mut events).await, "~a");
    api.delete("before", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await, "-before");
}

#[tokio::test]
async fn a_watch_resumes_where_another_stopped() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let since = revision(&api).await;
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &map(name, &[])).await.unwrap();
    }
    let mut events = watch(&api, &WatchParams::default(), &since).await;
    assert_eq!(next(&mut events).await, "+a");
    let resume = match events.next().await.unwrap().unwrap() {
        WatchEvent::Added(object) => object.metadata.resource_version.unwrap(),
        other => panic!("{other:?}"),
    };
    drop(events);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut events = watch(&api, &WatchParams::default(), &resume).await;
    assert_eq!(next(&mut events).await, "+c");
    assert_eq!(next(&mut events).await, "-a");
}

#[tokio::test]
async fn a_deletion_is_told_with_its_own_revision() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let since = created.metadata.resource_version.clone().unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut events = watch(&api, &WatchParams::default(), &since).await;
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Deleted(object) => {
            assert_eq!(object.metadata.uid, created.metadata.uid);
            assert_ne!(
                object.metadata.resource_version.as_deref(),
                Some(&*since),
                "a resume would tell it again"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_selecting_watch_tells_who_enters_and_who_leaves() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let since = revision(&api).await;
    let mut events = watch(&api, &WatchParams::default().labels("l=in"), &since).await;
    api.create(&PostParams::default(), &labelled("a", "out")).await.unwrap();
    api.create(&PostParams::default(), &labelled("b", "in")).await.unwrap();
    let relabel = |label: &str| Patch::Merge(json!({"metadata": {"labels": {"l": label}}}));
    api.patch("a", &PatchParams::default(), &relabel("in")).await.unwrap();
    api.patch("b", &PatchParams::default(), &relabel("out")).await.unwrap();
    api.delete("b", &DeleteParams::default()).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    for expected in ["+b", "+a", "-b", "-a"] {
        assert_eq!(next(&mut events).await, expected);
    }
}

#[tokio::test]
async fn a_watch_can_be_of_one_object() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let since = revision(&api).await;
    let mut events = watch(&api, &WatchParams::default().fields("metadata.name=b"), &since).await;
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &map(name, &[])).await.unwrap();
    }
    assert_eq!(next(&mut events).await, "+b");
    api.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await, "-b");
}

#[tokio::test]
async fn a_watch_from_nowhere_begins_with_what_is_there() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &labelled(name, "x")).await.unwrap();
    }
    let mut events = watch(&api, &WatchParams::default().labels("l=x"), "0").await;
    let mut first = [next(&mut events).await, next(&mut events).await];
    first.sort();
    assert_eq!(first, ["+a", "+b"]);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await, "-a");
}

#[tokio::test]
async fn a_streaming_list_ends_with_an_annotated_bookmark() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &labelled(name, "x")).await.unwrap();
    }
    let params = WatchParams::default().labels("l=x").initial_events();
    let mut events = watch(&api, &params, "").await;
    let mut first = [next(&mut events).await, next(&mut events).await];
    first.sort();
    assert_eq!(first, ["+a", "+b"]);
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Bookmark(mark) => {
            assert_eq!(
                mark.metadata.annotations.get("k8s.io/initial-events-end").map(String::as_str),
                Some("true")
            );
        }
        other => panic!("{other:?}"),
    }
    api.create(&PostParams::default(), &labelled("c", "x")).await.unwrap();
    assert_eq!(next(&mut events).await, "+c");
}

#[tokio::test]
async fn a_watcher_can_begin_with_a_streaming_list() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &labelled(name, "x")).await.unwrap();
    }
    let config = watcher::Config::default().labels("l=x").streaming_lists();
    let mut stream = std::pin::pin!(watcher(api, config));
    let (mut begun, mut seen) = (false, BTreeSet::new());
    // The watcher takes any state for its beginning, so an object may as well follow as a change.
    while !begun || seen.len() < 2 {
        let event = tokio::time::timeout(DEADLINE, stream.next()).await.expect("everything is told").unwrap();
        match event.unwrap() {
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                seen.insert(object.name_any());
            }
            watcher::Event::InitDone => begun = true,
            watcher::Event::Init | watcher::Event::Delete(_) => {}
        }
    }
    assert_eq!(seen, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_watch_ends_after_its_time() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let since = revision(&api).await;
    let events = watch(&api, &WatchParams::default().timeout(1), &since).await;
    let all = tokio::time::timeout(DEADLINE, events.collect::<Vec<_>>()).await.expect("it ends");
    for event in all {
        assert!(matches!(event.unwrap(), WatchEvent::Bookmark(_)));
    }
}

/// An HTTP 410 would wedge kube's watcher; see the other test.
#[tokio::test]
async fn a_forgotten_revision_is_an_error_event_under_status_200() {
    let place = forgetful_place().await;
    // A real API server remembers of a kind of ours only what happened since it knows the kind.
    let path = format!("/apis/run.kakehi.dev/v1alpha1/namespaces/{}/jobs", place.namespace);
    let request =
        http::Request::get(format!("{path}?watch=true&resourceVersion=1")).body(Vec::new()).unwrap();
    let answer = tokio::time::timeout(DEADLINE, place.client.request_text(request)).await;
    let answer = answer.expect("the watch ends at once").expect("the status is 200");
    let event: Value = serde_json::from_str(answer.lines().next().unwrap()).unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(event["object"]["kind"], "Status");
    assert_eq!(event["object"]["code"], 410);
    assert_eq!(event["object"]["reason"], "Expired");
}

/// The first answer of a proxy that hands the watcher a revision out of the distant past, once.
#[tokio::test]
async fn a_watcher_that_is_told_410_lists_again() {
    if differs("kubeapi::watches::a_watcher_that_is_told_410_lists_again") {
        return;
    }
    let place = forgetful_place().await;
    let api: Api<ConfigMap> = place.api();
    let mut stream =
        std::pin::pin!(watcher(api.clone(), watcher::Config::default().fields("metadata.name=late")));
    loop {
        if let watcher::Event::InitDone = stream.next().await.unwrap().unwrap() {
            break;
        }
    }
    // The watcher now holds a revision and has not yet watched from it; meanwhile the log forgets it.
    for number in 0..8 {
        api.create(&PostParams::default(), &map(&format!("more-{number}"), &[])).await.unwrap();
    }
    api.create(&PostParams::default(), &map("late", &[])).await.unwrap();
    for number in 8..16 {
        api.create(&PostParams::default(), &map(&format!("more-{number}"), &[])).await.unwrap();
    }
    let mut told = false;
    loop {
        match tokio::time::timeout(DEADLINE, stream.next()).await.expect("it is not stuck").unwrap() {
            Err(watcher::Error::WatchError(status)) => {
                assert_eq!(status.code, 410);
                told = true;
            }
            Ok(watcher::Event::InitApply(found)) => {
                assert_eq!(found.metadata.name.as_deref(), Some("late"));
                break;
            }
            Ok(_) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(told, "the past was forgotten");
}

#[tokio::test]
async fn a_watch_sees_every_change_of_many_writers_in_order() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let since = revision(&api).await;
    let mut events = watch(&api, &WatchParams::default(), &since).await;
    let writers = (0..8).map(|writer| {
        let api = api.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                let name = format!("w{writer}-{number}");
                api.create(&PostParams::default(), &map(&name, &[])).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut last = since.parse::<u64>().unwrap();
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 160 {
        let event = tokio::time::timeout(DEADLINE, events.next()).await.expect("in time").unwrap().unwrap();
        let WatchEvent::Added(object) = event else { continue };
        let revision: u64 = object.metadata.resource_version.unwrap().parse().unwrap();
        assert!(revision > last, "{revision} after {last}");
        last = revision;
        assert!(names.insert(object.metadata.name.unwrap()));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn contradictory_options_are_refused() {
    let place = place().await;
    for query in ["sendInitialEvents=true", "resourceVersionMatch=Exact", "resourceVersion=x"] {
        let path = format!("/api/v1/namespaces/{}/configmaps?watch=true&{query}", place.namespace);
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), place.client.request_text(request)).await;
        match answer.expect("an answer, no stream") {
            // A revision that is no number is the server's own error to a real one.
            Err(kube::Error::Api(status)) => {
                assert!((400..=500).contains(&status.code), "{query}: {status:?}");
            }
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn whatever_is_not_no_asks_for_a_watch() {
    let place = place().await;
    place.api().create(&PostParams::default(), &map("a", &[])).await.unwrap();
    for (value, kind) in
        [("perhaps", "ADDED"), ("", "ADDED"), ("0", "ConfigMapList"), ("FALSE", "ConfigMapList")]
    {
        let path =
            format!("/api/v1/namespaces/{}/configmaps?watch={value}&timeoutSeconds=1", place.namespace);
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let text = place.client.request_text(request).await.unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let found = if first["type"].is_string() { &first["type"] } else { &first["kind"] };
        assert_eq!(found, kind, "{value:?}");
    }
}
