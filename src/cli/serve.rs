//! `kakehi serve`: the event sink, the controllers and the API of Cloud Run, for a cluster.
//!
//! The parts are [`crate::app::Serve`]'s; here flags become options, and signals become an end. A first SIGTERM or
//! SIGINT ends in order, a second one at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use clap::value_parser;
use kube::{Client, Config};
use uuid::Uuid;

use super::access::AccessFlags;
use super::connect::{Configured, parse_url};
use super::guards::GuardFlags;
use super::{Error, Exit, Global, Interruptions, connect};
use crate::api::DEFAULT_NAMESPACE;
use crate::app::{ApiRole, Clients, ControllerRole, LeaseOptions, Serve, ServeOptions, SinkRole, Timing};
use crate::controllers;
use crate::sink;
use crate::telemetry::TraceOptions;
use crate::triggers::is_object_name;

/// Name of the Service before the sinks, where nothing else is said: the chart's.
const SINK_SERVICE: &str = "kakehi-sink";

/// Run the event sink and the controllers in a cluster, or against one
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --sink, --controller and --api, the first two roles run. Any number of processes may be sinks, or APIs.
Of several controllers one works, by a lease; when it ends or is lost, another takes over within seconds.
The API server is that of the Pod's service account, or of --kubeconfig, --context or --server.

The admin address answers
  GET /healthz   200 while the process works; if not, restart it
  GET /readyz    200 once it can do its work; if not, what it waits for. A controller that stands by is ready
  GET /metrics   OpenMetrics

The first SIGTERM withdraws readiness, takes events for a fifth of the grace period (5 s at most) while
the cluster learns of it, finishes what is in flight and exits 0; a second one ends at once.

Examples:
  kakehi crd | kubectl apply -f -      once, before the first start
  kakehi serve --kubeconfig ~/.kube/config --sink-url http://events.example.com
  kakehi serve --sink --max-event-bytes 1048576
  kakehi serve --watch-namespace shop      with rights in that namespace only; let nobody else look after it"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Receive events
    #[arg(long)]
    sink: bool,
    /// Turn executions into jobs and report on them
    #[arg(long)]
    controller: bool,
    /// Answer Google's clients of Cloud Run; Kubernetes says who may do what
    #[arg(long)]
    api: bool,
    /// Where the API of Cloud Run is
    #[arg(long, value_name = "ADDRESS", env = "KAKEHI_API_ADDRESS", default_value = "127.0.0.1:8422", value_parser = address)]
    api_address: SocketAddr,
    /// For whom tokens must be that are sent to the API of Cloud Run; may be repeated [default: for the API server]
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    audience: Vec<String>,
    #[command(flatten)]
    access: AccessFlags,
    /// Where events are received; a port alone is one on every address of this machine
    #[arg(long, value_name = "ADDRESS", env = "KAKEHI_SINK_ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    sink_address: SocketAddr,
    /// Where health and metrics are told
    #[arg(long, value_name = "ADDRESS", env = "KAKEHI_ADMIN_ADDRESS", default_value = "0.0.0.0:9090", value_parser = address)]
    admin_address: SocketAddr,
    /// Where senders find the sinks, the base of every job's address
    /// (default: `http://kakehi-sink.<namespace>.svc.cluster.local`, the namespace being that of this Pod or context)
    #[arg(long, value_name = "URL", env = "KAKEHI_SINK_URL")]
    sink_url: Option<String>,
    /// Look after this namespace alone, with rights in it alone [default: all namespaces]
    #[arg(long, value_name = "NAME", env = "KAKEHI_WATCH_NAMESPACE", value_parser = namespace)]
    watch_namespace: Option<String>,
    /// Namespace of the triggers that an event sent to `/` is matched with [default: the watched one, or `default`]
    #[arg(long, value_name = "NAME", env = "KAKEHI_DEFAULT_NAMESPACE", value_parser = namespace)]
    default_namespace: Option<String>,
    /// Largest event, in bytes
    #[arg(long, value_name = "BYTES", env = "KAKEHI_MAX_EVENT_BYTES", default_value_t = 512 * 1024, value_parser = value_parser!(u64).range(1..=sink::MAX_EVENT_BYTES as u64))]
    max_event_bytes: u64,
    /// Senders that wait for the end of a run at a time (`Prefer: wait=10`); more are answered at once. With 0 nobody
    /// waits, and no right to follow executions is needed
    #[arg(long, value_name = "NUMBER", env = "KAKEHI_MAX_WAITERS", default_value_t = 256)]
    max_waiters: u16,
    /// Let the ends of runs be told (`spec.completion` of a job) to loopback and link-local addresses, too
    #[arg(long)]
    allow_local_destinations: bool,
    /// Take events only from senders with a token for the job, and let jobs publish for whom it must be; both roles need this
    #[arg(long)]
    require_auth: bool,
    #[command(flatten)]
    guards: GuardFlags,
    /// Memory for what became of the latest events, in bytes; `kakehi explain` asks for it
    #[arg(long, value_name = "BYTES", env = "KAKEHI_DECISION_BYTES", default_value_t = 16 * 1024 * 1024, value_parser = value_parser!(u64).range(0..=1 << 30))]
    decision_bytes: u64,
    /// Start runs of a job with a service account only if the user `kakehi:jobs:NAMESPACE` may `use` that account
    #[arg(long)]
    require_account_grant: bool,
    /// Lease that decides which controller works
    #[arg(long, value_name = "NAME", env = "KAKEHI_LEASE_NAME", default_value = "kakehi-controller")]
    lease_name: String,
    /// Namespace of the lease [default: the watched one, or that of this Pod or context]
    #[arg(long, value_name = "NAME", env = "KAKEHI_LEASE_NAMESPACE", value_parser = namespace)]
    lease_namespace: Option<String>,
    /// Time to end in after SIGTERM; keep it below the Pod's terminationGracePeriodSeconds
    #[arg(long, value_name = "SECONDS", env = "KAKEHI_GRACE_PERIOD", default_value_t = 25, value_parser = value_parser!(u64).range(1..=3600))]
    grace_period: u64,
    #[command(flatten)]
    pub(super) traces: TraceOptions,
}

