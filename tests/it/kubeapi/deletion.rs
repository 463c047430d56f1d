//! Deletion: preconditions, finalizers, policies, collections.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::api::Preconditions;
use kube::api::PropagationPolicy;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::Event;
use kube::runtime::finalizer::finalizer;
use serde_json::json;

use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::kubeapi::refused;

const HOLD: &str = "kakehi.dev/hold";

async fn held(api: &Api<ConfigMap>, name: &str) -> ConfigMap {
    let mut object = map(name, &[]);
    object.metadata.finalizers = Some(vec![HOLD.to_owned()]);
    api.create(&PostParams::default(), &object).await.unwrap()
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_the_answer_is_a_status() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let answer = api.delete("a", &DeleteParams::default()).await.unwrap();
    let status = answer.right().expect("nothing held it, so there is no object to answer with");
    assert_eq!(status.status, Some(kube::core::response::StatusSummary::Success));
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("a", "configmaps"));
    assert_eq!(Some(details.uid), created.metadata.uid);
    assert_eq!(refused(api.get("a").await).code, 404);
    assert_eq!(refused(api.delete("a", &DeleteParams::default()).await).code, 404);
}

#[tokio::test]
async fn preconditions_are_checked() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let on = |uid: Option<&str>, version: Option<&str>| DeleteParams {
        preconditions: Some(Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    let wrong = refused(api.delete("a", &on(Some("00000000-0000-4000-8000-000000000000"), None)).await);
    assert_eq!((wrong.code, wrong.reason.as_str()), (409, "Conflict"));
    assert!(wrong.message.contains("ConfigMap \"a\": the UID in the precondition"), "{}", wrong.message);
    let patch = Patch::Merge(json!({"data": {"k": "v"}}));
    api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    let stale = refused(api.delete("a", &on(None, created.metadata.resource_version.as_deref())).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    assert!(stale.message.contains("the ResourceVersion in the precondition"), "{}", stale.message);
    let current = api.get("a").await.unwrap().metadata;
    api.delete("a", &on(current.uid.as_deref(), current.resource_version.as_deref())).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    held(&api, "a").await;
    let answer = api.delete("a", &DeleteParams::default()).await.unwrap();
    let waiting = answer.left().expect("the object, not a status");
    assert!(waiting.metadata.deletion_timestamp.is_some());
    assert_eq!(waiting.metadata.deletion_grace_period_seconds, Some(0));
    let again = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("still there");
    assert_eq!(again.metadata.deletion_timestamp, waiting.metadata.deletion_timestamp);
    assert_eq!(again.metadata.resource_version, waiting.metadata.resource_version);
    let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("a", &PatchParams::default(), &off).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

/// kube's helper sends a JSON patch that tests a missing list for null.
#[tokio::test]
async fn the_finalizer_of_a_controller_is_added_and_removed_by_json_patches() {
    #[derive(Debug, thiserror::Error)]
    #[error("never")]
    struct Never;
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let round = async |object: ConfigMap| {
        let seen = std::sync::Mutex::new(None);
        let reconcile = async |event: Event<ConfigMap>| {
            *seen.lock().unwrap() = Some(matches!(event, Event::Cleanup(_)));
            Ok::<_, Never>(Action::await_change())
        };
        finalizer(&api, HOLD, Arc::new(object), reconcile).await.unwrap();
        seen.into_inner().unwrap()
    };
    round(created).await;
    let held = api.get("a").await.unwrap();
    assert_eq!(held.metadata.finalizers.as_deref(), Some(&[HOLD.to_owned()][..]));
    assert_eq!(round(held).await, Some(false), "it is applied");
    let ending = api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("held");
    assert_eq!(round(ending).await, Some(true), "it is cleaned up");
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn an_object_that_is_ending_takes_no_new_finalizer() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    held(&api, "a").await;
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let more = Patch::Merge(json!({"metadata": {"finalizers": [HOLD, "kakehi.dev/more"]}}));
    let status = refused(api.patch("a", &PatchParams::default(), &more).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(status.message.contains("no new finalizers can be added"), "{}", status.message);
    let change = Patch::Merge(json!({"data": {"k": "v"}}));
    api.patch("a", &PatchParams::default(), &change).await.expect("other changes are fine");
}

#[tokio::test]
async fn nobody_but_the_server_sets_a_deletion_time() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let mut object = map("a", &[]);
    object.metadata.finalizers = Some(vec![HOLD.to_owned()]);
    object.metadata.deletion_grace_period_seconds = Some(5);
    let created = api.create(&PostParams::default(), &object).await.unwrap();
    assert!(created.metadata.deletion_grace_period_seconds.is_none());
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut revived = api.get("a").await.unwrap();
    revived.metadata.deletion_timestamp = None;
    let replaced = api.replace("a", &PostParams::default(), &revived).await.unwrap();
    assert!(replaced.metadata.deletion_timestamp.is_some());
}

#[tokio::test]
async fn the_policy_becomes_a_finalizer_for_the_garbage_collector() {
    // No garbage collector of this test's server takes them off; on a cluster it may be quicker than the answer is read,
    // so only the answer is looked at.
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for (name, policy, finalizer) in [
        ("f", PropagationPolicy::Foreground, "foregroundDeletion"),
        ("o", PropagationPolicy::Orphan, "orphan"),
    ] {
        held(&api, name).await;
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        let waiting = api.delete(name, &params).await.unwrap().left().expect("held");
        let finalizers = waiting.metadata.finalizers.unwrap();
        assert_eq!(finalizers, [HOLD, finalizer]);
    }
    held(&api, "b").await;
    let waiting = api.delete("b", &DeleteParams::background()).await.unwrap().left().expect("held");
    assert_eq!(waiting.metadata.finalizers.unwrap(), [HOLD]);
}

#[tokio::test]
async fn a_job_that_is_deleted_without_a_policy_orphans_its_pods() {
    let place = place().await;
    let api: Api<Job> = place.api();
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": "j", "finalizers": [HOLD]},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}
    }))
    .unwrap();
    let created = api.create(&PostParams::default(), &job).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let waiting = api.delete("j", &DeleteParams::default()).await.unwrap().left().expect("held");
    assert!(waiting.metadata.finalizers.unwrap().contains(&"orphan".to_owned()));
    assert_eq!(waiting.metadata.generation, Some(2), "what is desired has changed: it shall end");
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut object = map(name, &[]);
        object.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let list = ListParams::default().labels("l=x");
    let dry = DeleteParams { dry_run: true, ..DeleteParams::default() };
    api.delete_collection(&dry, &list).await.unwrap();
    assert_eq!(api.list(&list).await.unwrap().items.len(), 2);
    api.delete_collection(&DeleteParams::default(), &list).await.unwrap();
    assert!(api.list(&list).await.unwrap().items.is_empty());
    assert!(api.get_opt("b").await.unwrap().is_some());
}
