//! What only our own server promises: an orderly end, data that outlives it, refusals when the disk does not answer.

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kakehi::local::store;
use kakehi::local::store::Store;
use kube::Api;
use kube::api::ListParams;
use kube::api::ObjectMeta;
use kube::api::PostParams;
use kube::api::WatchParams;

use crate::support::DEADLINE;
use crate::support::local;

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn watches_end_with_the_server() {
    let cluster = local::cluster();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    let since = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let watch = api.watch(&WatchParams::default(), &since).await.unwrap().boxed();
    drop(cluster);
    let rest = tokio::time::timeout(DEADLINE, watch.collect::<Vec<_>>()).await;
    assert!(rest.expect("a graceful end does not wait for watches").is_empty());
}

#[tokio::test]
async fn a_restart_keeps_objects_and_their_revisions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let open = || local::over(Store::open(store::Options::file(&path)).unwrap());
    let cluster = open();
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    let created = api.create(&PostParams::default(), &map("a")).await.unwrap();
    let revision = api.list(&ListParams::default()).await.unwrap().metadata.resource_version;
    drop((api, cluster));
    // The background task lets go of the store a moment after the client has gone.
    let cluster = crate::support::eventually("the file is free", async || {
        Store::open(store::Options::file(&path)).map(local::over)
    })
    .await;
    let api: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    assert_eq!(api.get("a").await.unwrap(), created);
    let after = api.list(&ListParams::default()).await.unwrap().metadata.resource_version;
    assert_eq!(after, revision, "a start writes nothing that is there already");
    let mut watch = api.watch(&WatchParams::default(), &revision.unwrap()).await.unwrap().boxed();
    api.create(&PostParams::default(), &map("b")).await.unwrap();
    let event = tokio::time::timeout(DEADLINE, watch.next()).await.unwrap().unwrap().unwrap();
    assert!(
        matches!(event, kube::api::WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("b"))
    );
}
