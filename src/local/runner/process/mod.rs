//! Containers as processes: starting one in its own process group, stopping the group, and reading how it ended.

mod end;
mod leftovers;
mod search;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use crate::local::runner::process::end::{Ended, message};
pub(super) use crate::local::runner::process::leftovers::{is_alive, kill_group, kill_marked, start_ticks};

use crate::local::runner::launch::ContainerLaunch;

/// When a container is to stop: nothing, or the moment after which it is killed.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// A command that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?} in {directory}")]
pub(super) struct StartError {
    program: OsString,
    directory: String,
    source: io::Error,
}

impl StartError {
    /// What a shell would answer: 127 for a command that is not there, 126 for one that cannot be run; 128 is the runtimes' for the rest.
    pub(super) fn code(&self) -> i32 {
        match self.source.kind() {
            io::ErrorKind::NotFound => 127,
            io::ErrorKind::PermissionDenied => 126,
            _ => 128,
        }
    }

    /// The whole story in one line, for the Pod's status.
    pub(super) fn sentence(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

/// A running process and its group. Dropped before its end was seen, it takes the whole group with it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: i32,
    outputs: Option<(ChildStdout, ChildStderr)>,
}

impl Process {
    /// Starts a container's command. Call it within the runtime; it blocks for about a millisecond.
    ///
    /// `work` is the Pod's working directory, which exists.
    pub(super) fn start(launch: &ContainerLaunch, work: &Path) -> Result<Self, StartError> {
        let directory = working_directory(launch.working_directory.as_deref(), work);
        let failed = |source| StartError {
            program: launch.program.clone(),
            directory: directory.display().to_string(),
            source,
        };
        let path = launch.environment.get(&OsString::from("PATH"));
        let program = search::find(&launch.program, path.map(OsString::as_os_str)).map_err(failed)?;
        let mut child = Command::new(program)
            .args(&launch.arguments)
            .env_clear()
            .envs(&launch.environment)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let outputs = child.stdout.take().zip(child.stderr.take());
        Ok(Self { child, pid, outputs })
    }

