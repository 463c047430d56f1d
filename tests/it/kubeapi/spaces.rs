//! Namespaces: the ones that are always there, and how one ends.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::json;

use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::kubeapi::refused;
use crate::support::eventually;

#[tokio::test]
async fn the_default_namespaces_are_there_and_stay() {
    let place = place().await;
    let api: Api<Namespace> = Api::all(place.client.clone());
    for name in ["default", "kube-system"] {
        let found = api.get(name).await.unwrap();
        assert_eq!(found.status.unwrap().phase.as_deref(), Some("Active"));
        assert_eq!(found.metadata.labels.unwrap()["kubernetes.io/metadata.name"], name);
        let status = refused(api.delete(name, &DeleteParams::default()).await);
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    }
}

#[tokio::test]
async fn a_deleted_namespace_ends_when_it_is_empty() {
    let place = place().await;
    let spaces: Api<Namespace> = Api::all(place.client.clone());
    let maps: Api<ConfigMap> = place.api();
    let mut held = map("held", &[]);
    held.metadata.finalizers = Some(vec!["kakehi.dev/hold".to_owned()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    maps.create(&PostParams::default(), &map("free", &[])).await.unwrap();
    spaces.delete(&place.namespace, &DeleteParams::default()).await.unwrap();
    let ending = spaces.get(&place.namespace).await.expect("something holds it");
    assert_eq!(ending.status.unwrap().phase.as_deref(), Some("Terminating"));
    let status = refused(maps.create(&PostParams::default(), &map("late", &[])).await);
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(status.details.unwrap().causes[0].reason, "NamespaceTerminating");
    eventually("the content is deleted", async || match maps.get_opt("free").await {
        Ok(None) => Ok(()),
        other => Err(other.map(|found| found.is_some())),
    })
    .await;
    eventually("what is held is asked to end", async || {
        let held = maps.get("held").await.map_err(Some)?;
        held.metadata.deletion_timestamp.map(drop).ok_or(None::<kube::Error>)
    })
    .await;
    let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &off).await.unwrap();
    eventually("the namespace is gone", async || match spaces.get_opt(&place.namespace).await {
        Ok(None) => Ok(()),
        other => Err(other.map(|found| found.is_some())),
    })
    .await;
}
