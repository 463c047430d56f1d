//! Processes that outlived a runner which was killed: finding them again without ever hitting a stranger.
//!
//! A process of ours is known by the mark in its environment (`KAKEHI_MOUNTS` points below our root), which its descendants inherit wherever they went. One
//! that cleared its environment is known by its number together with its start time, which defeats the reuse of numbers. Both come from
//! `/proc`; on systems without it nothing can be told for certain, so nothing is killed.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::local::runner::launch::MOUNTS_VARIABLE;

/// Rounds of killing what is found and looking again: a process may fork while it is being looked for.
const ROUNDS: u32 = 100;

/// Between two rounds; a killed process needs a moment to be gone.
const PAUSE: Duration = Duration::from_millis(10);

/// When a process started, in the kernel's ticks since boot; `None` if there is no such process.
pub(in crate::local::runner) fn start_ticks(pid: i32) -> Option<u64> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `stat`; the second field, the name, may itself contain spaces and parentheses. Zombies are gone for our purpose.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether `pid` is still the process that started at `start`.
pub(in crate::local::runner) fn is_alive(pid: i32, start: u64) -> bool {
    pid > 0 && start_ticks(pid) == Some(start)
}

/// Kills the group of a process that is known to be alive and ours.
pub(in crate::local::runner) fn kill_group(pid: i32) {
    if let Err(error) = killpg(Pid::from_raw(pid), Signal::SIGKILL) {
        tracing::warn!(pid, error = &error as &dyn std::error::Error, "process of a former run not killed");
    }
}

/// Kills every process whose environment carries the mark of a directory below `pods`; returns how many were found. Blocks.
pub(in crate::local::runner) fn kill_marked(pods: &Path) -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS {
        let found = marked(pods);
        if found.is_empty() {
            break;
        }
        killed = killed.max(found.len());
        for pid in found {
            // Gone in the meantime is fine; what may not be killed is reported by the rounds running out.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        std::thread::sleep(PAUSE);
    }
    killed
}

fn marked(pods: &Path) -> Vec<i32> {
    let mut mark = format!("{MOUNTS_VARIABLE}=").into_bytes();
    mark.extend_from_slice(pods.as_os_str().as_bytes());
    mark.push(b'/');
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|pid| carries(*pid, &mark)).collect()
}

fn carries(pid: i32, mark: &[u8]) -> bool {
    // A zombie has no environment left, a stranger's cannot be read: both are none of ours.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    fn sleeper(pods: &Path) -> Child {
        Command::new("sleep")
            .arg("1000")
            .env(MOUNTS_VARIABLE, pods.join("u-1/containers/main/mounts"))
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[test]
    fn only_processes_with_our_mark_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("a/pods"), dir.path().join("b/pods"));
        let (mut own, mut other) = (sleeper(&ours), sleeper(&theirs));
        assert_eq!(kill_marked(&ours), 1);
        assert_eq!(own.wait().unwrap().signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(kill_marked(&ours), 0);
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = sleeper(dir.path());
        let pid = i32::try_from(child.id()).unwrap();
        let start = start_ticks(pid).unwrap();
        assert!(is_alive(pid, start));
        assert!(!is_alive(pid, start + 1));
        kill_group(pid);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!is_alive(pid, start));
    }

    #[test]
    fn the_start_is_read_behind_a_name_that_looks_like_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(ticks(&format!("7 (a) b) c) {rest}")), Some(4242));
        assert_eq!(ticks(&format!("7 (x) {}", rest.replacen('S', "Z", 1))), None);
        assert_eq!(ticks("nonsense"), None);
        assert_eq!(start_ticks(-1), None);
    }
}
