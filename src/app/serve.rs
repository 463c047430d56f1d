//! What runs in a cluster: an event sink, controllers, the API of Cloud Run, or some of them, and a port for whoever runs
//! them.
//!
//! The end is the part with an order. A cluster goes on sending events to a process that was told to end, until every
//! node has heard of it; so the sink first says that it is not ready, takes events for some seconds more, and only then
//! stops accepting and lets what is in flight finish. The controllers end meanwhile: nobody sends them anything. The
//! admin port ends last, because it tells how the rest is doing.

use std::net::SocketAddr;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use prometheus_client::metrics::info::Info;

use super::Error;
use super::access::{self, Access, TlsFiles};
use super::admin::{Admin, Probe};
use super::leader::{self, Election, LeaseOptions};
use super::preflight::{self, Waiting};
use super::stage::Stage;
use crate::cloudrun::CloudRun;
use crate::controllers;
use crate::listen::Listener;
use crate::manners::Manners;
use crate::sink::{self, Sink};
use crate::triggers::Triggers;

/// Longest pause between "not ready" and the end of accepting. Nodes hear of it within a second or two; five is what
/// people write into their `preStop` hooks.
const LEAVE: Duration = Duration::from_secs(5);
/// Kept of the time to end for what comes after the drain: joining tasks and the admin port.
const RESERVE: Duration = Duration::from_secs(1);

/// What `kakehi serve` starts.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Receive events.
    pub sink: Option<SinkRole>,
    /// Turn Executions into Jobs.
    pub controller: Option<ControllerRole>,
    /// Answer clients of Cloud Run.
    pub api: Option<ApiRole>,
    /// Where health is told; port 0 takes a free one.
    pub admin: SocketAddr,
    /// Time that the end may take.
    pub grace: Duration,
}

/// The event sink.
#[derive(Debug, Clone)]
pub struct SinkRole {
    /// Where events are sent; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its limits.
    pub options: sink::Options,
    /// The namespace whose events are taken; none for all of them.
    pub namespace: Option<String>,
}

/// The API of Cloud Run.
#[derive(Debug, Clone)]
pub struct ApiRole {
    /// Where it is; port 0 takes a free one.
    pub address: SocketAddr,
    /// The namespace that there are rights in; none for all of them.
    pub namespace: Option<String>,
    /// Who is let in.
    pub access: Access,
    /// Its certificate; none for a port without TLS.
    pub tls: Option<TlsFiles>,
}

/// The controllers.
#[derive(Debug, Clone)]
pub struct ControllerRole {
    /// What they need to know.
    pub options: controllers::Options,
    /// What decides which of several processes works.
    pub lease: LeaseOptions,
}

/// Clients of the API server.
#[derive(Clone)]
pub struct Clients {
    /// For the work.
    pub work: Client,
    /// For the election alone, so that a renewal never waits behind the work.
    pub election: Client,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// The running parts.
pub struct Serve {
    grace: Duration,
    /// Cancelled first: nobody is ready any more.
    leaving: CancellationToken,
    sink: Option<(Sink, SocketAddr)>,
    api_address: Option<SocketAddr>,
    admin_address: SocketAddr,
    sinking: Stage,
    following: Stage,
    controlling: Stage,
    answering: Stage,
    admin: Stage,
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("sink", &self.sink)
            .field("admin", &self.admin_address)
            .finish_non_exhaustive()
    }
}

/// How the time to end is spent.
#[derive(Debug, PartialEq, Eq)]
struct Schedule {
    /// Not ready, but still accepting.
    leave: Duration,
    /// Requests in flight finish.
    drain: Duration,
}

impl Schedule {
    fn of(grace: Duration) -> Self {
        let leave = (grace / 5).min(LEAVE);
        Self { leave, drain: grace.saturating_sub(leave + RESERVE) }
    }
}

