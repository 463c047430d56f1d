//! One Pod from its start to its end: containers in their order, deadlines, deletion, and the reports on the way.
//!
//! Three things go on side by side: the containers run; something may doom them (deletion, the deadline, the end of this runner), which
//! only names a moment by which they must be gone; and the reporter brings whatever state there is to the API server.

mod attempt;
mod containers;
mod prepare;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::local::runner::context::Context;
use crate::local::runner::directory::PodDirectory;
use crate::local::runner::materialise;
use crate::local::runner::process::Stop;
use crate::local::runner::records::{self, Identity};
use crate::local::runner::recovery::{self, Kept};
use crate::local::runner::report::Reporter;
use crate::local::runner::state::{Activity, PodState, Verdict};

/// Grace when a Pod asks for none: Kubernetes' default, in seconds.
const DEFAULT_GRACE: i64 = 30;

/// Grace of a Pod whose object is gone already (it was deleted by force).
const GONE_GRACE: Duration = Duration::from_secs(1);

/// What the watch last showed of a Pod.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) pod: Arc<Pod>,
    /// The object does not exist any more.
    pub(super) gone: bool,
}

/// The one who looks after a Pod.
pub(super) struct Worker {
    context: Arc<Context>,
    pod: Arc<Pod>,
    directory: PodDirectory,
    state: watch::Sender<PodState>,
    /// When everything must be gone; earlier moments replace later ones.
    stop: watch::Sender<Option<Instant>>,
}

impl Worker {
    /// Runs a Pod to its end, which is stored in the API when this returns, unless the Pod vanished or the runner had to end.
    /// Tells whether the Pod was deleted and let go.
    pub(super) async fn run(context: Arc<Context>, mut seen: watch::Receiver<Seen>) -> bool {
        let pod = seen.borrow().pod.clone();
        let directory =
            PodDirectory::new(&context.options.root, pod.metadata.uid.as_deref().unwrap_or_default());
        let now = Timestamp::now();
        let recovered = recovered(&pod, &directory, now).await;
        let fresh = recovered.is_none();
        let state = recovered.unwrap_or_else(|| new_state(&pod, now));
        let reported = !fresh && is_terminal(&pod);
        let worker = Self {
            context,
            pod,
            directory,
            state: watch::Sender::new(state),
            stop: watch::Sender::new(None),
        };
        if !reported {
            worker.live(fresh, &mut seen).await;
        }
        worker.let_go(&mut seen).await
    }

    /// Runs the containers of a new Pod and reports.
    async fn live(&self, fresh: bool, seen: &mut watch::Receiver<Seen>) {
        let mut states = self.state.subscribe();
        let mut gone = seen.clone();
        let reporter = Reporter { context: &self.context, pod: &self.pod };
        if !fresh {
            // The first state is the final one.
            reporter.run(&mut states, vanished(&mut gone)).await;
            return;
        }
        self.announce_logs();
        let run = async {
            tokio::select! {
                () = self.containers() => {}
                () = self.control(seen) => {}
            }
            self.state.send_modify(|state| state.finished = true);
        };
        let report = async {
            // The beginning is not worth a request: it is over in a moment.
            if states.changed().await.is_ok() {
                reporter.run(&mut states, vanished(&mut gone)).await;
            }
        };
        tokio::join!(run, report);
    }

    /// Makes the containers known to readers of logs, who learn that they have to wait.
    fn announce_logs(&self) {
        let (init, main) = recovery::names(&self.pod);
        let containers = init.into_iter().chain(main).map(|name| (name.to_owned(), None));
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        self.context.logs.add(self.names(), uid, &self.directory, containers);
    }

    /// After the end: what only a running Pod needs is removed, and a deleted Pod is let go.
    async fn let_go(&self, seen: &mut watch::Receiver<Seen>) -> bool {
        let volumes = self.directory.volumes();
        let removed = blocking(move || materialise::remove(&volumes)).await;
        if let Err(error) = removed {
            tracing::warn!(
                pod = self.name(),
                error = &error as &dyn std::error::Error,
                "volumes not removed"
            );
        }
        let (deleted, gone) = {
            let seen = seen.borrow_and_update();
            (seen.pod.metadata.deletion_timestamp.is_some(), seen.gone)
        };
        if !deleted || gone {
            return false;
        }
        let reporter = Reporter { context: &self.context, pod: &self.pod };
        tokio::select! {
            () = reporter.release() => {}
            () = vanished(seen) => {}
        }
        true
    }

