//! Which API server a command talks to.
//!
//! The order is kubectl's, with the local server at its end: `--server`, then `--kubeconfig`/`KUBECONFIG`, then
//! `~/.kube/config`, then the service account of a Pod, then `kakehi dev` on its default port. [`choose`] decides from
//! values alone; [`connect`] reads the files and makes the client.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{DEFAULT_API_ADDRESS, DEFAULT_SINK_ADDRESS, Error, Global};
use crate::ops;

/// Where a service account's token lies in a Pod.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Name of the extension of a cluster entry that says where the sink is.
pub(crate) const SINK_EXTENSION: &str = "run.kakehi.dev/sink";
/// How long to wait for a connection. A server on this machine answers at once and one elsewhere within seconds.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Flags that say which API server to talk to.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Connection {
    /// URL of the API server, used without credentials
    #[arg(long, global = true, env = "KAKEHI_SERVER", value_name = "URL", conflicts_with = "context")]
    server: Option<String>,
    /// Path of a kubeconfig; the variable may list several
    #[arg(long, global = true, env = "KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<OsString>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

/// What is known of the surroundings, apart from the flags.
#[derive(Debug, Default)]
struct Surroundings {
    /// `~/.kube/config`, where it exists and has something to choose from.
    home_config: Option<PathBuf>,
    /// Whether this is a Pod with a service account.
    in_cluster: bool,
}

/// The API server to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Server(String),
    Kubeconfig(Vec<PathBuf>),
    InCluster,
    Local,
}

fn choose(connection: &Connection, around: &Surroundings) -> Choice {
    if let Some(server) = connection.server.as_ref().filter(|server| !server.is_empty()) {
        return Choice::Server(server.clone());
    }
    let named = connection.kubeconfig.as_deref().map(paths).unwrap_or_default();
    if !named.is_empty() {
        return Choice::Kubeconfig(named);
    }
    match &around.home_config {
        Some(path) => Choice::Kubeconfig(vec![path.clone()]),
        // A context can only be one of a kubeconfig: looking for it there gives the error that helps.
        None if connection.context.is_some() => Choice::Kubeconfig(Vec::new()),
        None if around.in_cluster => Choice::InCluster,
        None => Choice::Local,
    }
}