impl Serve {
    /// Binds the ports and starts every part. What the API server cannot do yet is waited for: see `/readyz`.
    pub async fn start(clients: Clients, options: ServeOptions) -> Result<Self, Error> {
        let ServeOptions { sink, controller, api, admin, grace } = options;
        // Ports first: what is taken shows before anything has begun.
        let admin_port = bind("the admin port", admin).await?;
        let mut serve = Self {
            grace,
            leaving: CancellationToken::new(),
            sink: None,
            api_address: None,
            admin_address: admin_port.address(),
            sinking: Stage::new("the event sink"),
            following: Stage::new("the watch of Triggers"),
            controlling: Stage::new("the controllers"),
            answering: Stage::new("the API of Cloud Run"),
            admin: Stage::new("the admin port"),
        };
        let leaving = serve.leaving.clone();
        let stopping: Probe = Box::new(move || leaving.is_cancelled().then(|| "stopping".to_owned()));
        let mut admin = Admin { ready: vec![stopping], ..Admin::default() };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        admin.counted.register("kakehi_build", "What is running", build);
        if let Some(role) = sink {
            serve.start_sink(&clients.work, role, &mut admin).await?;
        }
        if let Some(role) = api {
            serve.start_api(&clients.work, role, &mut admin).await?;
        }
        if let Some(role) = controller {
            serve.start_controllers(clients, role, &mut admin);
        }
        let until = serve.admin.token();
        serve.admin.spawn_endless(admin_port.serve(admin.router(), until, RESERVE));
        Ok(serve)
    }

    async fn start_sink(&mut self, client: &Client, role: SinkRole, admin: &mut Admin) -> Result<(), Error> {
        let SinkRole { address, options, namespace } = role;
        let port = bind("the event sink", address).await?;
        // A sender that waits for us is told at once when to come back, so nothing is held back here.
        let manners = Manners { pause: Duration::ZERO, ..Manners::default() };
        let mut triggers = Triggers::new(manners.towards(client));
        if let Some(namespace) = &namespace {
            triggers = triggers.within(namespace);
        }
        let sink = Sink::new(client.clone(), triggers.clone(), options, self.sinking.token());
        sink.register(&mut admin.counted);
        self.sink = Some((sink.clone(), port.address()));

        let (waiting, known) = (Waiting::new(), triggers.clone());
        admin.ready.push(waiting.probe());
        admin.ready.push(Box::new(move || {
            (!known.is_ready()).then(|| "jobs, triggers and namespaces are not followed (yet)".to_owned())
        }));
        let (client, until, follower) = (client.clone(), self.following.token(), sink.clone());
        self.following.spawn_endless(async move {
            let asked = preflight::of_sink();
            let passed = preflight::pass(&client, &asked, namespace.as_deref(), &waiting);
            if until.run_until_cancelled(passed).await.is_some() {
                tokio::join!(triggers.run(until.clone()), follower.follow(until));
            }
        });
        let (until, drain) = (self.sinking.token(), Schedule::of(self.grace).drain);
        self.sinking.spawn_endless(async move {
            port.serve(sink.router(), until, drain).await;
            sink.finish().await;
        });
        Ok(())
    }

    async fn start_api(&mut self, client: &Client, role: ApiRole, admin: &mut Admin) -> Result<(), Error> {
        let ApiRole { address, namespace, access, tls } = role;
        let (gate, tls) = (access.gate(client).await?, access::tls(tls).await?);
        let port = bind("the API of Cloud Run", address).await?.with_tls(tls);
        if !port.is_private() && !gate.is_open() {
            tracing::warn!("the API of Cloud Run is served without TLS: tokens are readable on their way");
        }
        self.api_address = Some(port.address());
        let mut api = CloudRun::new(client.clone(), gate);
        if let Some(namespace) = &namespace {
            api = api.within(namespace);
        }
        api.register(&mut admin.counted);
        let (waiting, known) = (Waiting::new(), api.clone());
        admin.ready.push(waiting.probe());
        admin.ready.push(Box::new(move || {
            (!known.is_ready()).then(|| "jobs and executions are not followed (yet)".to_owned())
        }));
        let (until, drain) = (self.answering.token(), Schedule::of(self.grace).drain);
        self.answering.spawn_endless(port.serve(api.router(), until.clone(), drain));
        let client = client.clone();
        self.answering.spawn_endless(async move {
            let asked = preflight::of_api();
            let passed = preflight::pass(&client, &asked, namespace.as_deref(), &waiting);
            if until.run_until_cancelled(passed).await.is_some() {
                api.run(until).await;
            }
        });
        Ok(())
    }

