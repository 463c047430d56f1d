//! Everything on one machine: sink, the API of Cloud Run, controllers and a local Kubernetes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

use super::Error;
use super::access::{self, Access, TlsFiles};
use super::stage::Stage;
use crate::api;
use crate::cloudrun::CloudRun;
use crate::controllers;
use crate::listen::Listener;
use crate::local;
use crate::plan::Guards;
use crate::sink;
use crate::sources;
use crate::triggers::Triggers;

/// Time that requests in flight have to finish once the process was asked to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Time that one stage of the end may take before the rest is dropped. The runner's own grace fits into it.
const STAGE: Duration = Duration::from_secs(20);

/// What `kakehi dev` and `kakehi try` start.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Where state goes.
    pub directory: PathBuf,
    /// Whether it survives the process.
    pub durable: bool,
    /// Where kubectl finds the API; port 0 takes a free one.
    pub api: SocketAddr,
    /// Where events are sent; port 0 takes a free one.
    pub sink: SocketAddr,
    /// Where clients of Cloud Run find theirs; port 0 takes a free one.
    pub cloud_run: SocketAddr,
    /// Who is let in there.
    pub access: Access,
    /// The certificate of that port; none for one without TLS.
    pub tls: Option<TlsFiles>,
    /// Bounds on what is under way.
    pub guards: Guards,
    /// Pods that run at the same time.
    pub max_pods: usize,
    /// Bytes that one event may have.
    pub max_event_bytes: usize,
    /// Whether Knative's sources send their events. Their kinds are there in any case.
    pub sources: bool,
    /// The lowest layer of every task's environment: `PATH` and `HOME` of the user, say.
    pub inherited: BTreeMap<String, OsString>,
}

/// The parts, from the one that is stopped first to the one that is stopped last.
const SOURCES: usize = 0;
const SINK: usize = 1;
const CLOUD_RUN: usize = 2;
const CONTROLLERS: usize = 3;
const LOCAL: usize = 4;
const API: usize = 5;
const STAGES: [&str; 6] = [
    "the event sources",
    "the event sink",
    "the API of Cloud Run",
    "the controllers",
    "the local Kubernetes",
    "the API server",
];

/// Everything on one machine: sink, the API of Cloud Run, controllers and a local Kubernetes.
pub struct Dev {
    client: Client,
    api: SocketAddr,
    sink: SocketAddr,
    cloud_run: SocketAddr,
    stages: [Stage; STAGES.len()],
}

impl std::fmt::Debug for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dev").field("api", &self.api).field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl Dev {
    /// Binds the ports, opens the state and starts every part. Must be called inside a runtime.
    pub async fn start(options: DevOptions) -> Result<Self, Error> {
        let DevOptions {
            directory,
            durable,
            api,
            sink,
            cloud_run,
            access,
            tls,
            guards,
            max_pods,
            max_event_bytes,
            sources,
            inherited,
        } = options;
        // Ports first: a second `dev` fails here, before it touches the state of the first.
        let api = bind(API, api).await?;
        let sink = bind(SINK, sink).await?;
        let cloud_run = bind(CLOUD_RUN, cloud_run).await?.with_tls(access::tls(tls).await?);
        let local = local::Local::open(local::Options {
            directory,
            durable,
            definitions: [api::crds(), sources::definitions()].concat(),
            admissions: sources::admissions(),
            max_pods,
            inherited,
        })
        .map_err(Error::Local)?;
        let client = local.client();
        let gate = access.gate(&client).await?;
        let mut stages = STAGES.map(Stage::new);
        let triggers = Triggers::new(client.clone());
        let receiver = sink::Sink::new(
            client.clone(),
            triggers.clone(),
            // Whoever reaches the port may as well read every object.
            sink::Options { max_event_bytes, told: sink::ToldTo::Everybody, ..sink::Options::default() },
            stages[SINK].token(),
        );
        let controlling = controllers::Options {
            sink_url: format!("http://{}", sink.address()),
            guards,
            // Everything here is on this machine.
            allow_local_destinations: true,
            ..controllers::Options::default()
        };

        let dev = (client.clone(), api.address(), sink.address(), cloud_run.address());
        let until = stages[API].token();
        let router = access::kubernetes_without_pages(local.router(), api.address());
        stages[API].spawn_endless(api.serve(router, until, DRAIN));
        let until = stages[LOCAL].token();
        stages[LOCAL].spawn(local.run(until));
        let runs = CloudRun::new(client.clone(), gate);
        let until = stages[CONTROLLERS].token();
        stages[CONTROLLERS].spawn_endless(controllers::run(client, controlling, until.clone()));
        stages[CONTROLLERS].spawn_endless(async move { triggers.run(until).await });
        let until = stages[CLOUD_RUN].token();
        stages[CLOUD_RUN].spawn_endless(cloud_run.serve(runs.router(), until.clone(), DRAIN));
        stages[CLOUD_RUN].spawn_endless(async move { runs.run(until).await });
        let (until, follower) = (stages[CONTROLLERS].token(), receiver.clone());
        stages[CONTROLLERS].spawn_endless(async move { follower.follow(until).await });
        let until = stages[SINK].token();
        stages[SINK].spawn_endless(async move {
            let router = access::events_without_pages(receiver.router(), sink.address());
            sink.serve(router, until, DRAIN).await;
            receiver.finish().await;
        });
        let (client, api, sink, cloud_run) = dev;
        if sources {
            let until = stages[SOURCES].token();
            stages[SOURCES].spawn_endless(sources::run(client.clone(), until));
        }
        Ok(Self { client, api, sink, cloud_run, stages })
    }

    /// A client that reaches the local Kubernetes without a socket.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where kubectl finds the API.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// Where events are sent.
    pub fn sink_address(&self) -> SocketAddr {
        self.sink
    }

    /// Where clients of Cloud Run find theirs.
    pub fn cloud_run_address(&self) -> SocketAddr {
        self.cloud_run
    }

    /// Waits until a part ends although nobody asked it to: a fault that nothing else would show.
    pub async fn failed(&mut self) -> Error {
        let [sources, sink, cloud_run, controllers, local, api] = &mut self.stages;
        tokio::select! {
            error = sources.ended() => error,
            error = sink.ended() => error,
            error = cloud_run.ended() => error,
            error = controllers.ended() => error,
            error = local.ended() => error,
            error = api.ended() => error,
        }
    }

    /// Stops accepting, lets requests in flight finish, ends the tasks' processes, and joins every part.
    pub async fn stop(mut self) -> Result<(), Error> {
        let mut stopped = Ok(());
        for stage in &mut self.stages {
            let end = stage.stop(STAGE).await;
            stopped = stopped.and(end);
        }
        stopped
    }
}

async fn bind(stage: usize, address: SocketAddr) -> Result<Listener, Error> {
    Listener::bind(address).await.map_err(|source| Error::Bind { part: STAGES[stage], source })
}
