//! What the chart's service accounts may do on a real API server: enough, which a whole run shows, and nothing else, which
//! asking about everything that the API server has shows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kakehi::api::{Execution, Job, Trigger};
use kakehi::controllers;
use kakehi::ops;
use kakehi::plan::Phase;
use kakehi::sink;
use kakehi::sink::Sink;
use kakehi::triggers::Triggers;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::client::Body;
use kube::discovery::{ApiGroup, Discovery, verbs};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::cluster::Installed;
use super::{DEFAULT, EVERYTHING, WATCHED};
use crate::runs::{House, assert_completed, completed};
use crate::sink::event;
use crate::support::{DEADLINE, cluster, eventually};

/// A right: verb, resource with its group, and where: everywhere, or in one namespace.
type Right = (String, String);

/// Questions that are asked at a time.
const QUESTIONS: usize = 32;

/// What a role may do in every namespace, or in the one that it looks after, one resource a line.
const NEEDED: [(&str, &[(&str, &str)]); 2] = [
    (
        "sink",
        &[
            ("jobs.run.kakehi.dev", "get list watch"),
            ("triggers.run.kakehi.dev", "list watch"),
            ("executions.run.kakehi.dev", "create get list watch"),
            // Of one namespace, only `get`.
            ("namespaces", "get list watch"),
        ],
    ),
    (
        "controller",
        &[
            ("jobs.run.kakehi.dev", "get list watch"),
            // To read what is addressable, as Knative's roles say; here the chart's own.
            ("jobs/status.run.kakehi.dev", "get list watch patch"),
            ("triggers.run.kakehi.dev", "list watch"),
            ("triggers/status.run.kakehi.dev", "patch"),
            ("executions.run.kakehi.dev", "get list watch delete"),
            ("executions/status.run.kakehi.dev", "patch"),
            ("configmaps", "create get"),
            ("jobs.batch", "create get list watch patch"),
            ("pods", "list watch"),
            ("events.events.k8s.io", "create"),
            ("events", "list"),
            ("namespaces", "get"),
        ],
    ),
];

