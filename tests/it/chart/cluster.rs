//! The chart on a real API server: its objects apply, its Pods are admitted, and each role's account gets a token.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use kube::config::AuthInfo;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config, Resource as _};
use serde_json::{Value, json};

use super::helm::Helm;
use super::{DEFAULT, RENDERINGS, Rendering, objects, word};
use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;

/// The chart, installed into a namespace of its own that admits restricted Pods only.
pub(crate) struct Installed {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) objects: Vec<Value>,
    config: Config,
    _place: Place,
}

impl Installed {
    /// Installs a rendering; none without a real API server.
    pub(crate) async fn of(rendering: Rendering) -> Option<Self> {
        Self::watching(rendering, None).await
    }

    /// Installs a rendering for one namespace: that one.
    pub(crate) async fn watching(rendering: Rendering, watched: Option<&str>) -> Option<Self> {
        let config = cluster::real().await?;
        let place = cluster::place().await;
        let (client, namespace) = (place.client.clone(), place.namespace.clone());
        let restricted =
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let owner = namespaces
            .patch(&namespace, &PatchParams::default(), &Patch::Merge(&restricted))
            .await
            .unwrap()
            .owner_ref(&())
            .unwrap();
        let mut objects = rendering.within(&namespace, watched);
        if objects.iter().any(|object| object["kind"] == "ServiceMonitor") {
            define_monitors(&client).await;
        }
        for object in &mut objects {
            if object["kind"] == "ValidatingAdmissionPolicyBinding" && rendering.watched.is_none() {
                // Others install it on the same API server, each with a policy that knows its own sink only.
                object["spec"]["matchResources"] =
                    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
            }
            if word(object, "/metadata/namespace").is_empty() {
                // What belongs to no namespace goes when this one goes.
                object["metadata"]["ownerReferences"] = json!([owner]);
            }
            apply(&client, object).await;
        }
        Some(Self { client, namespace, objects, config: config.clone(), _place: place })
    }

    pub(crate) fn account(&self, role: &str) -> String {
        format!("system:serviceaccount:{}:kakehi-{role}", self.namespace)
    }

    /// The Deployment of a role.
    pub(crate) fn deployment(&self, role: &str) -> &Value {
        let name = format!("kakehi-{role}");
        let mut objects = self.objects.iter();
        let found =
            objects.find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("there is no Deployment {name}"))
    }

    /// A token of a role's account.
    pub(crate) async fn token_of(&self, role: &str) -> String {
        self.token_of_account(&format!("kakehi-{role}")).await
    }

    async fn token_of_account(&self, account: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let parameters = PostParams::default();
        let made = accounts.create_token_request(account, &parameters, &wanted).await.unwrap();
        made.status.unwrap().token.unwrap()
    }

    /// A client that is a role's account.
    pub(crate) async fn client_of(&self, role: &str) -> Client {
        self.client_as(&format!("kakehi-{role}")).await
    }

    /// A client that is that account.
    pub(crate) async fn client_as(&self, account: &str) -> Client {
        let mut config = self.config.clone();
        let token = Some(self.token_of_account(account).await.into());
        config.auth_info = AuthInfo { token, ..AuthInfo::default() };
        Client::try_from(config).unwrap()
    }
}

impl Rendering {
    /// The objects as if they were rendered for other namespaces: that of the release, and the one that is watched.
    fn within(self, namespace: &str, watched: Option<&str>) -> Vec<Value> {
        let Rendering { release, namespace: from, watched: old, .. } = self;
        let mut text = std::fs::read_to_string(self.file()).unwrap();
        assert_eq!(old.is_some(), watched.is_some(), "{release}");
        if let Some((old, new)) = old.zip(watched) {
            let before = [
                "  namespace: ",
                "--watch-namespace=",
                "--default-namespace=",
                "kubernetes.io/metadata.name: ",
            ];
            for before in before {
                text = text.replace(&format!("{before}{old}\n"), &format!("{before}{new}\n"));
            }
        }
        let text = text
            .replace(&format!("namespace: {from}\n"), &format!("namespace: {namespace}\n"))
            .replace(&format!("--lease-namespace={from}\n"), &format!("--lease-namespace={namespace}\n"))
            // `release` may be the namespace's name as well; only the part before the colon is.
            .replace(&format!(": {from}:"), &format!(": {namespace}:"))
            .replace(&format!(": {from}."), &format!(": {namespace}."))
            .replace(&format!("serviceaccount:{from}:"), &format!("serviceaccount:{namespace}:"))
            .replace(&format!("-sink.{from}.svc"), &format!("-sink.{namespace}.svc"));
        let moved = objects(&text);
        assert!(!moved.is_empty(), "{release}");
        moved
    }
}

