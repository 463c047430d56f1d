//! Garbage collection by owner references.

use super::*;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

/// A kind to own and be owned.
type Map = ConfigMap;

struct Garden {
    field: Field,
    maps: Api<Map>,
}

/// What an owner reference says besides its owner.
fn owned_by(owner: &Map) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: owner.name_any(),
        uid: owner.uid().expect("stored"),
        block_owner_deletion: Some(true),
        controller: None,
    }
}

impl Garden {
    async fn new() -> Self {
        let field = Field::new().await;
        let maps = field.place.api();
        Self { field, maps }
    }

    async fn plant(&self, name: &str, owners: Vec<OwnerReference>) -> Map {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        };
        let map = Map { metadata, ..Map::default() };
        self.maps.create(&PostParams::default(), &map).await.expect("it can be created")
    }

    async fn until_gone(&self, name: &str) {
        let look = async || self.maps.get_opt(name).await.expect("the API answers").map_or(Ok(()), Err);
        eventually(&format!("{name} is gone"), look).await;
    }

    async fn exists(&self, name: &str) -> bool {
        self.maps.get_opt(name).await.expect("the API answers").is_some()
    }

    /// The collector has seen all that happened before: it deletes a dependent that was created after it.
    async fn settled(&self) {
        let owner = self.plant("settled", Vec::new()).await;
        self.maps.delete("settled", &DeleteParams::default()).await.expect("it exists");
        self.plant("settling", vec![owned_by(&owner)]).await;
        self.until_gone("settling").await;
    }

    async fn finalize(&self, name: &str, finalizers: &[&str]) {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        self.maps.patch(name, &PatchParams::default(), &patch).await.expect("it can change");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependents_follow_their_owner_in_the_background() {
    let garden = Garden::new().await;
    let root = garden.plant("root", Vec::new()).await;
    let child = garden.plant("child", vec![owned_by(&root)]).await;
    garden.plant("grandchild", vec![owned_by(&child)]).await;
    garden.plant("stranger", Vec::new()).await;
    garden.maps.delete("root", &DeleteParams::background()).await.expect("it exists");
    for name in ["root", "child", "grandchild"] {
        garden.until_gone(name).await;
    }
    assert!(garden.exists("stranger").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependent_lives_as_long_as_one_of_its_owners() {
    let garden = Garden::new().await;
    let (one, two) = (garden.plant("one", Vec::new()).await, garden.plant("two", Vec::new()).await);
    garden.plant("child", vec![owned_by(&one), owned_by(&two)]).await;
    garden.maps.delete("one", &DeleteParams::background()).await.expect("it exists");
    let freed = async || {
        let owners = garden
            .maps
            .get("child")
            .await
            .expect("two still owns it")
            .metadata
            .owner_references
            .unwrap_or_default();
        let left: Vec<String> = owners.into_iter().map(|owner| owner.name).collect();
        if left == ["two"] { Ok(()) } else { Err(left) }
    };
    eventually("the dangling reference is removed", freed).await;
    garden.maps.delete("two", &DeleteParams::background()).await.expect("it exists");
    garden.until_gone("child").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreground_deletion_waits_for_the_dependents_that_block_it() {
    let garden = Garden::new().await;
    let root = garden.plant("root", Vec::new()).await;
    let child = garden.plant("child", vec![owned_by(&root)]).await;
    garden.plant("grandchild", vec![owned_by(&child)]).await;
    garden.plant("loose", vec![OwnerReference { block_owner_deletion: None, ..owned_by(&root) }]).await;
    garden.finalize("grandchild", &["example.com/hold"]).await;
    garden.settled().await;
    garden.maps.delete("root", &DeleteParams::foreground()).await.expect("it exists");
    garden.until_gone("loose").await;
    let leaving = async || {
        let child = garden.maps.get("grandchild").await.expect("it is held");
        child.metadata.deletion_timestamp.map(|_| ()).ok_or("not yet deleted")
    };
    eventually("the deletion reaches the grandchild", leaving).await;
    garden.settled().await;
    assert!(garden.exists("root").await && garden.exists("child").await, "each waits for what it owns");
    garden.finalize("grandchild", &[]).await;
    for name in ["grandchild", "child", "root"] {
        garden.until_gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_own_each_other_can_still_be_deleted() {
    let garden = Garden::new().await;
    let one = garden.plant("one", Vec::new()).await;
    let two = garden.plant("two", vec![owned_by(&one)]).await;
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [owned_by(&two)]}}));
    garden.maps.patch("one", &PatchParams::default(), &patch).await.expect("it can change");
    garden.settled().await;
    garden.maps.delete("one", &DeleteParams::foreground()).await.expect("it exists");
    garden.until_gone("one").await;
    garden.until_gone("two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_dependents_stay_and_forget_their_owner() {
    let garden = Garden::new().await;
    let root = garden.plant("root", Vec::new()).await;
    garden.plant("child", vec![owned_by(&root)]).await;
    garden.maps.delete("root", &DeleteParams::orphan()).await.expect("it exists");
    garden.until_gone("root").await;
    let child = garden.maps.get("child").await.expect("it stays");
    assert_eq!(child.metadata.owner_references.unwrap_or_default(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_known_by_uid_kind_and_name() {
    let garden = Garden::new().await;
    let root = garden.plant("root", Vec::new()).await;
    for (name, owner) in [
        (
            "other-uid",
            OwnerReference { uid: "0e2b6f1d-0000-4000-8000-000000000000".to_owned(), ..owned_by(&root) },
        ),
        ("other-name", OwnerReference { name: "rot".to_owned(), ..owned_by(&root) }),
        ("other-kind", OwnerReference { kind: "Secret".to_owned(), ..owned_by(&root) }),
    ] {
        garden.plant(name, vec![owner]).await;
        garden.until_gone(name).await;
    }
    for (name, owner) in [
        (
            "unserved",
            OwnerReference {
                kind: "Dream".to_owned(),
                api_version: "example.com/v1".to_owned(),
                ..owned_by(&root)
            },
        ),
        ("served", owned_by(&root)),
    ] {
        garden.plant(name, vec![owner]).await;
    }
    garden.settled().await;
    assert!(garden.exists("unserved").await && garden.exists("served").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_the_cluster_may_own_what_is_in_a_namespace() {
    let garden = Garden::new().await;
    let namespaces: Api<Namespace> = Api::all(garden.field.client());
    let owner = namespaces.get(&garden.field.place.namespace).await.expect("it exists");
    garden.plant("child", vec![owner.owner_ref(&()).expect("stored")]).await;
    garden.settled().await;
    assert!(garden.exists("child").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_owner_while_nobody_watched_is_collected_at_the_start() {
    if cluster::differs(
        "workload::garbage::what_lost_its_owner_while_nobody_watched_is_collected_at_the_start",
    ) {
        return;
    }
    let mut garden = Garden::new().await;
    garden.field.shutdown.cancel();
    (&mut garden.field.controllers).await.expect("they end cleanly");
    let root = garden.plant("root", Vec::new()).await;
    garden.plant("child", vec![owned_by(&root)]).await;
    garden.maps.delete("root", &DeleteParams::background()).await.expect("it exists");
    assert!(garden.exists("child").await);
    (garden.field.shutdown, garden.field.controllers) = start(garden.field.client(), options());
    garden.until_gone("child").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pods_of_a_job_go_with_it() {
    let field = Field::new().await;
    for (name, params) in [("back", DeleteParams::background()), ("fore", DeleteParams::foreground())] {
        field.job(name, "completionMode: Indexed, completions: 3, parallelism: 3").await;
        let pods = field.until_active(name, &[0, 1, 2]).await;
        field.succeed(&pods[0]).await;
        field.jobs().delete(name, &params).await.expect("it exists");
        let look = async || {
            let (job, pods) =
                (field.jobs().get_opt(name).await.expect("the API answers"), field.all(name).await);
            if job.is_none() && pods.is_empty() { Ok(()) } else { Err((job.is_some(), pods.len())) }
        };
        eventually(name, look).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_pod_of_a_job_goes_on_without_finalizer() {
    let field = Field::new().await;
    field.job("j", "completionMode: Indexed, completions: 1").await;
    let pods = field.until_active("j", &[0]).await;
    field.jobs().delete("j", &DeleteParams::orphan()).await.expect("it exists");
    let free = async || {
        let pod = field.pods().get(&pods[0].name_any()).await.expect("it stays");
        if !tracked(&pod) && pod.metadata.owner_references.is_none_or(|owners| owners.is_empty()) {
            Ok(())
        } else {
            Err(pod.metadata.finalizers)
        }
    };
    eventually("the pod is free", free).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_is_deleted_with_its_pods_when_its_time_is_up() {
    let field = Field::new().await;
    field.job("j", "completionMode: Indexed, completions: 1, ttlSecondsAfterFinished: 1").await;
    let pods = field.until_active("j", &[0]).await;
    field.succeed(&pods[0]).await;
    let look = async || {
        let (job, pods) = (field.jobs().get_opt("j").await.expect("the API answers"), field.all("j").await);
        if job.is_none() && pods.is_empty() { Ok(()) } else { Err((job.is_some(), pods.len())) }
    };
    eventually("the job is gone", look).await;
}