/// A question to the API server's authorizers.
fn review(
    user: &str,
    namespace: Option<&str>,
    verb: &str,
    resource: &str,
    name: Option<&str>,
) -> SubjectAccessReview {
    let (path, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (resource, subresource) = path.split_once('/').unwrap_or((path, ""));
    let some = |word: &str| Some(word.to_owned()).filter(|word| !word.is_empty());
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some(account) = user.strip_prefix("system:serviceaccount:") {
        let (home, _) = account.split_once(':').unwrap();
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{home}")]);
    }
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: some(user),
            groups: Some(groups),
            resource_attributes: Some(ResourceAttributes {
                group: some(group),
                resource: some(resource),
                subresource: some(subresource),
                namespace: namespace.map(str::to_owned),
                verb: some(verb),
                name: name.map(str::to_owned),
                version: some("*"),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

async fn ask(client: &Client, review: SubjectAccessReview) -> bool {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

/// Every resource and subresource that the API server has, with its group.
async fn resources(client: &Client) -> BTreeSet<String> {
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let mut found = BTreeSet::new();
    for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
        let named = |path: &str| match resource.group.as_str() {
            "" => path.to_owned(),
            group => format!("{path}.{group}"),
        };
        found.insert(named(&resource.plural));
        for (below, _) in capabilities.subresources {
            found.insert(named(&format!("{}/{}", resource.plural, below.plural)));
        }
    }
    for wanted in [
        "secrets",
        "pods/exec",
        "pods/log",
        "nodes",
        "jobs/status.run.kakehi.dev",
        "leases.coordination.k8s.io",
    ] {
        assert!(found.contains(wanted), "{wanted} is not among {found:?}");
    }
    found
}

/// All that an account may do in that namespace, or in all of them, of everything that there is.
async fn rights(
    client: &Client,
    resources: &BTreeSet<String>,
    user: &str,
    namespace: Option<&str>,
) -> BTreeSet<Right> {
    let asked = [
        verbs::GET,
        verbs::LIST,
        verbs::WATCH,
        verbs::CREATE,
        verbs::UPDATE,
        verbs::PATCH,
        verbs::DELETE,
        verbs::DELETE_COLLECTION,
    ];
    let questions = resources.iter().flat_map(|resource| asked.map(|verb| (verb, resource)));
    let answers = stream::iter(questions).map(|(verb, resource)| async move {
        let allowed = ask(client, review(user, namespace, verb, resource, None)).await;
        allowed.then(|| (verb.to_owned(), resource.clone()))
    });
    answers.buffer_unordered(QUESTIONS).filter_map(std::future::ready).collect().await
}

fn listed(table: &[(&str, &str)]) -> BTreeSet<Right> {
    let right = |(resource, verbs): &(&str, &str)| {
        verbs.split(' ').map(|verb| (verb.to_owned(), (*resource).to_owned())).collect::<Vec<_>>()
    };
    table.iter().flat_map(right).collect()
}

/// Asks for every right of both roles in these places, each with whether the role does its work there.
async fn have_no_other_rights(installed: &Installed, places: &[(Option<&str>, bool)]) {
    let Installed { client, namespace, .. } = installed;
    let resources = resources(client).await;
    let anybody = format!("system:serviceaccount:{namespace}:default");
    let work = places.iter().find(|(_, works)| *works).unwrap().0;
    let everywhere = places.contains(&(None, true));
    for (role, _) in NEEDED {
        let user = installed.account(role);
        let lease = || review(&user, Some(namespace), "create", "leases.coordination.k8s.io", None);
        let jobs = || review(&user, work, "list", "jobs.run.kakehi.dev", None);
        let addressables = || review(&user, work, "watch", "jobs/status.run.kakehi.dev", None);
        let known = async || {
            let controls = async || ask(client, lease()).await && ask(client, addressables()).await;
            ask(client, jobs()).await && (role == "sink" || controls().await)
        };
        eventually("the roles are known", async || known().await.then_some(()).ok_or("not yet")).await;
    }
    for (place, works) in places {
        let common = rights(client, &resources, &anybody, *place).await;
        for (role, table) in NEEDED {
            let found = rights(client, &resources, &installed.account(role), *place).await;
            let found: BTreeSet<Right> = found.difference(&common).cloned().collect();
            let mut wanted = if *works { listed(table) } else { BTreeSet::new() };
            if !everywhere {
                wanted.retain(|(verb, resource)| resource != "namespaces" || verb == "get");
            }
            if *place == Some(namespace) && role == "controller" {
                wanted.insert(("create".to_owned(), "leases.coordination.k8s.io".to_owned()));
            }
            assert_eq!(found, wanted, "{role} in {place:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_63_each_account_may_do_what_its_role_does_and_nothing_else() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    have_no_other_rights(&installed, &[(None, true), (Some(&installed.namespace), true)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_63_of_one_namespace_each_account_has_rights_in_it_alone() {
    if !cluster::is_real() {
        return;
    }
    let watched = cluster::place().await;
    let Some(installed) = Installed::watching(WATCHED, Some(&watched.namespace)).await else { return };
    let places = [
        (None, false),
        (Some(watched.namespace.as_str()), true),
        (Some(installed.namespace.as_str()), false),
        (Some("default"), false),
    ];
    have_no_other_rights(&installed, &places).await;
}

/// Whether a run may use an account is asked only where that is wanted, and nothing more may be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_asks_for_grants_may_ask_and_do_nothing_else_of_it() {
    let Some(installed) = Installed::of(EVERYTHING).await else { return };
    let Installed { client, namespace, .. } = &installed;
    let user = format!("system:serviceaccount:{namespace}:existing");
    for (verb, resource, allowed) in [
        ("create", "subjectaccessreviews.authorization.k8s.io", true),
        ("create", "tokenreviews.authentication.k8s.io", false),
        ("create", "rolebindings.rbac.authorization.k8s.io", false),
        ("use", "serviceaccounts", false),
    ] {
        let question = || review(&user, None, verb, resource, None);
        let what = format!("{verb} {resource}: {allowed}");
        eventually(&what, async || (ask(client, question()).await == allowed).then_some(()).ok_or("not so"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_rights_are_as_narrow_as_they_can_be() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    let Installed { client, namespace, .. } = &installed;
    let own = Some(namespace.as_str());
    let lease = "leases.coordination.k8s.io";
    for (role, place, verb, resource, name, allowed) in [
        ("controller", own, "get", lease, Some("kakehi-controller"), true),
        ("controller", own, "update", lease, Some("kakehi-controller"), true),
        ("controller", own, "delete", lease, Some("kakehi-controller"), false),
        ("controller", own, "get", lease, Some("other"), false),
        ("controller", Some("kube-system"), "update", lease, Some("kakehi-controller"), false),
        ("controller", Some("default"), "update", "executions/finalizers.run.kakehi.dev", Some("any"), true),
        ("controller", own, "get", "secrets", Some("any"), false),
        ("controller", own, "create", "pods", None, false),
        ("controller", own, "create", "pods/exec", Some("any"), false),
        ("controller", own, "create", "serviceaccounts/token", Some("kakehi-sink"), false),
        ("controller", None, "create", "clusterrolebindings.rbac.authorization.k8s.io", None, false),
        ("controller", None, "impersonate", "users", Some("admin"), false),
        ("controller", own, "delete", "jobs.batch", Some("any"), false),
        ("sink", Some("default"), "update", "jobs/finalizers.run.kakehi.dev", Some("any"), true),
        ("sink", Some("default"), "update", "jobs.run.kakehi.dev", Some("any"), false),
        ("sink", own, "get", lease, Some("kakehi-controller"), false),
        ("sink", own, "delete", "executions.run.kakehi.dev", Some("any"), false),
        ("sink", own, "patch", "executions.run.kakehi.dev", Some("any"), false),
        ("sink", own, "create", "jobs.batch", None, false),
        ("sink", own, "get", "secrets", Some("any"), false),
        ("sink", None, "list", "secrets", None, false),
        ("sink", None, "list", "nodes", None, false),
    ] {
        let user = installed.account(role);
        let question = || review(&user, place, verb, resource, name);
        let what = format!("{role} {verb} {resource} {name:?} in {place:?}: {allowed}");
        eventually(&what, async || (ask(client, question()).await == allowed).then_some(()).ok_or("not so"))
            .await;
    }
}

/// Objects without a namespace that go with the one of the test.
fn owned<K: kube::Resource>(mut object: K, name: String, owner: &Namespace) -> K {
    object.meta_mut().name = Some(name);
    object.meta_mut().owner_references = Some(vec![owner.owner_ref(&()).unwrap()]);
    object
}

/// Row 3 of the checklist: Knative's `addressable-resolver` is a role that aggregates by this label, and its controller has it.
#[tokio::test(flavor = "multi_thread")]
async fn row_3_knatives_controller_may_follow_jobs() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    let Installed { client, namespace, .. } = &installed;
    let owner = Api::<Namespace>::all(client.clone()).get(namespace).await.unwrap();
    let resolver: ClusterRole = serde_json::from_value(json!({
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"duck.knative.dev/addressable": "true"}}]},
        "rules": [],
    }))
    .unwrap();
    let name = format!("{namespace}:addressable-resolver");
    let resolver = owned(resolver, name.clone(), &owner);
    Api::all(client.clone()).create(&PostParams::default(), &resolver).await.unwrap();
    let user = "system:serviceaccount:knative-eventing:eventing-controller";
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "eventing-controller", "namespace": "knative-eventing"}],
    }))
    .unwrap();
    let binding = owned(binding, name, &owner);
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    for resource in ["jobs.run.kakehi.dev", "jobs/status.run.kakehi.dev"] {
        for verb in ["get", "list", "watch"] {
            let question = || review(user, None, verb, resource, None);
            let what = format!("{verb} {resource}");
            eventually(&what, async || ask(client, question()).await.then_some(()).ok_or("denied")).await;
        }
    }
    for (verb, resource) in [("create", "jobs.run.kakehi.dev"), ("list", "executions.run.kakehi.dev")] {
        assert!(!ask(client, review(user, None, verb, resource, None)).await, "{verb} {resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_with_the_clusters_own_roles_have_our_kinds_in_them() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    let Installed { client, namespace, .. } = &installed;
    for role in ["view", "edit", "admin"] {
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("{namespace}-{role}")}],
        }))
        .unwrap();
        Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &binding).await.unwrap();
    }
    let own = Some(namespace.as_str());
    for (role, verb, resource, allowed) in [
        ("view", "list", "jobs.run.kakehi.dev", true),
        ("view", "get", "executions/status.run.kakehi.dev", true),
        ("view", "create", "executions.run.kakehi.dev", false),
        ("edit", "watch", "triggers.run.kakehi.dev", true),
        ("edit", "create", "jobs.run.kakehi.dev", true),
        ("edit", "patch", "executions.run.kakehi.dev", true),
        ("edit", "patch", "executions/status.run.kakehi.dev", false),
        ("admin", "deletecollection", "executions.run.kakehi.dev", true),
        ("admin", "patch", "executions/status.run.kakehi.dev", true),
    ] {
        let user = format!("{namespace}-{role}");
        let question = |place| review(&user, place, verb, resource, None);
        let what = format!("{role} {verb} {resource}: {allowed}");
        eventually(&what, async || {
            (ask(client, question(own)).await == allowed).then_some(()).ok_or("not so")
        })
        .await;
        assert!(!ask(client, question(Some("default"))).await, "{what}, but elsewhere");
    }
}