/// Makes the API server know `ServiceMonitor`, if it does not: the part of it that the chart uses, in a definition of ours.
async fn define_monitors(client: &Client) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let relabeling = json!({"type": "object", "properties": {
        "action": {"type": "string", "enum": ["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep"]},
        "sourceLabels": {"type": "array", "items": text},
        "targetLabel": text,
    }});
    let endpoint = json!({"type": "object", "properties": {
        "port": text, "path": text, "interval": text, "scrapeTimeout": text,
        "relabelings": {"type": "array", "items": relabeling},
    }});
    let spec = json!({"type": "object", "required": ["endpoints", "selector"], "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": texts}},
        "endpoints": {"type": "array", "items": endpoint},
    }});
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec}});
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": "ServiceMonitor", "plural": "servicemonitors"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    }))
    .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions.create(&PostParams::default(), &definition).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => panic!("{error}"),
    }
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", "ServiceMonitor"));
    let monitors: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    eventually("monitors are served", async || monitors.list(&ListParams::default()).await).await;
}

/// Applies an object as `kubectl apply --server-side` does; a field that the API server does not know is an error.
async fn apply(client: &Client, object: &Value) {
    let (version, kind) = (word(object, "/apiVersion"), word(object, "/kind"));
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match word(object, "/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let mut parameters = PatchParams::apply("chart").force();
    parameters.field_validation = Some(ValidationDirective::Strict);
    let applied = api.patch(word(object, "/metadata/name"), &parameters, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("{kind} {}: {error}", word(object, "/metadata/name")));
}

/// What the API server says to a Pod of that template, without making it.
async fn admission(installed: &Installed, template: &Value) -> Result<(), String> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["generateName"] = json!("trial-");
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let parameters = PostParams { dry_run: true, ..PostParams::default() };
    let pods: Api<Pod> = Api::namespaced(installed.client.clone(), &installed.namespace);
    pods.create(&parameters, &pod).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_accepted_and_every_pod_admitted_as_restricted() {
    if !cluster::is_real() {
        return;
    }
    for rendering in RENDERINGS {
        let watched = cluster::place().await;
        let watched = rendering.watched.map(|_| watched.namespace.as_str());
        let Some(installed) = Installed::watching(rendering, watched).await else { return };
        // The rendering of everything names an account that it does not make.
        apply(
            &installed.client,
            &json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "existing", "namespace": installed.namespace}}),
        )
        .await;
        let mut admitted = 0;
        for object in installed.objects.iter().filter(|object| object["kind"] == "Deployment") {
            let template = &object["spec"]["template"];
            // The account may be younger than the API server's picture of the namespace.
            eventually("the Pod is admitted", async || admission(&installed, template).await).await;
            let mut loose = template.clone();
            loose["spec"]["securityContext"] = json!({});
            let complaint = admission(&installed, &loose).await.unwrap_err();
            assert!(complaint.contains("violates PodSecurity \"restricted"), "{complaint}");
            admitted += 1;
        }
        let wanted = if rendering.release == super::EVERYTHING.release { 3 } else { 2 };
        assert_eq!(admitted, wanted, "{rendering:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_the_addresses_that_they_need() {
    let Some(installed) = Installed::of(DEFAULT).await else { return };
    let services: Api<Service> = Api::namespaced(installed.client.clone(), &installed.namespace);
    let address = async |name: &str| services.get(name).await.unwrap().spec.unwrap().cluster_ip.unwrap();
    assert_ne!(address("kakehi-sink").await, "None");
    assert_eq!(address("kakehi-metrics").await, "None", "Prometheus wants the Pods, not one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_changes_and_removes_it() {
    let Some(helm) = Helm::find() else { return };
    if !cluster::is_real() {
        return;
    }
    let (place, path) = (cluster::place().await, std::env::var("KAKEHI_TEST_KUBECONFIG").unwrap());
    let helm = |verb: &[&str]| {
        let place = ["--namespace", &place.namespace, "--kubeconfig", &path];
        helm.run(&[verb, &place].concat()).unwrap()
    };
    let roles = async || {
        let found =
            Api::<ClusterRole>::all(place.client.clone()).list(&ListParams::default()).await.unwrap().items;
        let prefix = format!("{}:kakehi", place.namespace);
        found
            .into_iter()
            .filter(|role| role.metadata.name.as_ref().is_some_and(|name| name.starts_with(&prefix)))
            .count()
    };
    // Our kinds are there already, and belong to everybody on this API server.
    let notes = helm(&["install", "kakehi", "charts/kakehi", "--skip-crds"]);
    let url = format!("http://kakehi-sink.{}.svc.cluster.local", place.namespace);
    assert!(
        notes.contains(&format!("takes events at {url}")) && notes.contains("kubectl apply -n default"),
        "{notes}"
    );
    assert_eq!(roles().await, 7);
    helm(&["upgrade", "kakehi", "charts/kakehi", "--set", "rbac.aggregate=false,networkPolicy.enabled=true"]);
    assert_eq!(roles().await, 4);
    // To one namespace alone, and back. What is left of the cluster's roles is for others than ours.
    helm(&["upgrade", "kakehi", "charts/kakehi", "--set", &format!("watchNamespace={}", place.namespace)]);
    assert_eq!(roles().await, 5);
    helm(&["upgrade", "kakehi", "charts/kakehi", "--set", "watchNamespace="]);
    assert_eq!(roles().await, 7);
    helm(&["uninstall", "kakehi"]);
    assert_eq!(roles().await, 0);
}
