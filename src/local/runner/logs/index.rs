//! Which logs there are: from the names that a reader knows to the files, and to the writers of those that still grow.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::local::runner::directory::PodDirectory;
use crate::local::runner::logs::reader::LogSource;
use crate::local::runner::logs::writer::Progress;

/// Why there is no log to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::local::runner) enum NoLog {
    #[error("pod {namespace}/{pod} is not known on this node")]
    Pod { namespace: String, pod: String },
    #[error("container {container:?} in pod {pod:?} is not known on this node")]
    Container { pod: String, container: String },
    #[error("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating")]
    NotStarted { pod: String, container: String },
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious { pod: String, container: String },
}

/// The logs of all Pods whose directories exist.
#[derive(Debug, Default)]
pub(in crate::local::runner) struct LogIndex {
    known: Mutex<Known>,
}

/// (namespace, name) of a Pod.
type Key = (String, String);

#[derive(Debug, Default)]
struct Known {
    pods: HashMap<Key, PodLogs>,
    by_uid: HashMap<String, Key>,
}

#[derive(Debug)]
struct PodLogs {
    uid: String,
    directory: PodDirectory,
    /// `None`: not started yet.
    containers: BTreeMap<String, Option<ContainerLog>>,
}

#[derive(Debug)]
struct ContainerLog {
    attempt: u32,
    live: Option<watch::Receiver<Progress>>,
}

impl LogIndex {
    /// Makes a Pod known; one of the same name that was there before is forgotten.
    pub(in crate::local::runner) fn add(
        &self,
        (namespace, name): (&str, &str),
        uid: &str,
        directory: &PodDirectory,
        containers: impl Iterator<Item = (String, Option<u32>)>,
    ) {
        let started = |attempt| ContainerLog { attempt, live: None };
        let containers = containers.map(|(name, attempt)| (name, attempt.map(started))).collect();
        let logs = PodLogs { uid: uid.to_owned(), directory: directory.clone(), containers };
        let key = (namespace.to_owned(), name.to_owned());
        let mut known = self.known.lock();
        known.by_uid.insert(uid.to_owned(), key.clone());
        if let Some(before) = known.pods.insert(key, logs)
            && before.uid != uid
        {
            known.by_uid.remove(&before.uid);
        }
    }

    /// A container's new attempt writes its log.
    pub(in crate::local::runner) fn started(
        &self,
        (namespace, name): (&str, &str),
        container: &str,
        attempt: u32,
        live: watch::Receiver<Progress>,
    ) {
        self.set((namespace, name), container, ContainerLog { attempt, live: Some(live) });
    }

    /// A container's new attempt has ended before it wrote anything: its log is empty.
    pub(in crate::local::runner) fn ended(&self, names: (&str, &str), container: &str, attempt: u32) {
        self.set(names, container, ContainerLog { attempt, live: None });
    }

    fn set(&self, (namespace, name): (&str, &str), container: &str, log: ContainerLog) {
        if let Some(pod) = self.known.lock().pods.get_mut(&(namespace.to_owned(), name.to_owned())) {
            pod.containers.insert(container.to_owned(), Some(log));
        }
    }

    /// Forgets a Pod, unless another one has taken its name.
    pub(in crate::local::runner) fn remove(&self, uid: &str) {
        let mut known = self.known.lock();
        if let Some(key) = known.by_uid.remove(uid) {
            known.pods.remove(&key);
        }
    }

    /// The log of a container, or of its attempt before.
    pub(in crate::local::runner) fn find(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<LogSource, NoLog> {
        let known = self.known.lock();
        let names = || (pod.to_owned(), container.to_owned());
        let Some(found) = known.pods.get(&(namespace.to_owned(), pod.to_owned())) else {
            return Err(NoLog::Pod { namespace: namespace.to_owned(), pod: pod.to_owned() });
        };
        let log = match found.containers.get(container) {
            Some(Some(log)) => log,
            Some(None) => {
                let (pod, container) = names();
                return Err(NoLog::NotStarted { pod, container });
            }
            None => {
                let (pod, container) = names();
                return Err(NoLog::Container { pod, container });
            }
        };
        if !previous {
            return Ok(LogSource {
                path: found.directory.log(container, log.attempt),
                live: log.live.clone(),
            });
        }
        let before = log.attempt.checked_sub(1).ok_or_else(|| {
            let (pod, container) = names();
            NoLog::NoPrevious { pod, container }
        })?;
        Ok(LogSource { path: found.directory.log(container, before), live: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn index() -> LogIndex {
        let index = LogIndex::default();
        let directory = PodDirectory::new(Path::new("/data"), "u-1");
        let containers = [("main".to_owned(), Some(2)), ("later".to_owned(), None)];
        index.add(("ns", "p"), "u-1", &directory, containers.into_iter());
        index
    }

    #[test]
    fn a_log_is_found_by_the_names_that_people_use() {
        let index = index();
        let path = |previous| index.find("ns", "p", "main", previous).unwrap().path;
        assert_eq!(path(false), Path::new("/data/pods/u-1/containers/main/2.log"));
        assert_eq!(path(true), Path::new("/data/pods/u-1/containers/main/1.log"));
    }

    #[test]
    fn a_running_container_has_a_writer_to_follow() {
        let index = index();
        let progress = watch::Sender::new(Progress::default());
        index.started(("ns", "p"), "later", 0, progress.subscribe());
        assert!(index.find("ns", "p", "later", false).unwrap().live.is_some());
        assert!(matches!(index.find("ns", "p", "later", true), Err(NoLog::NoPrevious { .. })));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let index = index();
        assert!(matches!(index.find("ns", "other", "main", false), Err(NoLog::Pod { .. })));
        assert!(matches!(index.find("other", "p", "main", false), Err(NoLog::Pod { .. })));
        assert!(matches!(index.find("ns", "p", "../main", false), Err(NoLog::Container { .. })));
        assert!(matches!(index.find("ns", "p", "later", false), Err(NoLog::NotStarted { .. })));
    }

    #[test]
    fn a_pod_that_took_the_name_is_not_forgotten_with_the_one_before() {
        let index = index();
        let directory = PodDirectory::new(Path::new("/data"), "u-2");
        index.add(("ns", "p"), "u-2", &directory, [("main".to_owned(), Some(0))].into_iter());
        index.remove("u-1");
        assert!(index.find("ns", "p", "main", false).is_ok());
        index.remove("u-2");
        assert!(index.find("ns", "p", "main", false).is_err());
    }
}
