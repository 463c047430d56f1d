//! Where scenarios take their cluster from: local mode, or the API server that `KAKEHI_TEST_KUBECONFIG` leads to.
//!
//! A scenario asks for a place of its own:
//!
//! ```text
//! let place = cluster::place().await;          // a client and a new namespace
//! let pods: Api<Pod> = place.api();            // a kind, in that namespace
//! let faulty = wire.over(&place.client);       // the same API server behind faults (support::wire)
//! if cluster::differs("runs::x::y") { return } // no second world: the table in support::differences says why
//! ```
//!
//! Local: every place is an API server of its own, without controllers unless the scenario starts some. Real: all places share
//! one API server and its controllers, so our own controllers, live triggers and runners must be told their namespace, and
//! names of objects that belong to no namespace must be unique (`place.unique("node")`). The namespace and everything in it is
//! removed when the place is dropped, unless the cluster itself will be. [`House`](crate::runs::House) and the others build on this.
//!
//! One process has one world. Run the scenarios of both with two runs of the test binary.

use std::io::Write;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kakehi::api::Execution;
use kube::Api;
use kube::Client;
use kube::Config;
use kube::ResourceExt;
use kube::api::ApiResource;
use kube::api::DeleteParams;
use kube::api::DynamicObject;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use kube::runtime::conditions;
use kube::runtime::wait::Condition;
use tokio::sync::OnceCell;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::differences;
use crate::support::eventually;
use crate::support::local;

/// Names a kubeconfig with every right on a cluster whose Pods nobody else runs.
const VARIABLE: &str = "KAKEHI_TEST_KUBECONFIG";
/// Set where the whole cluster is thrown away after the tests. The namespace controller goes through every kind for every
/// namespace: removing hundreds of them keeps it from the one whose end a scenario waits for.
const DISPOSABLE: &str = "KAKEHI_TEST_DISPOSABLE";
/// How long the removal of a place may hold up the end of its scenario.
const CLEANING: Duration = Duration::from_secs(10);

static KUBECONFIG: LazyLock<Option<String>> =
    LazyLock::new(|| std::env::var(VARIABLE).ok().filter(|path| !path.is_empty()));
/// The connection to the real API server, once it serves our kinds.
static REAL: OnceCell<Config> = OnceCell::const_new();

/// Whether scenarios run on a real API server.
pub(crate) fn is_real() -> bool {
    KUBECONFIG.is_some()
}

/// Whether that scenario cannot run in this world. The table of differences must list it, with the reason.
pub(crate) fn differs(scenario: &str) -> bool {
    let reason = differences::reason(scenario);
    if is_real() {
        say(&format!("skipped on a real API server: {scenario}: {reason}"));
    }
    is_real()
}

/// Past the capture of a test's output: who reads a summary wants to know what it is about.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

#[test]
fn the_world_is_told() {
    match KUBECONFIG.as_ref() {
        Some(path) => say(&format!("scenarios run on the API server of {path}")),
        None => say(&format!(
            "skipped: a real API server; {VARIABLE} names none, so every scenario runs on local mode"
        )),
    }
}

/// The real API server, if there is one. Serves our kinds when this returns.
pub(crate) async fn real() -> Option<&'static Config> {
    let path = KUBECONFIG.as_ref()?;
    let connect = async || {
        let kubeconfig = Kubeconfig::read_from(path).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
        define(&client_of(&config)).await;
        config
    };
    Some(REAL.get_or_init(connect).await)
}

/// A client belongs to the runtime that it was made in, and every test has its own.
fn client_of(config: &Config) -> Client {
    Client::try_from(config.clone()).expect("the kubeconfig is complete")
}

/// Makes the API server serve our kinds. Other processes may be at it at the same time.
async fn define(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = PatchParams::apply("kakehi-test").force();
    for definition in kakehi::api::crds() {
        let name = definition.name_any();
        definitions.patch(&name, &apply, &Patch::Apply(&definition)).await.expect("our kinds can be defined");
        eventually(&format!("{name} is served"), async || {
            let found = definitions.get(&name).await.map_err(|error| error.to_string())?;
            let established = conditions::is_crd_established().matches_object(Some(&found));
            if established { Ok(()) } else { Err(format!("{:?}", found.status)) }
        })
        .await;
    }
}

