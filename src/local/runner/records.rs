//! What is kept on disk about a Pod, so that a runner that was killed knows on its return what ran and how it ended.
//!
//! Order of writing: `pod.json` before the first process, `<attempt>.json` with the process's number when it has started and with its exit
//! when it has ended, and only then the report to the API server. Files are replaced whole, so they are never half-written. They
//! are not flushed to the disk: after a power failure a Pod counts as lost, which repeats work but never loses any.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::local::runner::directory::{self, PodDirectory};
use crate::local::runner::logs::LogIndex;
use crate::local::runner::process;
use crate::local::runner::state::{Exit, Verdict};

/// Who a Pod's directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) started_at: Timestamp,
    /// The Pod is doomed, whatever its processes answer: written before they are stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
}

/// One attempt of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) pid: i32,
    /// See `process::start_ticks`; `None` where the system does not tell.
    pub(super) start: Option<u64>,
    pub(super) started_at: Timestamp,
    /// `None` while it runs.
    pub(super) exit: Option<Exit>,
}

/// Replaces a file by the record. Blocks.
pub(super) fn write<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(&new, path)
}

/// Reads a record; what is not there or cannot be read is as good as never written. Blocks.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The last attempt of a container and its number. Blocks.
pub(super) fn last_attempt(directory: &PodDirectory, container: &str) -> Option<(u32, Attempt)> {
    let entries = std::fs::read_dir(directory.container(container)).ok()?;
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".json")?.parse::<u32>().ok()
    });
    let last = numbers.max()?;
    read(&directory.record(container, last)).map(|attempt| (last, attempt))
}

/// Takes over what a former run left: kills its processes and makes its logs known. Returns the Pods that have a directory. Blocks.
pub(super) fn take_over(root: &Path, logs: &LogIndex) -> io::Result<Vec<String>> {
    let pods = directory::pods(root);
    std::fs::create_dir_all(&pods)?;
    let killed = kill_leftovers(root);
    if killed > 0 {
        tracing::warn!(killed, "processes of a former run were still there");
    }
    let uids = names(&pods);
    for uid in &uids {
        let directory = PodDirectory::new(root, uid);
        let Some(identity) = read::<Identity>(&directory.identity()) else { continue };
        let containers = names(&directory.containers()).into_iter().map(|name| {
            let attempt = last_attempt(&directory, &name).map(|(number, _)| number);
            (name, attempt)
        });
        logs.add((&identity.namespace, &identity.name), uid, &directory, containers);
    }
    Ok(uids)
}

/// Kills what a former run left behind: marked processes, and recorded ones that lost their mark. Blocks.
fn kill_leftovers(root: &Path) -> usize {
    let pods = directory::pods(root);
    let mut killed = process::kill_marked(&pods);
    for directory in names(&pods).iter().map(|uid| PodDirectory::new(root, uid)) {
        for container in names(&directory.containers()) {
            let Some((_, attempt)) = last_attempt(&directory, &container) else { continue };
            let Attempt { pid, start: Some(start), exit: None, .. } = attempt else { continue };
            if process::is_alive(pid, start) {
                process::kill_group(pid);
                killed += 1;
            }
        }
    }
    killed
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(pid: i32, start: Option<u64>) -> Attempt {
        Attempt { pid, start, started_at: Timestamp::UNIX_EPOCH, exit: None }
    }

    fn directory(root: &Path) -> PodDirectory {
        let directory = PodDirectory::new(root, "u-1");
        std::fs::create_dir_all(directory.container("main")).unwrap();
        directory
    }

    #[test]
    fn a_record_is_read_back() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path());
        let verdict = Some(Verdict { reason: "X".to_owned(), message: "m".to_owned(), disruption: true });
        let identity = Identity {
            namespace: "ns".to_owned(),
            name: "p".to_owned(),
            started_at: "2026-01-02T03:04:05.6Z".parse().unwrap(),
            verdict,
        };
        write(&directory.identity(), &identity).unwrap();
        assert_eq!(read::<Identity>(&directory.identity()), Some(identity));
        let logs = LogIndex::default();
        assert_eq!(take_over(root.path(), &logs).unwrap(), ["u-1"]);
        assert!(logs.find("ns", "p", "main", false).is_err(), "it was never started");
        write(&directory.record("main", 3), &attempt(1, None)).unwrap();
        take_over(root.path(), &logs).unwrap();
        assert_eq!(logs.find("ns", "p", "main", false).unwrap().path, directory.log("main", 3));
    }

    #[test]
    fn the_last_attempt_counts_by_number_not_by_name() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path());
        assert_eq!(last_attempt(&directory, "main"), None);
        for number in [2, 9, 10] {
            write(&directory.record("main", number), &attempt(i32::try_from(number).unwrap(), None)).unwrap();
        }
        std::fs::write(directory.log("main", 11), "").unwrap();
        assert_eq!(last_attempt(&directory, "main"), Some((10, attempt(10, None))));
    }

    #[test]
    fn what_cannot_be_read_was_never_written() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path());
        std::fs::write(directory.record("main", 0), "{\"pid\": 1").unwrap();
        assert_eq!(last_attempt(&directory, "main"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_recorded_process_is_killed_only_if_it_is_still_the_same() {
        use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path());
        let mut child = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = process::start_ticks(pid).unwrap();

        write(&directory.record("main", 0), &attempt(pid, Some(start + 1))).unwrap();
        assert_eq!(kill_leftovers(root.path()), 0, "the number was reused by a stranger");
        assert!(child.try_wait().unwrap().is_none());

        write(&directory.record("main", 0), &attempt(pid, Some(start))).unwrap();
        assert_eq!(kill_leftovers(root.path()), 1);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
