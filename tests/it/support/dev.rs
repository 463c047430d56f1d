//! `kakehi dev` as a process of its own: started, killed, started again on the same state.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use kube::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// A running `kakehi dev`. It is killed when dropped.
#[derive(Debug)]
pub struct DevProcess {
    child: Child,
    /// Where it listens, as it says itself.
    pub addresses: Addresses,
}

/// What `kakehi dev -o json` prints first.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    /// URL of the Kubernetes API.
    pub api: String,
    /// URL of the event sink.
    pub sink: String,
}

impl DevProcess {
    /// Starts it on the state in `directory`, with free ports, and waits until it says that it is ready.
    pub fn start(directory: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kakehi"))
            .args(["dev", "--api", "127.0.0.1:0", "--sink", "127.0.0.1:0", "-o", "json", "--data-dir"])
            .arg(directory)
            .args(more)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        output.read_line(&mut line).expect("standard output is text");
        let addresses = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("`kakehi dev` did not say where it listens: {error}: {line:?}"));
        // What it prints later must not fill the pipe and stop it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, addresses }
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        let config = kube::Config::new(self.addresses.api.parse().expect("it prints a URL"));
        Client::try_from(config).expect("a plain HTTP client needs nothing")
    }

    /// `kill -9`: no chance to write anything down.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Asks it to end, and waits for that.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"));
        kill(pid, Signal::SIGTERM).expect("it is our child");
        self.child.wait().expect("it is our child")
    }
}

impl Drop for DevProcess {
    fn drop(&mut self) {
        // It may have ended long ago.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