    fn start_controllers(&mut self, clients: Clients, role: ControllerRole, admin: &mut Admin) {
        let Clients { work: client, election } = clients;
        let ControllerRole { options, lease } = role;
        let silence = lease.timing.duration;
        let election = Election::new(election, client.clone(), lease);
        let (waiting, standing) = (Waiting::new(), election.standing());
        admin.ready.push(waiting.probe());
        admin.ready.push(standing.is_heard(silence));
        admin.alive.push(standing.is_alive());
        standing.register(&mut admin.counted);
        options.metrics.register(&mut admin.counted);
        let caches = options.caches.clone();
        admin.ready.push(Box::new(move || {
            caches.are_cold().then(|| "the controllers do not know every object yet".to_owned())
        }));
        let until = self.controlling.token();
        self.controlling.spawn(async move {
            let asked = preflight::of_controllers();
            let passed = preflight::pass(&client, &asked, options.namespace.as_deref(), &waiting);
            if until.run_until_cancelled(passed).await.is_none() {
                return Ok::<_, leader::Error>(());
            }
            election.run(move |client, until| controllers::run(client, options.clone(), until), until).await
        });
    }

    /// Where events are sent, if this process takes any.
    pub fn sink_address(&self) -> Option<SocketAddr> {
        self.sink.as_ref().map(|(_, address)| *address)
    }

    /// Where clients of Cloud Run find their API, if this process has it.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api_address
    }

    /// Where health is told.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Waits until a part ends although nobody asked it to: a fault that nothing else would show.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            error = self.sinking.ended() => error,
            error = self.following.ended() => error,
            error = self.controlling.ended() => error,
            error = self.answering.ended() => error,
            error = self.admin.ended() => error,
        }
    }

    /// Ends every part within the time that was given for it.
    pub async fn stop(mut self) -> Result<(), Error> {
        let end = Instant::now() + self.grace.saturating_sub(RESERVE / 2);
        let left = || end.saturating_duration_since(Instant::now());
        self.leaving.cancel();
        let sinking = async {
            if let Some((sink, _)) = &self.sink {
                sink.leave();
                tokio::time::sleep(Schedule::of(self.grace).leave).await;
            }
            let sank = self.sinking.stop(left()).await;
            // What the sink still answers, it answers from what is followed.
            sank.and(self.following.stop(left()).await)
        };
        let answering = async {
            if self.api_address.is_some() {
                tokio::time::sleep(Schedule::of(self.grace).leave).await;
            }
            self.answering.stop(left()).await
        };
        let (sank, answered, controlled) = tokio::join!(sinking, answering, self.controlling.stop(left()));
        let told = self.admin.stop(left().max(RESERVE / 4)).await;
        sank.and(answered).and(controlled).and(told)
    }
}

async fn bind(part: &'static str, address: SocketAddr) -> Result<Listener, Error> {
    Listener::bind(address).await.map_err(|source| Error::Bind { part, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_fits_into_its_time() {
        let seconds = Duration::from_secs;
        assert_eq!(Schedule::of(seconds(25)), Schedule { leave: seconds(5), drain: seconds(19) });
        assert_eq!(Schedule::of(seconds(5)), Schedule { leave: seconds(1), drain: seconds(3) });
        assert_eq!(Schedule::of(seconds(300)).leave, LEAVE);
        assert_eq!(Schedule::of(Duration::ZERO), Schedule { leave: Duration::ZERO, drain: Duration::ZERO });
    }
}
