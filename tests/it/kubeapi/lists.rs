//! Lists: selectors, pages, revisions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::api::PostParams;
use kube::api::VersionMatch;
use kube::runtime::watcher;

use futures::StreamExt;
use futures::TryStreamExt;

use crate::kubeapi::Place;
use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::kubeapi::pods::pod;
use crate::kubeapi::refused;

/// Seven maps with a label each: even or odd.
async fn seven(place: &Place) -> Api<ConfigMap> {
    let api: Api<ConfigMap> = place.api();
    for number in 0..7 {
        let mut object = map(&format!("m{number}"), &[]);
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        object.metadata.labels = Some(BTreeMap::from([("parity".to_owned(), parity.to_owned())]));
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    api
}

/// The names, without the map that a cluster puts into every namespace.
fn names<'a>(items: impl IntoIterator<Item = &'a ConfigMap>) -> Vec<String> {
    let names = items.into_iter().filter_map(|item| item.metadata.name.clone());
    names.filter(|name| name != "kube-root-ca.crt").collect()
}

async fn found(api: &Api<ConfigMap>, params: ListParams) -> Vec<String> {
    names(&api.list(&params).await.unwrap())
}

#[tokio::test]
async fn label_selectors_choose_by_equality_and_by_set() {
    let place = place().await;
    let api = seven(&place).await;
    let labels = |text: &str| ListParams::default().labels(text);
    assert_eq!(found(&api, labels("parity=even")).await, ["m0", "m2", "m4", "m6"]);
    assert_eq!(found(&api, labels("parity!=even")).await, ["m1", "m3", "m5"]);
    assert_eq!(found(&api, labels("parity in (odd, strange)")).await, ["m1", "m3", "m5"]);
    assert_eq!(found(&api, labels("parity notin (odd)")).await, ["m0", "m2", "m4", "m6"]);
    assert_eq!(found(&api, labels("parity,parity!=odd")).await, ["m0", "m2", "m4", "m6"]);
    assert!(found(&api, labels("!parity")).await.is_empty());
    assert!(found(&api, labels("parity=even,missing")).await.is_empty());
}

#[tokio::test]
async fn field_selectors_choose_by_name_and_namespace() {
    let place = place().await;
    let api = seven(&place).await;
    let fields = |text: &str| ListParams::default().fields(text);
    assert_eq!(found(&api, fields("metadata.name=m3")).await, ["m3"]);
    assert_eq!(found(&api, fields("metadata.name!=m3")).await, ["m0", "m1", "m2", "m4", "m5", "m6"]);
    assert!(found(&api, fields("metadata.name=nothing")).await.is_empty());
    let everywhere: Api<ConfigMap> = Api::all(place.client.clone());
    let here = fields(&format!("metadata.namespace={},metadata.name=m1", place.namespace));
    assert_eq!(found(&everywhere, here).await, ["m1"]);
}

#[tokio::test]
async fn what_cannot_be_selected_by_is_a_bad_request() {
    let place = place().await;
    let api = seven(&place).await;
    for params in [
        ListParams::default().labels("a in"),
        ListParams::default().labels("=x"),
        ListParams::default().labels("a=b=c"),
        ListParams::default().fields("data.k=v"),
        ListParams::default().fields("metadata.name"),
    ] {
        let status = refused(api.list(&params).await);
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{params:?}");
    }
}

#[tokio::test]
async fn pods_can_be_selected_by_node_and_phase() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &pod(name)).await.unwrap();
    }
    let list = |text: &'static str| {
        let api = api.clone();
        async move { api.list(&ListParams::default().fields(text)).await.unwrap().items.len() }
    };
    assert_eq!(list("spec.nodeName=").await, 2);
    assert_eq!(list("spec.nodeName=somewhere").await, 0);
    assert_eq!(list("status.phase=Pending,spec.restartPolicy=Never").await, 2);
    assert_eq!(list("status.phase!=Pending").await, 0);
}