/// A client and the list of what it was refused.
fn observed(client: &Client) -> (Client, Arc<Mutex<Vec<String>>>) {
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, beyond) = (refused.clone(), client.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, beyond) = (seen.clone(), beyond.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let response: Response<Body> = beyond.send(request).await?;
            if [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&response.status()) {
                seen.lock().unwrap().push(line);
            }
            Ok::<_, kube::Error>(response)
        }
    });
    (Client::new(service, client.default_namespace()), refused)
}

/// Our controllers as the chart's service account, in the namespace of the house.
struct Controllers {
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Controllers {
    fn start(client: &Client, namespace: &str, clock: controllers::Clock) -> Self {
        let shutdown = CancellationToken::new();
        let options = controllers::Options {
            sink_url: "http://sink.example".to_owned(),
            namespace: Some(namespace.to_owned()),
            ..controllers::Options::default()
        };
        let running = controllers::run_by(clock, client.clone(), options, shutdown.clone());
        Self { shutdown, running: tokio::spawn(running) }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.running).await.expect("they end").unwrap();
    }
}

/// Two hours ahead: what has ended is old enough to be forgotten.
fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(2)
}

/// A sink and the triggers that it needs, for that namespace or for all.
fn receiver(client: &Client, watched: Option<&str>, shutdown: CancellationToken) -> Sink {
    let triggers = Triggers::new(client.clone());
    let triggers = if let Some(namespace) = watched { triggers.within(namespace) } else { triggers };
    let sink = Sink::new(client.clone(), triggers.clone(), sink::Options::default(), shutdown.clone());
    tokio::spawn(async move { triggers.run(shutdown).await });
    sink
}