    /// Standard output and standard error; given away once.
    pub(super) fn outputs(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        self.outputs.take()
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for the end of the process. When `stop` names a moment, the group gets SIGTERM at once and SIGKILL at that moment; an
    /// earlier moment may be named later. What the process leaves behind in its group is killed, as a container's end ends all of it.
    pub(super) async fn wait(&mut self, stop: &mut Stop) -> io::Result<ExitStatus> {
        let mut told = false;
        let mut killed = false;
        let status = loop {
            let kill_at = *stop.borrow_and_update();
            if let Some(moment) = kill_at {
                if !told {
                    told = true;
                    self.signal(Signal::SIGTERM);
                }
                if moment <= Instant::now() && !killed {
                    killed = true;
                    self.signal(Signal::SIGKILL);
                }
            }
            tokio::select! {
                status = self.child.wait() => break status?,
                Ok(()) = stop.changed() => {}
                () = until(kill_at), if !killed => {}
            }
        };
        // The number of a group is not given away while it has members; without any, this finds nobody.
        self.signal(Signal::SIGKILL);
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        if self.pid > 0
            && let Err(error) = killpg(Pid::from_raw(self.pid), signal)
            && error != nix::errno::Errno::ESRCH
        {
            tracing::warn!(pid = self.pid, %signal, error = &error as &dyn std::error::Error, "signal not sent");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number is known as long as the process was not waited for, and as long it is nobody else's.
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The container's `workingDir` if this machine has it, as it is or below the Pod's; else the Pod's.
fn working_directory(wanted: Option<&Path>, work: &Path) -> PathBuf {
    let Some(wanted) = wanted else { return work.to_owned() };
    let inside = work.join(wanted.strip_prefix("/").unwrap_or(wanted));
    let candidates = [wanted.is_absolute().then(|| wanted.to_owned()), Some(inside)];
    candidates.into_iter().flatten().find(|path| path.is_dir()).unwrap_or_else(|| work.to_owned())
}

/// The exit code that Kubernetes shows, and the signal if there was one.
pub(super) fn code(status: ExitStatus) -> (i32, Option<i32>) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code, None),
        (None, Some(signal)) => (128 + signal, Some(signal)),
        (None, None) => (128, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use tokio::io::AsyncReadExt as _;

    fn launch(words: &[&str]) -> ContainerLaunch {
        let mut words = words.iter().map(OsString::from);
        ContainerLaunch {
            name: "main".to_owned(),
            program: words.next().unwrap(),
            arguments: words.collect(),
            environment: BTreeMap::from([
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("A".into(), "a b".into()),
            ]),
            working_directory: None,
            places: Vec::new(),
            links: Vec::new(),
            message_from_logs: false,
        }
    }

    async fn output(launch: &ContainerLaunch, work: &Path) -> (String, (i32, Option<i32>)) {
        let mut process = Process::start(launch, work).unwrap();
        let mut text = String::new();
        let (mut stdout, _stderr) = process.outputs().unwrap();
        stdout.read_to_string(&mut text).await.unwrap();
        let (_keep, mut stop) = watch::channel(None);
        (text, code(process.wait(&mut stop).await.unwrap()))
    }

    #[tokio::test]
    async fn a_process_has_its_environment_and_nothing_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (text, code) = output(&launch(&["env"]), dir.path()).await;
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=a b", "PATH=/usr/bin:/bin"]);
        assert_eq!(code, (0, None));
    }

    #[tokio::test]
    async fn a_process_starts_in_the_directory_it_asks_for_if_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(work.join("app/src")).unwrap();
        for (wanted, want) in [
            (None, work.clone()),
            (Some("/app/src"), work.join("app/src")),
            (Some("app"), work.join("app")),
            (Some("/"), PathBuf::from("/")),
            (Some("/nowhere/at/all"), work.clone()),
        ] {
            let launch = ContainerLaunch { working_directory: wanted.map(PathBuf::from), ..launch(&["pwd"]) };
            assert_eq!(output(&launch, &work).await.0.trim(), want.to_str().unwrap(), "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn codes_and_signals_are_told_as_kubernetes_does() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(output(&launch(&["sh", "-c", "exit 3"]), dir.path()).await.1, (3, None));
        assert_eq!(output(&launch(&["sh", "-c", "kill -9 $$"]), dir.path()).await.1, (137, Some(9)));
        assert_eq!(output(&launch(&["sh", "-c", "kill -TERM $$"]), dir.path()).await.1, (143, Some(15)));
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Process::start(&launch(&["no-such-command-anywhere"]), dir.path()).unwrap_err();
        assert_eq!(missing.code(), 127);
        let sentence = missing.sentence();
        assert!(sentence.contains("no-such-command-anywhere") && sentence.contains("PATH"), "{sentence}");
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "text").unwrap();
        let refused = Process::start(&launch(&[plain.to_str().unwrap()]), dir.path()).unwrap_err();
        assert_eq!(refused.code(), 126);
        let nul = Process::start(&launch(&["echo", "a\0b"]), dir.path()).unwrap_err();
        assert_eq!(nul.code(), 128);
    }

    #[tokio::test]
    async fn a_stopped_process_gets_its_grace_and_may_end_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let mut process = Process::start(&launch(&["sh", "-c", script]), dir.path()).unwrap();
        let (mut stdout, _stderr) = process.outputs().unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        let (stopper, mut stop) = watch::channel(None);
        stopper.send_replace(Some(Instant::now() + Duration::from_secs(60)));
        assert_eq!(code(process.wait(&mut stop).await.unwrap()), (7, None));
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "bye\n");
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed_when_its_grace_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
        let mut process = Process::start(&launch(&["sh", "-c", script]), dir.path()).unwrap();
        let (mut stdout, _stderr) = process.outputs().unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        let (stopper, mut stop) = watch::channel(None);
        stopper.send_replace(Some(Instant::now() + Duration::from_secs(600)));
        // A second, shorter grace overrides the first.
        let shorten = async {
            tokio::task::yield_now().await;
            stopper.send_replace(Some(Instant::now() + Duration::from_millis(20)));
        };
        let (status, ()) = tokio::join!(process.wait(&mut stop), shorten);
        assert_eq!(code(status.unwrap()), (137, Some(9)));
    }

    #[tokio::test]
    async fn a_process_that_nobody_waits_for_takes_its_group_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo up; wait";
        let mut process = Process::start(&launch(&["sh", "-c", script]), dir.path()).unwrap();
        let (mut stdout, _stderr) = process.outputs().unwrap();
        let mut up = [0; 3];
        stdout.read_exact(&mut up).await.unwrap();
        drop(process);
        // The child in the background holds the pipe open as long as it lives.
        let mut rest = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stdout.read_to_string(&mut rest));
        read.await.expect("the child is gone").unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_the_end_of_its_group() {
        let dir = tempfile::tempdir().unwrap();
        // The pipe stays open as long as the child in the background lives: the read below would never end.
        let mut process = Process::start(&launch(&["sh", "-c", "sleep 1000 & echo up"]), dir.path()).unwrap();
        let (mut stdout, _stderr) = process.outputs().unwrap();
        let (_keep, mut stop) = watch::channel(None);
        assert_eq!(code(process.wait(&mut stop).await.unwrap()), (0, None));
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "up\n");
    }
}
