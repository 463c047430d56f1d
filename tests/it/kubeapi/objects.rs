//! Creating, reading and replacing objects.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::api::ObjectMeta;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::json;

use crate::kubeapi::place;
use crate::kubeapi::refused;

pub(super) fn map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<String, String> =
        data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(data),
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn a_created_object_has_what_the_server_gives() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[("k", "v")])).await.unwrap();
    assert!(created.metadata.uid.as_deref().is_some_and(|uid| uid.len() == 36));
    assert!(created.metadata.creation_timestamp.is_some());
    assert!(created.metadata.resource_version.as_deref().is_some_and(|version| version != "0"));
    assert_eq!(created.metadata.namespace.as_deref(), Some(&*place.namespace));
    let found = api.get("a").await.unwrap();
    assert_eq!(found, created);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_a_404_that_names_it() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let status = refused(api.get("nothing").await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "configmaps \"nothing\" not found");
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("nothing", "configmaps"));
    assert!(api.get_opt("nothing").await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_creation_of_one_name_is_refused() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let status = refused(api.create(&PostParams::default(), &map("a", &[])).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(status.message, "configmaps \"a\" already exists");
}

#[tokio::test]
async fn of_eight_concurrent_creations_of_one_name_exactly_one_wins() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for round in 0..25 {
        let name = format!("race-{round}");
        let tries = (0..8).map(|writer| {
            let (api, name) = (api.clone(), name.clone());
            tokio::spawn(async move {
                api.create(&PostParams::default(), &map(&name, &[("writer", &writer.to_string())])).await
            })
        });
        let mut winners = Vec::new();
        for tried in futures::future::join_all(tries).await {
            match tried.unwrap() {
                Ok(created) => winners.push(created),
                lost => assert_eq!(refused(lost).reason, "AlreadyExists"),
            }
        }
        assert_eq!(winners.len(), 1, "{name}");
        assert_eq!(api.get(&name).await.unwrap(), winners[0]);
    }
}

#[tokio::test]
async fn a_generated_name_begins_as_asked_and_is_new_each_time() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let mut wanted = map("", &[]);
    wanted.metadata.name = None;
    wanted.metadata.generate_name = Some("batch-".to_owned());
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let created = api.create(&PostParams::default(), &wanted).await.unwrap();
        let name = created.metadata.name.unwrap();
        assert!(name.starts_with("batch-") && name.len() == "batch-".len() + 5, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 20);
}

#[tokio::test]
async fn an_object_without_any_name_is_invalid() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let mut nameless = map("", &[]);
    nameless.metadata.name = None;
    let status = refused(api.create(&PostParams::default(), &nameless).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(status.message.contains("name or generateName is required"), "{}", status.message);
}

#[tokio::test]
async fn names_that_cannot_be_in_a_path_are_invalid() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for name in ["a/b", "..", "A", "a b", "-a", "a%2fb", &"a".repeat(254)] {
        let status = refused(api.create(&PostParams::default(), &map(name, &[])).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{name}");
        assert_eq!(status.details.unwrap().causes[0].field, "metadata.name");
    }
}

#[tokio::test]
async fn nothing_can_be_created_in_a_namespace_that_is_not_there() {
    let place = place().await;
    let api: Api<ConfigMap> = Api::namespaced(place.client.clone(), "never-created");
    let status = refused(api.create(&PostParams::default(), &map("a", &[])).await);
    assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
    assert_eq!(status.message, "namespaces \"never-created\" not found");
    assert!(api.list(&ListParams::default()).await.unwrap().items.is_empty(), "listing one is no error");
}

#[tokio::test]
async fn a_replacement_of_an_old_state_is_a_conflict() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let first = api.create(&PostParams::default(), &map("a", &[("n", "1")])).await.unwrap();
    let mut second = first.clone();
    second.data = map("a", &[("n", "2")]).data;
    let second = api.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_ne!(second.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(second.metadata.uid, first.metadata.uid);
    let status = refused(api.replace("a", &PostParams::default(), &first).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(status.message.contains("the object has been modified"), "{}", status.message);
}

#[tokio::test]
async fn a_replacement_that_changes_nothing_is_no_new_version() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let first = api.create(&PostParams::default(), &map("a", &[("n", "1")])).await.unwrap();
    let same = api.replace("a", &PostParams::default(), &first).await.unwrap();
    assert_eq!(same.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn a_replacement_for_another_uid_is_a_conflict() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let mut object = api.create(&PostParams::default(), &map("a", &[("n", "1")])).await.unwrap();
    object.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    let status = refused(api.replace("a", &PostParams::default(), &object).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
}

#[tokio::test]
async fn concurrent_patches_all_land() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let patches = (0..8).map(|writer| {
        let api = api.clone();
        let patch = json!({"data": {format!("k{writer}"): "v"}});
        tokio::spawn(async move { api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await })
    });
    for patched in futures::future::join_all(patches).await {
        patched.unwrap().unwrap();
    }
    assert_eq!(api.get("a").await.unwrap().data.unwrap().len(), 8);
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_stores_nothing() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let answered = api.create(&dry, &map("a", &[("k", "v")])).await.unwrap();
    assert!(answered.metadata.uid.is_some());
    assert!(api.get_opt("a").await.unwrap().is_none());
    let created = api.create(&PostParams::default(), &map("a", &[("k", "v")])).await.unwrap();
    assert_eq!(refused(api.create(&dry, &map("a", &[])).await).reason, "AlreadyExists");
    let mut changed = created.clone();
    changed.data = map("a", &[("k", "w")]).data;
    let answered = api.replace("a", &dry, &changed).await.unwrap();
    assert_eq!(answered.data, changed.data);
    assert_eq!(api.get("a").await.unwrap(), created);
    let patch = Patch::Merge(json!({"data": {"k": "x"}}));
    let answered =
        api.patch("a", &PatchParams { dry_run: true, ..PatchParams::default() }, &patch).await.unwrap();
    assert_eq!(answered.data.unwrap()["k"], "x");
    assert_eq!(api.get("a").await.unwrap(), created);
    let delete = kube::api::DeleteParams { dry_run: true, ..kube::api::DeleteParams::default() };
    api.delete("a", &delete).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), created);
}