/// Waits until the Job and the Trigger of the scenario say so.
async fn are_ready(house: &House) {
    eventually("both are ready", async || {
        let job = serde_json::to_value(house.api::<Job>().get("work").await.unwrap().status).unwrap();
        let trigger =
            serde_json::to_value(house.api::<Trigger>().get("orders").await.unwrap().status).unwrap();
        let ready = |status: &Value| status["conditions"][0]["status"] == "True";
        if ready(&job) && ready(&trigger) && job["address"]["url"].is_string() {
            Ok(())
        } else {
            Err((job, trigger))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_of_a_runs_life_needs_no_other_right() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    live_a_runs_life(&installed, House::without_controllers().await, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_namespace_the_whole_of_a_runs_life_needs_no_right_elsewhere() {
    if !cluster::is_real() {
        return;
    }
    let house = House::without_controllers().await;
    let namespace = house.namespace.clone();
    let Some(installed) = Installed::watching(WATCHED, Some(&namespace)).await else { return };
    live_a_runs_life(&installed, house, Some(&namespace)).await;
}

/// Everything that can happen to a run, with the rights of the chart's accounts.
async fn live_a_runs_life(installed: &Installed, house: House, watched: Option<&str>) {
    let (receiving, refused_sink) = observed(&installed.client_of("sink").await);
    let (controlling, refused_controller) = observed(&installed.client_of("controller").await);
    let controllers = Controllers::start(&controlling, &house.namespace, Timestamp::now);
    let shutdown = CancellationToken::new();
    let _end = shutdown.clone().drop_guard();
    let sink = receiver(&receiving, watched, shutdown);

    house.job("work", "test \"$CE_ID\" != slow || exec sleep 600", "{}").await;
    let trigger: Trigger = serde_json::from_value(json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "orders"},
        "spec": {"filters": [{"exact": {"type": "com.example.order"}}], "job": {"name": "work"}},
    }))
    .unwrap();
    house.api().create(&PostParams::default(), &trigger).await.unwrap();
    let post = async |path: String, id: &str| {
        let response = sink.router().oneshot(event(&path, id)).await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    };
    let space = format!("/namespaces/{}", house.namespace);
    let run_of = |location: &str| location.rsplit('/').next().unwrap().to_owned();
    let sent = async |path: &str, id: &str| {
        eventually("the event is taken", async || match post(format!("{space}{path}"), id).await {
            (202, Some(location)) => Ok(location),
            other => Err(other),
        })
        .await
    };

    // Through a Trigger, to the Job, and once more; the answer to a repeated event takes a look at the first.
    let first = sent("", "1").await;
    assert_completed(&house.ended(&run_of(&first)).await, "Succeeded", "1 task succeeded");
    assert_eq!(sent("/jobs/work", "1").await, first);
    let shown = Request::get(&first).body(axum::body::Body::empty()).unwrap();
    assert_eq!(sink.router().oneshot(shown).await.unwrap().status(), StatusCode::OK);
    // What the caches do not know is looked up.
    assert_eq!(post(format!("{space}/jobs/nobody"), "1").await.0, 404);
    assert_eq!(post("/namespaces/kakehi-test-nowhere".to_owned(), "1").await.0, 404);

    // A run is cancelled.
    let slow = run_of(&sent("/jobs/work", "slow").await);
    house.reaches(&slow, Phase::Running).await;
    ops::cancel(&house.client, &house.namespace, &slow).await.unwrap();
    assert_eq!(completed(&house.ended(&slow).await).1, "Cancelled");
    eventually("both are reported", async || {
        let reported = (house.reported(&run_of(&first)).await, house.reported(&slow).await);
        if reported.0.is_empty() || reported.1.is_empty() { Err(reported) } else { Ok(()) }
    })
    .await;

    // A name is taken by somebody else's object.
    controllers.stop().await;
    let taken = run_of(&sent("/jobs/work", "taken").await);
    let mut foreign = ConfigMap::default();
    foreign.metadata.name = Some(taken.clone());
    house.api().create(&PostParams::default(), &foreign).await.unwrap();
    let controllers = Controllers::start(&controlling, &house.namespace, Timestamp::now);
    let ended = completed(&house.ended(&taken).await);
    assert!(ended.2.contains("name"), "{ended:?}");

    // The Job and the Trigger say how they are.
    are_ready(&house).await;

    // History is cut, a run is deleted, and at last the Job.
    controllers.stop().await;
    house.patch_job("work", json!({"spec": {"history": {"limit": 1, "ttlSeconds": 604_800}}})).await;
    let controllers = Controllers::start(&controlling, &house.namespace, later);
    let left = eventually("one run is kept", async || {
        let runs = house.api::<Execution>().list(&ListParams::default()).await.unwrap().items;
        if runs.len() == 1 { Ok(runs[0].metadata.name.clone().unwrap()) } else { Err(runs.len()) }
    })
    .await;
    ops::delete::<Execution>(&house.client, &house.namespace, &left).await.unwrap();
    house.api::<Job>().delete("work", &DeleteParams::default()).await.unwrap();
    eventually("nothing is left of the runs", async || {
        let tasks =
            house.api::<k8s_openapi::api::batch::v1::Job>().list(&ListParams::default()).await.unwrap().items;
        if tasks.is_empty() { Ok(()) } else { Err(tasks.len()) }
    })
    .await;
    controllers.stop().await;
    assert_eq!(*refused_sink.lock().unwrap(), Vec::<String>::new());
    assert_eq!(*refused_controller.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_account_can_hold_its_lease_and_no_other() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    let leases: Api<Lease> = Api::namespaced(installed.client_of("controller").await, &installed.namespace);
    let named = |name: &str| {
        let mut lease = Lease::default();
        lease.metadata.name = Some(name.to_owned());
        lease
    };
    let made = eventually("the role is known", async || {
        leases
            .create(&PostParams::default(), &named("kakehi-controller"))
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let mut held = leases.get("kakehi-controller").await.unwrap();
    assert_eq!(held.metadata.uid, made.metadata.uid);
    held.spec.get_or_insert_default().holder_identity = Some("me".to_owned());
    leases.replace("kakehi-controller", &PostParams::default(), &held).await.unwrap();
    let refused = |error: kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
    assert!(refused(leases.get("other").await.unwrap_err()));
    assert!(refused(leases.delete("kakehi-controller", &DeleteParams::default()).await.unwrap_err()));
}