/// The paths in a value of `KUBECONFIG`.
fn paths(list: &OsStr) -> Vec<PathBuf> {
    env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// A client, and what else the chosen configuration says.
#[derive(Clone)]
pub(crate) struct Connected {
    /// Talks to the API server.
    pub(crate) client: Client,
    /// The namespace for objects that do not name one.
    pub(crate) namespace: String,
    /// The API server's URL, for messages.
    pub(crate) server: String,
    /// Where events go, if the configuration knows.
    pub(crate) sink: Option<String>,
    /// Whether the server was the last resort: nothing was configured.
    pub(crate) guessed: bool,
}

/// What [`Connected`] is made from, for those who make clients of their own.
pub(crate) struct Configured {
    /// How to reach the API server.
    pub(crate) config: Config,
    /// The namespace for objects that do not name one.
    pub(crate) namespace: String,
    /// The API server's URL, for messages.
    pub(crate) server: String,
    /// Where events go, if the configuration knows.
    pub(crate) sink: Option<String>,
    /// Whether the server was the last resort: nothing was configured.
    pub(crate) guessed: bool,
}

/// Makes the client that the flags and the surroundings ask for. Nothing is sent yet.
pub(crate) async fn connect(global: &Global) -> Result<Connected, Error> {
    open(&global.connection, global.namespace.as_deref()).await
}

/// Reads the configuration that the flags and the surroundings ask for.
pub(crate) async fn configure(global: &Global) -> Result<Configured, Error> {
    load(&global.connection, global.namespace.as_deref()).await
}

async fn open(connection: &Connection, namespace: Option<&str>) -> Result<Connected, Error> {
    let Configured { config, namespace, server, sink, guessed } = load(connection, namespace).await?;
    let client = Client::try_from(config).context("set up the client").map_err(Error::Usage)?;
    Ok(Connected { client, namespace, server, sink, guessed })
}

async fn load(connection: &Connection, namespace: Option<&str>) -> Result<Configured, Error> {
    let choice = choose(connection, &surroundings());
    let mut sink = None;
    let mut config = match &choice {
        Choice::Server(url) => {
            sink = local_sink(url);
            Config::new(parse_url(url)?)
        }
        Choice::Local => {
            let url = format!("http://{DEFAULT_API_ADDRESS}");
            sink = local_sink(&url);
            Config::new(parse_url(&url)?)
        }
        Choice::InCluster => Config::incluster().context("read the service account of this Pod")?,
        Choice::Kubeconfig(files) => {
            let kubeconfig = read(files, connection.kubeconfig.is_some())?;
            sink = sink_of(&kubeconfig, connection.context.as_deref());
            let options = KubeConfigOptions { context: connection.context.clone(), ..Default::default() };
            let loaded = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            loaded.with_context(|| format!("use kubeconfig {}", list(files))).map_err(Error::Usage)?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string();
    let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
    Ok(Configured { config, namespace, server, sink, guessed: choice == Choice::Local })
}

impl Connected {
    /// The server in this process.
    pub(crate) fn local(client: Client, namespace: &str) -> Self {
        let server = "this process".to_owned();
        Self { client, namespace: namespace.to_owned(), server, sink: None, guessed: false }
    }

    /// The same for an error of a use case.
    pub(crate) fn failed(&self, error: ops::Error) -> Error {
        match error {
            ops::Error::Unavailable(error) => self.explain(*error),
            other => Error::Failed(other.into()),
        }
    }

    /// Turns an error of a call into one that says what to do: a server that does not answer is not a refusal.
    pub(crate) fn explain(&self, error: kube::Error) -> Error {
        if !is_transport(&error) {
            return Error::Failed(refusal(error));
        }
        let hint = if self.guessed {
            "no cluster is configured: start a local one with `kakehi dev`, or name one with --server or --kubeconfig".to_owned()
        } else {
            "is it running? --server, --kubeconfig and --context say which one to use".to_owned()
        };
        Error::Unreachable {
            target: format!("the API server at {}", self.server),
            hint,
            source: error.into(),
        }
    }
}

/// Whether the call got no answer at all.
fn is_transport(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::Auth(_))
}

/// An answer of the API server in its own words, without the wrapping.
fn refusal(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => anyhow::Error::msg(status.message.clone()),
        other => other.into(),
    }
}

fn surroundings() -> Surroundings {
    let home_config = env::home_dir()
        .map(|home| home.join(".kube").join("config"))
        .filter(|path| Kubeconfig::read_from(path).is_ok_and(|config| config.current_context.is_some()));
    Surroundings {
        home_config,
        in_cluster: env::var_os("KUBERNETES_SERVICE_HOST").is_some()
            && Path::new(SERVICE_ACCOUNT_TOKEN).exists(),
    }
}

/// Reads and merges kubeconfigs. A file of a list may be missing, as with kubectl; the only one may not.
fn read(files: &[PathBuf], named: bool) -> Result<Kubeconfig, Error> {
    let mut merged = Kubeconfig::default();
    for path in files {
        if files.len() > 1 && !path.exists() {
            continue;
        }
        let one = Kubeconfig::read_from(path).with_context(|| {
            let origin = if named { " (from --kubeconfig or KUBECONFIG)" } else { "" };
            format!("read kubeconfig {}{origin}", path.display())
        });
        merged = one.and_then(|one| merged.merge(one).context("merge kubeconfigs")).map_err(Error::Usage)?;
    }
    Ok(merged)
}

/// The sink that the cluster entry of a context names.
fn sink_of(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let wanted = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|entry| entry.name == wanted)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|entry| entry.name == context.cluster)?.cluster.as_ref()?;
    let extension = cluster.extensions.iter().flatten().find(|entry| entry.name == SINK_EXTENSION)?;
    extension.extension.get("url")?.as_str().map(str::to_owned)
}

/// The sink beside the local API server, if that URL is its default one.
fn local_sink(server: &str) -> Option<String> {
    let host = server.strip_prefix("http://")?.trim_end_matches('/');
    let port = DEFAULT_API_ADDRESS.rsplit(':').next()?;
    let local = [DEFAULT_API_ADDRESS.to_owned(), format!("localhost:{port}")];
    local.iter().any(|known| known == host).then(|| format!("http://{DEFAULT_SINK_ADDRESS}"))
}

