//! The loop: watches feed the cache, what changed is queued, passes run side by side and report back.
//!
//! One task owns the cache, so there are no locks. A Job never has two passes at a time. Nothing polls: a pass follows a change, the end
//! of a wait, or a pass that wrote something.

use crate::local::workload::jobs::announce;
use crate::local::workload::jobs::apply::Error;
use crate::local::workload::jobs::apply::Left;
use crate::local::workload::jobs::apply::Operator;
use crate::local::workload::jobs::apply::Report;
use crate::local::workload::jobs::apply::Trust;
use crate::local::workload::jobs::apply::Work;
use crate::local::workload::jobs::backoff::Pace;
use crate::local::workload::jobs::cache::Cache;
use crate::local::workload::jobs::cache::Source;
use crate::local::workload::jobs::cache::Uid;
use crate::local::workload::jobs::queue::Queue;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::debug;
use tracing::debug_span;
use tracing::warn;

/// After an error a Job is looked at again after 50 ms, doubled up to 30 s. A change wakes it at once.
const RETRY: Pace = Pace { base: Duration::from_millis(50), cap: Duration::from_secs(30) };
/// How long passes may take to end when the process does.
const DRAIN: Duration = Duration::from_secs(5);
/// A timer that is a little late finds the time it waited for to have come.
const LATE: Duration = Duration::from_millis(1);

/// How the controller works.
#[derive(Clone, Copy, Debug)]
pub(in crate::local::workload) struct Settings {
    pub(in crate::local::workload) backoff_base: Duration,
    pub(in crate::local::workload) backoff_cap: Duration,
    pub(in crate::local::workload) concurrency: usize,
    pub(in crate::local::workload) status_delay: Duration,
}

/// Runs the controller until the shutdown.
pub(in crate::local::workload) async fn run(client: Client, settings: Settings, shutdown: CancellationToken) {
    let (announcer, events) = announce::announcer();
    let pace = Pace { base: settings.backoff_base, cap: settings.backoff_cap };
    let operator = Operator { client: client.clone(), pace, announcer };
    let controller = Controller {
        operator,
        settings,
        cache: Cache::default(),
        queue: Queue::default(),
        passes: JoinSet::new(),
        busy: HashSet::new(),
        again: HashSet::new(),
        errors: HashMap::new(),
        lazy: HashMap::new(),
        listed: (false, false),
    };
    tokio::join!(controller.run(client.clone(), &shutdown), announce::write(&client, events, &shutdown));
}

struct Controller {
    operator: Operator,
    settings: Settings,
    cache: Cache,
    queue: Queue,
    passes: JoinSet<(Uid, Report, Result<(), Error>)>,
    busy: HashSet<Uid>,
    /// Changed while their pass ran.
    again: HashSet<Uid>,
    /// Errors in a row.
    errors: HashMap<Uid, u32>,
    /// Since when a status waits that nobody waits for.
    lazy: HashMap<Uid, Instant>,
    /// The first lists of Jobs and Pods are complete. Before that nothing may be decided.
    listed: (bool, bool),
}

impl Controller {
    async fn run(mut self, client: Client, shutdown: &CancellationToken) {
        let mut jobs =
            watcher(Api::<Job>::all(client.clone()), watcher::Config::default()).default_backoff().boxed();
        let mut pods = watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff().boxed();
        loop {
            self.start_passes();
            let due = self.queue.next();
            let timer = async move {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(event) = jobs.next() => self.job_event(event),
                Some(event) = pods.next() => self.pod_event(event),
                Some(done) = self.passes.join_next(), if !self.passes.is_empty() => match done {
                    Ok((uid, report, result)) => self.finish(&uid, report, result),
                    // The Job of a pass that panicked stays busy: looking again would panic again.
                    Err(error) => warn!(error = %error, "a pass over a job died"),
                },
                () = timer => self.queue.advance(Instant::now()),
            }
        }
        let drained =
            tokio::time::timeout(DRAIN, async { while self.passes.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            warn!("passes over jobs did not end in time");
        }
    }

    fn job_event(&mut self, event: watcher::Result<Event<Job>>) {
        let touched = match event {
            Ok(Event::Apply(job) | Event::InitApply(job)) => {
                self.cache.job(job, Source::Watch).into_iter().collect()
            }
            Ok(Event::Delete(job)) => {
                job.metadata.uid.and_then(|uid| self.cache.job_gone(&uid.into())).into_iter().collect()
            }
            Ok(Event::Init) => {
                self.cache.jobs_list_begins();
                Vec::new()
            }
            Ok(Event::InitDone) => {
                self.listed.0 = true;
                self.cache.jobs_list_ends()
            }
            Err(error) => {
                warn!(error = %error, "the watch of jobs is interrupted");
                Vec::new()
            }
        };
        self.touch(touched);
    }

    fn pod_event(&mut self, event: watcher::Result<Event<Pod>>) {
        let touched = match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => self.cache.pod(&pod, Source::Watch),
            Ok(Event::Delete(pod)) => {
                pod.metadata.uid.and_then(|uid| self.cache.forget(&uid.into())).into_iter().collect()
            }
            Ok(Event::Init) => {
                self.cache.pods_list_begins();
                Vec::new()
            }
            Ok(Event::InitDone) => {
                self.listed.1 = true;
                self.cache.pods_list_ends()
            }
            Err(error) => {
                warn!(error = %error, "the watch of pods is interrupted");
                Vec::new()
            }
        };
        self.touch(touched);
    }