#[tokio::test]
async fn pages_show_one_state_whatever_happens_between_them() {
    let place = place().await;
    let api = seven(&place).await;
    let first = api.list(&ListParams::default().labels("parity").limit(3)).await.unwrap();
    assert_eq!(names(&first), ["m0", "m1", "m2"]);
    let token = first.metadata.continue_.clone().expect("there is more");
    // A change, a removal and a creation behind the page's back.
    api.delete("m4", &kube::api::DeleteParams::default()).await.unwrap();
    let mut changed = api.get("m5").await.unwrap();
    changed.data = map("", &[("late", "yes")]).data;
    api.replace("m5", &PostParams::default(), &changed).await.unwrap();
    let mut late = map("m55", &[]);
    late.metadata.labels = Some(BTreeMap::from([("parity".to_owned(), "odd".to_owned())]));
    api.create(&PostParams::default(), &late).await.unwrap();
    let rest = ListParams::default().labels("parity").limit(10).continue_token(&token);
    let second = api.list(&rest).await.unwrap();
    assert_eq!(names(&second), ["m3", "m4", "m5", "m6"]);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    assert!(second.items[2].data.as_ref().is_none_or(BTreeMap::is_empty), "as it was at the first page");
    assert!(second.metadata.continue_.as_deref().is_none_or(str::is_empty));
    assert_eq!(
        found(&api, ListParams::default().labels("parity")).await,
        ["m0", "m1", "m2", "m3", "m5", "m55", "m6"]
    );
}

#[tokio::test]
async fn a_page_says_how_many_remain() {
    let place = place().await;
    let api = seven(&place).await;
    let all = api.list(&ListParams::default()).await.unwrap().items.len();
    let mut token: Option<String> = None;
    let mut seen = 0;
    loop {
        let mut params = ListParams::default().limit(2);
        params.continue_token = token.take();
        let page = api.list(&params).await.unwrap();
        seen += page.items.len();
        let remaining = usize::try_from(page.metadata.remaining_item_count.unwrap_or(0)).unwrap();
        assert_eq!(remaining, all - seen);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(next) => token = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn a_broken_token_is_a_bad_request() {
    let place = place().await;
    let api = seven(&place).await;
    let status = refused(api.list(&ListParams::default().limit(2).continue_token("nonsense")).await);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
}

#[tokio::test]
async fn a_list_can_be_of_an_exact_revision() {
    let place = place().await;
    let api = seven(&place).await;
    let before = api.list(&ListParams::default().labels("parity")).await.unwrap();
    let revision = before.metadata.resource_version.clone().unwrap();
    api.delete("m0", &kube::api::DeleteParams::default()).await.unwrap();
    let mut exact = ListParams::default().labels("parity").at(&revision).matching(VersionMatch::Exact);
    exact.limit = Some(100);
    assert_eq!(found(&api, exact).await.len(), 7);
    let newer = ListParams::default().labels("parity").at(&revision).matching(VersionMatch::NotOlderThan);
    assert_eq!(found(&api, newer).await.len(), 6);
}

#[tokio::test]
async fn the_revision_of_a_list_is_not_constant() {
    let place = place().await;
    let api = seven(&place).await;
    let before = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &map("more", &[])).await.unwrap();
    let after = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_watcher_pages_through_many_objects() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let creations = (0..60).map(|number| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &map(&format!("n{number:02}"), &[])).await.map(drop) }
    });
    futures::stream::iter(creations).buffer_unordered(16).try_collect::<()>().await.unwrap();
    let stream = watcher(api, watcher::Config::default().page_size(7));
    let mut stream = std::pin::pin!(stream);
    let mut seen = std::collections::BTreeSet::new();
    loop {
        match stream.next().await.unwrap().unwrap() {
            watcher::Event::InitApply(object) => drop(seen.insert(object.metadata.name.unwrap())),
            watcher::Event::InitDone => break,
            _ => {}
        }
    }
    seen.remove("kube-root-ca.crt");
    assert_eq!(seen.len(), 60);
}