/// A URL of a server, with `http://` where no scheme is given.
pub(crate) fn parse_url(text: &str) -> Result<http::Uri, Error> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: http::Uri =
        whole.parse().with_context(|| format!("{text:?} is not a URL")).map_err(Error::Usage)?;
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(url),
        _ => Err(Error::usage(format!("{text:?} is not a URL of the form http://HOST:PORT"))),
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn connection(server: Option<&str>, kubeconfig: Option<&str>, context: Option<&str>) -> Connection {
        Connection {
            server: server.map(str::to_owned),
            kubeconfig: kubeconfig.map(OsString::from),
            context: context.map(str::to_owned),
        }
    }

    fn everything() -> Surroundings {
        Surroundings { home_config: Some("/home/u/.kube/config".into()), in_cluster: true }
    }

    #[test]
    fn the_order_is_server_then_kubeconfig_then_home_then_pod_then_local() {
        let files = |list: &[&str]| Choice::Kubeconfig(list.iter().map(PathBuf::from).collect());
        let pod = || Surroundings { home_config: None, in_cluster: true };
        let table = [
            (connection(Some("http://a"), Some("/b"), None), everything(), Choice::Server("http://a".into())),
            (connection(None, Some("/b"), None), everything(), files(&["/b"])),
            (connection(None, Some("/b:/c"), None), everything(), files(&["/b", "/c"])),
            (connection(Some(""), Some(""), None), everything(), files(&["/home/u/.kube/config"])),
            (connection(None, None, None), everything(), files(&["/home/u/.kube/config"])),
            (connection(None, None, None), pod(), Choice::InCluster),
            (connection(None, None, None), Surroundings::default(), Choice::Local),
            (connection(None, None, Some("east")), pod(), files(&[])),
        ];
        for (connection, around, wanted) in table {
            assert_eq!(choose(&connection, &around), wanted, "{connection:?} {around:?}");
        }
    }

    #[test]
    fn urls_may_leave_out_the_scheme() {
        assert_eq!(parse_url("localhost:8421").unwrap().to_string(), "http://localhost:8421/");
        assert_eq!(parse_url("https://k8s.example:6443/x").unwrap().path(), "/x");
        for wrong in ["", "ftp://x", "http://", "a b"] {
            assert!(matches!(parse_url(wrong), Err(Error::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn the_sink_is_known_only_beside_the_local_server() {
        assert_eq!(local_sink("http://127.0.0.1:8421").as_deref(), Some("http://127.0.0.1:8420"));
        assert_eq!(local_sink("http://localhost:8421/").as_deref(), Some("http://127.0.0.1:8420"));
        assert_eq!(local_sink("https://k8s.example:6443"), None);
    }

    const KUBECONFIG: &str = r#"
current-context: here
contexts:
  - {name: here, context: {cluster: c1, namespace: shop}}
  - {name: there, context: {cluster: c2}}
clusters:
  - name: c1
    cluster:
      server: http://127.0.0.1:1
      extensions: [{name: run.kakehi.dev/sink, extension: {url: "http://127.0.0.1:2"}}]
  - {name: c2, cluster: {server: "http://127.0.0.1:3"}}
"#;

    #[tokio::test]
    async fn a_kubeconfig_gives_server_namespace_and_sink() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, KUBECONFIG).unwrap();
        let here = open(&connection(None, path.to_str(), None), None).await.unwrap();
        assert_eq!((here.server.as_str(), here.namespace.as_str()), ("http://127.0.0.1:1/", "shop"));
        assert_eq!(here.sink.as_deref(), Some("http://127.0.0.1:2"));
        let there = open(&connection(None, path.to_str(), Some("there")), None).await.unwrap();
        assert_eq!((there.server.as_str(), there.namespace.as_str()), ("http://127.0.0.1:3/", "default"));
        assert_eq!(there.sink, None);
        let nowhere = open(&connection(None, path.to_str(), Some("nowhere")), None).await;
        assert!(matches!(nowhere, Err(Error::Usage(_))));
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_a_mistake_but_one_of_several_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (there, missing) = (dir.path().join("config"), dir.path().join("missing"));
        fs::write(&there, KUBECONFIG).unwrap();
        let alone = open(&connection(None, missing.to_str(), None), None).await;
        assert!(matches!(alone, Err(Error::Usage(_))));
        let both = env::join_paths([&missing, &there]).unwrap();
        let several = open(&connection(None, both.to_str(), None), None).await.unwrap();
        assert_eq!(several.namespace, "shop");
    }

    #[tokio::test]
    async fn nobody_listening_is_told_apart_from_a_refusal() {
        // Port 1 on loopback: nothing listens there.
        let dead = open(&connection(Some("http://127.0.0.1:1"), None, None), None).await.unwrap();
        let error = dead.client.apiserver_version().await.unwrap_err();
        assert!(matches!(dead.explain(error), Error::Unreachable { .. }));
        let status = kube::core::Status::failure("jobs \"x\" not found", "NotFound").with_code(404);
        let refused = dead.explain(kube::Error::Api(Box::new(status)));
        assert!(matches!(&refused, Error::Failed(_)));
        assert_eq!(refused.to_string(), "jobs \"x\" not found");
    }
}