    fn touch(&mut self, touched: Vec<Uid>) {
        for uid in touched {
            self.queue.push(uid);
        }
    }

    fn start_passes(&mut self) {
        if self.listed != (true, true) {
            return;
        }
        while self.passes.len() < self.settings.concurrency.max(1) {
            let Some(uid) = self.queue.pop() else { return };
            if self.busy.contains(&uid) {
                self.again.insert(uid);
                continue;
            }
            let Some(entry) = self.cache.get(&uid) else {
                self.forget(&uid);
                continue;
            };
            let work = Work {
                uid: uid.clone(),
                namespace: entry.namespace.clone(),
                name: entry.name.clone(),
                job: entry.job.clone(),
                deleted: entry.deleted,
                pods: entry.pods.values().cloned().collect(),
                streak: entry.streak.clone(),
                verify: entry.verify,
                flush: self.lazy.get(&uid).is_some_and(|since| since.elapsed() >= self.settings.status_delay),
            };
            self.cache.begin(&uid);
            self.busy.insert(uid.clone());
            let operator = self.operator.clone();
            let span = debug_span!("job", namespace = %work.namespace, name = %work.name);
            self.passes.spawn(
                async move {
                    let (report, result) = operator.pass(work).await;
                    (uid, report, result)
                }
                .instrument(span),
            );
        }
    }

    /// Takes in what a pass did, and queues the Job again if that calls for it.
    fn finish(&mut self, uid: &Uid, report: Report, result: Result<(), Error>) {
        let Report { job, pods, gone, streak, left, again, trust } = report;
        self.busy.remove(uid);
        if let Some(entry) = self.cache.get_mut(uid) {
            entry.verify = trust == Trust::Doubtful || entry.verify && trust == Trust::Same;
            entry.streak = streak.unwrap_or_else(|| std::mem::take(&mut entry.streak));
        }
        job.and_then(|job| self.cache.job(job, Source::Write));
        for pod in &pods {
            self.cache.pod(pod, Source::Write);
        }
        for pod in gone {
            self.cache.forget(&pod.into());
        }
        let kept = self.cache.end(uid);
        let changed = self.again.remove(uid);
        if !kept {
            self.forget(uid);
            return;
        }
        if left == Left::Status {
            let since = *self.lazy.entry(uid.clone()).or_insert_with(Instant::now);
            self.queue.push_at(uid.clone(), since + self.settings.status_delay);
        } else {
            self.lazy.remove(uid);
        }
        if let Some(at) = again {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            self.queue.push_at(uid.clone(), Instant::now() + wait + LATE);
        }
        match result {
            Ok(()) => {
                self.errors.remove(uid);
                if left == Left::Decision || changed {
                    self.queue.push(uid.clone());
                }
            }
            Err(error) => self.failed(uid, &error, changed),
        }
    }

    fn failed(&mut self, uid: &Uid, error: &Error, changed: bool) {
        let failures = self.errors.entry(uid.clone()).or_default();
        *failures = failures.saturating_add(1);
        let doublings = failures.saturating_sub(1).min(20);
        let wait = RETRY.base.saturating_mul(1 << doublings).min(RETRY.cap);
        if error.conflict() {
            debug!(job = %uid, error = %error, "the job changed during a pass");
        } else {
            let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            warn!(job = %uid, retry_in = ?wait, cause = %source, error = %error, "a pass over a job failed");
        }
        if changed {
            self.queue.push(uid.clone());
        }
        self.queue.push_at(uid.clone(), Instant::now() + wait);
    }

    fn forget(&mut self, uid: &Uid) {
        self.queue.remove(uid);
        self.errors.remove(uid);
        self.lazy.remove(uid);
        self.again.remove(uid);
    }
}
