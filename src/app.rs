//! What a process is made of: the parts, started in order and stopped in reverse, each with a name and a deadline.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::controllers;
use crate::listen::{BindError, Listener};
use crate::local;
use crate::sink;
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
    /// Pods that run at the same time.
    pub max_pods: usize,
    /// Bytes that one event may have.
    pub max_event_bytes: usize,
    /// The lowest layer of every task's environment: `PATH` and `HOME` of the user, say.
    pub inherited: BTreeMap<String, OsString>,
}

/// Starting failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken or forbidden.
    #[error("cannot start {part}")]
    Bind {
        /// Whose port.
        part: &'static str,
        /// Why.
        #[source]
        source: BindError,
    },
    /// The local Kubernetes did not open.
    #[error("cannot open the local Kubernetes")]
    Local(#[source] local::Error),
    /// A part ended although nobody asked it to.
    #[error("{part} ended although nobody asked it to")]
    Ended {
        /// Which one.
        part: &'static str,
        /// Why, where it said so.
        #[source]
        source: Option<local::Error>,
    },
    /// A part did not end in time.
    #[error("{0} did not end within {STAGE:?}")]
    Stuck(&'static str),
}

/// The parts, from the one that is stopped first to the one that is stopped last.
const SINK: usize = 0;
const CONTROLLERS: usize = 1;
const LOCAL: usize = 2;
const API: usize = 3;
const STAGES: [&str; 4] = ["the event sink", "the controllers", "the local Kubernetes", "the API server"];

/// The tasks of one stage.
type Part = JoinSet<Result<(), local::Error>>;

/// Everything on one machine: sink, controllers and a local Kubernetes.
pub struct Dev {
    client: Client,
    api: SocketAddr,
    sink: SocketAddr,
    tokens: [CancellationToken; STAGES.len()],
    parts: [Part; STAGES.len()],
}

impl std::fmt::Debug for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dev").field("api", &self.api).field("sink", &self.sink).finish_non_exhaustive()
    }
}

impl Dev {
    /// Binds the ports, opens the state and starts every part. Must be called inside a runtime.
    pub async fn start(options: DevOptions) -> Result<Self, Error> {
        let DevOptions { directory, durable, api, sink, max_pods, max_event_bytes, inherited } = options;
        // Ports first: a second `dev` fails here, before it touches the state of the first.
        let api = Listener::bind(api).await.map_err(|source| Error::Bind { part: STAGES[API], source })?;
        let sink = Listener::bind(sink).await.map_err(|source| Error::Bind { part: STAGES[SINK], source })?;
        let local = local::Local::open(local::Options {
            directory,
            durable,
            definitions: api::crds(),
            max_pods,
            inherited,
        })
        .map_err(Error::Local)?;
        let client = local.client();
        let tokens: [CancellationToken; STAGES.len()] = std::array::from_fn(|_| CancellationToken::new());
        let token = |stage: usize| tokens[stage].clone();
        let triggers = Triggers::new(client.clone());
        let receiver = sink::Sink::new(
            client.clone(),
            triggers.clone(),
            sink::Options { max_event_bytes, ..sink::Options::default() },
            token(SINK),
        );
        let controlling = controllers::Options { sink_url: format!("http://{}", sink.address()) };

        let mut parts: [Part; STAGES.len()] = std::array::from_fn(|_| JoinSet::new());
        let dev = (client.clone(), api.address(), sink.address());
        parts[API].spawn(endless(api.serve(local.router(), token(API), DRAIN)));
        parts[LOCAL].spawn(local.run(token(LOCAL)));
        parts[CONTROLLERS].spawn(endless(controllers::run(client.clone(), controlling, token(CONTROLLERS))));
        let until = token(CONTROLLERS);
        parts[CONTROLLERS].spawn(endless(async move { triggers.run(until).await }));
        let until = token(SINK);
        parts[SINK].spawn(endless(async move {
            sink.serve(receiver.router(), until, DRAIN).await;
            receiver.finish().await;
        }));
        let (client, api, sink) = dev;
        Ok(Self { client, api, sink, tokens, parts })
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

    /// Waits until a part ends although nobody asked it to: a fault that nothing else would show.
    pub async fn failed(&mut self) -> Error {
        let [sink, controllers, local, api] = &mut self.parts;
        let (stage, ended) = tokio::select! {
            ended = sink.join_next() => (SINK, ended),
            ended = controllers.join_next() => (CONTROLLERS, ended),
            ended = local.join_next() => (LOCAL, ended),
            ended = api.join_next() => (API, ended),
        };
        let source = match ended {
            Some(Ok(Err(error))) => Some(error),
            // A panic has said on standard error what it was.
            Some(Ok(Ok(())) | Err(_)) | None => None,
        };
        Error::Ended { part: STAGES[stage], source }
    }

    /// Stops accepting, lets requests in flight finish, ends the tasks' processes, and joins every part.
    pub async fn stop(mut self) -> Result<(), Error> {
        let mut stuck = None;
        for (stage, part) in self.parts.iter_mut().enumerate() {
            self.tokens[stage].cancel();
            let joined = async { while part.join_next().await.is_some() {} };
            if tokio::time::timeout(STAGE, joined).await.is_err() {
                part.abort_all();
                stuck = stuck.or(Some(Error::Stuck(STAGES[stage])));
            }
        }
        stuck.map_or(Ok(()), Err)
    }
}

/// A part that cannot fail, only end.
async fn endless(part: impl Future<Output = ()>) -> Result<(), local::Error> {
    part.await;
    Ok(())
}