/// A namespace of its own for one scenario.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Its server, if it has one of its own.
    pub(crate) local: Option<local::Cluster>,
    _leaving: Option<Leaving>,
}

/// A new namespace in the world of this process.
pub(crate) async fn place() -> Place {
    match real().await {
        None => place_in(local::cluster()).await,
        Some(config) => {
            let client = client_of(config);
            let namespace = create_namespace(&client).await;
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
            // Without it no Pod is admitted; a controller makes it.
            eventually("the namespace has its service account", async || accounts.get("default").await).await;
            // Another one makes this, and a scenario that watches ConfigMaps must not see it come.
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
            eventually("the namespace has the root certificate", async || maps.get("kube-root-ca.crt").await)
                .await;
            let stays = std::env::var_os(DISPOSABLE).is_some();
            let leaving = (!stays).then(|| Leaving { config: config.clone(), namespace: namespace.clone() });
            Place { client, namespace, local: None, _leaving: leaving }
        }
    }
}

/// A new namespace of local mode.
pub(crate) async fn place_in(cluster: local::Cluster) -> Place {
    let namespace = create_namespace(&cluster.client).await;
    Place::of(cluster, &namespace)
}

async fn create_namespace(client: &Client) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.generate_name = Some("kakehi-test-".to_owned());
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.expect("a namespace can be created").metadata.name.expect("the server gave it a name")
}

impl Place {
    /// A namespace of local mode that exists.
    pub(crate) fn of(cluster: local::Cluster, namespace: &str) -> Self {
        let client = cluster.client.clone();
        Self { client, namespace: namespace.to_owned(), local: Some(cluster), _leaving: None }
    }

    /// Objects of a namespaced kind, here.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A name that no other place has, for objects that belong to no namespace.
    pub(crate) fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }
}

/// What a runner serves logs with. A real API server wants TLS of its kubelets, and does not ask whose; that of local mode
/// wants none.
pub(crate) fn tls() -> Option<Arc<ServerConfig>> {
    is_real().then(|| {
        let names = ["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("key and certificate belong together");
        Arc::new(config)
    })
}

/// Removes a place from the real API server when it is dropped.
struct Leaving {
    config: Config,
    namespace: String,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // The runtime of the test is about to end, and nothing can be awaited here.
        let (config, namespace) = (self.config.clone(), self.namespace.clone());
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(async {
                drop(tokio::time::timeout(CLEANING, leave(&client_of(&config), &namespace)).await);
            });
        });
        drop(cleaning.join());
    }
}

/// Best effort. What still has a finalizer would keep the namespace, and the namespace controller busy, for as long as the
/// cluster lives: whoever would take the finalizer away ended with the scenario.
async fn leave(client: &Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    drop(namespaces.delete(namespace, &DeleteParams::background()).await);
    // No runner confirms the end of these Pods any more.
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let all = ListParams::default();
    drop(pods.delete_collection(&DeleteParams::default().grace_period(0), &all).await);
    let kinds = [
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<batchv1::Job>(&()),
        ApiResource::erase::<Execution>(&()),
    ];
    for kind in &kinds {
        release(&Api::namespaced_with(client.clone(), namespace, kind)).await;
    }
    let nodes: Api<Node> = Api::all(client.clone());
    drop(nodes.delete(&format!("node-{namespace}"), &DeleteParams::default()).await);
}

/// Takes the finalizers of all objects of a kind away.
async fn release(objects: &Api<DynamicObject>) {
    let Ok(found) = objects.list_metadata(&ListParams::default()).await else { return };
    let off = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
    for object in found.items.into_iter().filter(|object| !object.finalizers().is_empty()) {
        drop(objects.patch_metadata(&object.name_any(), &PatchParams::default(), &off).await);
    }
}