/// Reads an address: `IP:PORT`, or a port on every address of this machine.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| format!("{text:?} is neither a port nor an address such as 0.0.0.0:8080"))
}

/// Reads the name of a namespace. A variable that is set to nothing names none.
fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || (is_object_name(text) && text.len() <= 63 && !text.contains('.')) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} cannot be the name of a namespace"))
}

/// A name, if one was given.
fn given(name: Option<&String>) -> Option<&String> {
    name.filter(|name| !name.is_empty())
}

impl Args {
    /// Whether both usual roles are meant: none was named.
    fn both(&self) -> bool {
        !self.sink && !self.controller && !self.api
    }

    /// Answers every question about the flags; `namespace` is our own.
    fn options(&self, namespace: &str) -> Result<ServeOptions, Error> {
        let sink_url = match &self.sink_url {
            // A URL that is no URL would show in every Job's address.
            Some(url) if url.contains("://") => parse_url(url)?.to_string(),
            Some(url) => {
                return Err(Error::usage(format!("--sink-url {url:?} is not of the form http://HOST")));
            }
            None => format!("http://{SINK_SERVICE}.{namespace}.svc.cluster.local"),
        };
        let watched = given(self.watch_namespace.as_ref());
        let of_root = given(self.default_namespace.as_ref()).or(watched);
        if let (Some(watched), Some(of_root)) = (watched, of_root)
            && watched != of_root
        {
            return Err(Error::usage(format!(
                "--default-namespace {of_root} is not looked after: --watch-namespace is {watched}"
            )));
        }
        let sink = (self.sink || self.both()).then(|| SinkRole {
            address: self.sink_address,
            options: sink::Options {
                default_namespace: of_root.map_or(DEFAULT_NAMESPACE, String::as_str).to_owned(),
                max_event_bytes: usize::try_from(self.max_event_bytes).unwrap_or(usize::MAX),
                max_waiters: usize::from(self.max_waiters),
                require_auth: self.require_auth,
                max_decision_bytes: usize::try_from(self.decision_bytes).unwrap_or(usize::MAX),
                name: host(),
                ..sink::Options::default()
            },
            namespace: watched.cloned(),
        });
        let controller = (self.controller || self.both()).then(|| ControllerRole {
            options: controllers::Options {
                sink_url: sink_url.trim_end_matches('/').to_owned(),
                is_guarded: self.require_auth,
                require_account_grant: self.require_account_grant,
                allow_local_destinations: self.allow_local_destinations,
                namespace: watched.cloned(),
                guards: self.guards.guards(),
                ..controllers::Options::default()
            },
            lease: LeaseOptions {
                // Where namespaces are looked after one by one, each has a controller of its own at work.
                namespace: given(self.lease_namespace.as_ref())
                    .or(watched)
                    .map_or(namespace, String::as_str)
                    .to_owned(),
                name: self.lease_name.clone(),
                identity: identity(),
                timing: Timing::default(),
            },
        });
        let api = self.api.then(|| ApiRole {
            address: self.api_address,
            namespace: watched.cloned(),
            access: self.access.in_cluster(&self.audience),
            tls: self.access.tls(),
        });
        Ok(ServeOptions {
            sink,
            controller,
            api,
            admin: self.admin_address,
            grace: Duration::from_secs(self.grace_period),
        })
    }
}

