//! Runs the binary as a person would: its own environment, its own home, its output read line by line.

use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::DEADLINE;

/// Name of the file in a home whose certificates the binary trusts instead of the system's.
pub(crate) const ROOTS: &str = "roots.pem";

/// A home of its own, so that no configuration of this machine is read.
pub(crate) struct Home {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// The output of a command that ended well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The output of a command that ended well, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.good();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What a command that ended with that code said about it.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program in this home.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The binary in this home.
    pub(crate) fn kakehi(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_kakehi"));
        let roots = self.path().join(ROOTS);
        if roots.exists() {
            command.env("SSL_CERT_FILE", roots);
        }
        command.args(arguments);
        command
    }

    /// Runs the binary to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        end(self.kakehi(arguments)).await
    }
}

/// Runs a command to its end, which must come before the deadline.
pub(crate) async fn end(mut command: Command) -> Ended {
    timeout(DEADLINE, command.output()).await.expect("ends in time").unwrap().into()
}

/// `kakehi dev` on free ports.
pub(crate) struct Dev {
    pub(crate) home: Home,
    pub(crate) ready: Value,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    /// Starts it in a new home, in memory.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_in(Home::new(), &[&["--memory"], arguments].concat()).await
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start_in(home: Home, arguments: &[&str]) -> Self {
        let mut command =
            home.kakehi(&["dev", "--api", "0", "--sink", "0", "--cloud-run", "0", "-o", "json"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut dev = Self { home, ready: Value::Null, child, lines };
        dev.ready = dev.line("ready", |_| true).await;
        dev
    }

    /// The next line of that type that is wanted.
    pub(crate) async fn line(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let value: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if value["type"] == kind && wanted(&value) {
                    return value;
                }
            }
            panic!("dev ended without a line of type {kind}");
        };
        timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("no line of type {kind}"))
    }

    /// The end of the run of that name.
    pub(crate) async fn ended(&mut self, name: &str) -> Value {
        let terminal = ["Succeeded", "Failed", "Cancelled"];
        self.line("execution", |line| {
            line["name"] == name && line["phase"].as_str().is_some_and(|phase| terminal.contains(&phase))
        })
        .await
    }

    /// The URL of its `api` or `sink`.
    pub(crate) fn url(&self, part: &str) -> String {
        self.ready[part].as_str().unwrap().to_owned()
    }

    /// A client of its API.
    pub(crate) fn client(&self) -> kube::Client {
        let config = kube::Config::new(self.url("api").parse().unwrap());
        kube::Client::try_from(config).unwrap()
    }

    /// A program that finds the server by the kubeconfig.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = self.home.program(program);
        command.env("KUBECONFIG", self.ready["kubeconfig"].as_str().unwrap());
        command
    }

    /// A client verb, run to its end.
    pub(crate) async fn kakehi(&self, arguments: &[&str]) -> Ended {
        let mut command = self.program(env!("CARGO_BIN_EXE_kakehi"));
        command.args(arguments);
        end(command).await
    }

    /// Asks it to end, and returns its exit code and its home.
    pub(crate) async fn stop(mut self, signal: Signal) -> (i32, Home) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill(Pid::from_raw(id), signal).unwrap();
        let status = timeout(DEADLINE, self.child.wait()).await.expect("ends in time").unwrap();
        (status.code().unwrap_or(-1), self.home)
    }
}