    /// Watches for what ends a Pod early; never returns.
    async fn control(&self, seen: &mut watch::Receiver<Seen>) {
        let mut over = false;
        loop {
            let current = seen.borrow_and_update().clone();
            if current.gone {
                self.stop_by(Instant::now() + GONE_GRACE);
            } else if current.pod.metadata.deletion_timestamp.is_some() {
                self.stop_by(Instant::now() + grace(&current.pod));
            }
            let left = self.time_left(&current.pod);
            tokio::select! {
                Ok(()) = seen.changed() => {}
                () = elapse(left), if !over => {
                    over = true;
                    let message = "Pod was active on the node longer than the specified deadline";
                    self.doom("DeadlineExceeded", message, false).await;
                    self.stop_by(Instant::now() + grace(&current.pod));
                }
                () = self.context.shutdown.cancelled(), if self.stop_is_later() => {
                    self.doom("Terminated", "the runner was stopped", true).await;
                    self.stop_by(Instant::now() + self.context.options.shutdown_grace);
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Whether the end of the runner would still hasten the end of this Pod.
    fn stop_is_later(&self) -> bool {
        self.stop.borrow().is_none_or(|moment| moment > Instant::now() + self.context.options.shutdown_grace)
    }

    fn time_left(&self, pod: &Pod) -> Option<Duration> {
        let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
        let elapsed = Timestamp::now().duration_since(self.state.borrow().started_at);
        let elapsed = Duration::try_from(elapsed).unwrap_or_default();
        Some(Duration::from_secs(seconds.max(0).unsigned_abs()).saturating_sub(elapsed))
    }

    /// Decides that the Pod fails, and writes it down before anything is stopped: a crash in between must not change the reason.
    async fn doom(&self, reason: &'static str, message: &str, disruption: bool) {
        let verdict = Verdict { reason: reason.to_owned(), message: message.to_owned(), disruption };
        self.state.send_if_modified(|state| {
            state.verdict.get_or_insert(verdict);
            // Not worth a report: it shows at the end.
            false
        });
        self.warn(self.write_identity().await, "verdict on the pod not kept");
    }

    fn stop_by(&self, moment: Instant) {
        self.stop.send_if_modified(|stop| {
            let sooner = stop.is_none_or(|known| moment < known);
            if sooner {
                *stop = Some(moment);
            }
            sooner
        });
    }

    fn stopping(&self) -> Stop {
        self.stop.subscribe()
    }

    async fn write_identity(&self) -> io::Result<()> {
        let (namespace, name) = self.names();
        let identity = {
            let state = self.state.borrow();
            Identity {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                started_at: state.started_at,
                verdict: state.verdict.clone(),
            }
        };
        let directory = self.directory.clone();
        let written = blocking(move || {
            std::fs::create_dir_all(directory.root())?;
            records::write(&directory.identity(), &identity)
        });
        written.await
    }

    fn warn(&self, result: io::Result<()>, what: &'static str) {
        if let Err(error) = result {
            let (namespace, pod) = self.names();
            tracing::warn!(namespace, pod, error = &error as &dyn std::error::Error, "{what}");
        }
    }

    fn names(&self) -> (&str, &str) {
        let metadata = &self.pod.metadata;
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }

    fn name(&self) -> &str {
        self.names().1
    }
}

async fn recovered(pod: &Arc<Pod>, directory: &PodDirectory, now: Timestamp) -> Option<PodState> {
    let (pod, directory) = (pod.clone(), directory.clone());
    let look = move || {
        let (init, main) = recovery::names(&pod);
        let last = |name: &&str| records::last_attempt(&directory, name);
        let kept = Kept {
            identity: records::read(&directory.identity()),
            init: init.iter().map(last).collect(),
            main: main.iter().map(last).collect(),
        };
        recovery::recover(&pod, kept, now)
    };
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

fn new_state(pod: &Pod, now: Timestamp) -> PodState {
    let (init, main) = recovery::names(pod);
    PodState::new(recovery::start_time(pod).unwrap_or(now), init.len(), main.len())
}

fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// How long a Pod's processes may take to end: what the deletion says, else what the Pod asks for.
fn grace(pod: &Pod) -> Duration {
    let asked = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let seconds = pod.metadata.deletion_grace_period_seconds.or(asked).unwrap_or(DEFAULT_GRACE);
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

async fn vanished(seen: &mut watch::Receiver<Seen>) {
    if seen.wait_for(|seen| seen.gone).await.is_err() {
        // Nobody watches any more: that says nothing about the Pod.
        std::future::pending::<()>().await;
    }
}

async fn elapse(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Runs blocking work off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The activity of a container that has to wait.
fn waiting(reason: &'static str, message: impl Into<Option<String>>) -> Activity {
    Activity::Waiting { reason, message: message.into() }
}