/// The Pod's name.
fn host() -> Option<String> {
    std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty())
}

/// What this process is called in the lease: the Pod's name for people, and a part that no later process of the same
/// name has.
fn identity() -> String {
    format!("{}_{}", host().as_deref().unwrap_or("kakehi"), Uuid::new_v4())
}

/// Runs until it is told to end.
pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Error> {
    let configured = connect::configure(global).await?;
    if configured.guessed {
        return Err(Error::usage(
            "no cluster is configured: run in a Pod with a service account, or name a cluster with --kubeconfig or --server",
        ));
    }
    let Configured { config, namespace, server, sink: _, guessed: _ } = configured;
    let options = args.options(&namespace)?;
    let (receives, controls) = (options.sink.is_some(), options.controller.is_some());
    let clients = Clients { work: client(config.clone())?, election: client(config)? };
    // Before anybody can know that it has started, and ask it to end.
    let mut signals = Interruptions::new();
    let mut serve = Serve::start(clients, options).await.context("start")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server,
        namespace,
        receives,
        controls,
        watched = given(args.watch_namespace.as_ref()),
        sink = serve.sink_address().map(tracing::field::display),
        api = serve.api_address().map(tracing::field::display),
        admin = %serve.admin_address(),
        "started"
    );
    let failed = tokio::select! {
        () = signals.next() => None,
        error = serve.failed() => Some(error),
    };
    tracing::info!(failed = failed.is_some(), "stopping");
    let stopped = tokio::select! {
        stopped = serve.stop() => stopped,
        () = signals.insisted() => return Err(Error::Interrupted),
    };
    if let Some(error) = failed {
        return Err(Error::Failed(error.into()));
    }
    stopped.context("stop")?;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// A client that tells of every failure at once. Whoever calls knows better when to try again: a sender within its own
/// patience, a controller with a pause that grows, a watch likewise. A client that repeats requests for minutes would
/// hold an event's sender until it gave up.
fn client(mut config: Config) -> Result<Client, Error> {
    config.default_retry = false;
    Client::try_from(config).context("set up the client").map_err(Error::Usage)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::app::Access;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn options(line: &str) -> Result<ServeOptions, Error> {
        let words = ["serve"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args.options("tools")
    }

    #[test]
    fn both_roles_run_unless_one_is_named() {
        let roles = |line: &str| {
            let options = options(line).unwrap();
            (options.sink.is_some(), options.controller.is_some())
        };
        assert_eq!(roles(""), (true, true));
        assert_eq!(roles("--sink"), (true, false));
        assert_eq!(roles("--controller"), (false, true));
        assert_eq!(roles("--sink --controller"), (true, true));
        assert_eq!(roles("--api"), (false, false));
    }

    #[test]
    fn the_address_of_jobs_is_the_charts_service_unless_told_otherwise() {
        let url = |line: &str| Ok::<_, Error>(options(line)?.controller.unwrap().options.sink_url);
        assert_eq!(url("").unwrap(), "http://kakehi-sink.tools.svc.cluster.local");
        assert_eq!(url("--sink-url http://events.example.com").unwrap(), "http://events.example.com");
        assert_eq!(url("--sink-url https://example.com/kakehi/").unwrap(), "https://example.com/kakehi");
        for wrong in ["events.example.com", "ftp://example.com", "http://"] {
            assert!(matches!(url(&format!("--sink-url {wrong}")), Err(Error::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn a_watched_namespace_is_that_of_both_roles_of_the_lease_and_of_events_without_one() {
        let found = |line: &str| {
            let ServeOptions { sink, controller, .. } = options(line).unwrap();
            let (sink, controller) = (sink.unwrap(), controller.unwrap());
            assert_eq!(sink.namespace, controller.options.namespace);
            (sink.namespace, sink.options.default_namespace, controller.lease.namespace)
        };
        let of = |name: &str| name.to_owned();
        assert_eq!(found(""), (None, of("default"), of("tools")));
        assert_eq!(found("--watch-namespace="), (None, of("default"), of("tools")));
        assert_eq!(found("--default-namespace x"), (None, of("x"), of("tools")));
        assert_eq!(found("--watch-namespace shop"), (Some(of("shop")), of("shop"), of("shop")));
        let apart = "--watch-namespace shop --default-namespace shop --lease-namespace tools";
        assert_eq!(found(apart), (Some(of("shop")), of("shop"), of("tools")));
        let elsewhere = options("--watch-namespace shop --default-namespace x");
        assert!(matches!(elsewhere, Err(Error::Usage(_))));
    }

    #[test]
    fn a_namespace_has_a_name_that_is_no_path() {
        for wrong in ["Shop", "a.b", "../x", "a/b", &"a".repeat(64)] {
            let line = ["serve", "--watch-namespace", wrong];
            assert!(Line::try_parse_from(line).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lease_is_in_our_namespace_and_its_holder_is_this_process_alone() {
        let lease = |line: &str| options(line).unwrap().controller.unwrap().lease;
        let one = lease("");
        assert_eq!((one.namespace.as_str(), one.name.as_str()), ("tools", "kakehi-controller"));
        assert_ne!(one.identity, lease("").identity);
        assert_eq!(lease("--lease-namespace kube-system").namespace, "kube-system");
    }

    #[test]
    fn the_api_is_there_when_it_is_named_and_not_for_everybody() {
        let address = |line: &str| Ok::<_, Error>(options(line)?.api.map(|role| role.address.to_string()));
        let access = |line: &str| options(line).unwrap().api.unwrap().access;
        assert_eq!(address("").unwrap(), None);
        assert_eq!(address("--api --sink").unwrap().as_deref(), Some("127.0.0.1:8422"));
        assert_eq!(address("--api --api-address 8422").unwrap().as_deref(), Some("0.0.0.0:8422"));
        assert_eq!(access("--api"), Access::Reviews(Vec::new()));
        let audiences = "--api --audience kakehi --audience https://kakehi.example";
        let named = ["kakehi", "https://kakehi.example"].map(str::to_owned).to_vec();
        assert_eq!(access(audiences), Access::Reviews(named));
        assert_eq!(access("--api --insecure-without-authentication"), Access::Open);
    }

    #[test]
    fn an_address_may_be_a_port() {
        assert_eq!(address("8080"), Ok("0.0.0.0:8080".parse().unwrap()));
        assert_eq!(address("[::]:1"), Ok("[::]:1".parse().unwrap()));
        assert!(address("localhost:1").is_err());
    }
}
