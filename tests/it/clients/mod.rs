//! Google's own clients, unmodified, against the binary. `tests/clients/` holds what they do.

mod gcloud;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cloudrun::Api;
use crate::support::cluster;
use crate::support::process::Dev;

/// Time for the package index, and for a whole life: a client waits between two looks for up to seconds.
const PATIENCE: Duration = Duration::from_secs(300);

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The output of a command that ends well, or what it said.
async fn output(command: &mut Command) -> Result<String, String> {
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = timeout(PATIENCE, ended).await.map_err(|_| "it did not end in time".to_owned())?;
    let ended = ended.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&ended.stdout), text(&ended.stderr));
    if ended.status.success() { Ok(said) } else { Err(said) }
}

/// A Python with Google's client. The environment is kept for the next time; a half-made one is made anew.
async fn python() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-python");
    let (python, wanted) = (environment.join("bin/python"), clients().join("python/requirements.txt"));
    let (done, wants) = (environment.join("installed.txt"), std::fs::read(&wanted).unwrap());
    if std::fs::read(&done).is_ok_and(|has| has == wants) {
        return Ok(python);
    }
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).await?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    output(install.arg(&wanted)).await?;
    std::fs::write(&done, wants).unwrap();
    Ok(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_lives_the_whole_life_of_a_job() {
    let python = match python().await {
        Ok(python) => python,
        Err(reason) => {
            let last = reason.lines().last().unwrap_or_default();
            return cluster::say(&format!("skipped: Google's Python client cannot be had: {last}"));
        }
    };
    if cluster::is_real() {
        tokio::join!(on_a_cluster(&python, "grpc"), on_a_cluster(&python, "rest"));
    } else {
        tokio::join!(on_a_laptop(&python, "grpc"), on_a_laptop(&python, "rest"));
    }
}

async fn on_a_laptop(python: &Path, protocol: &str) {
    let dev = Dev::start(&["--quiet"]).await;
    life(python, &dev.url("cloudRun").replace("http://", ""), "default", protocol).await;
    let (code, _) = dev.stop(Signal::SIGTERM).await;
    assert_eq!(code, 0);
}

async fn on_a_cluster(python: &Path, protocol: &str) {
    let api = Api::start().await;
    life(python, &api.address.to_string(), &api.house.namespace, protocol).await;
}

async fn life(python: &Path, address: &str, project: &str, protocol: &str) {
    let mut life = Command::new(python);
    life.arg(clients().join("python/life.py")).args([address, project, protocol]);
    // A proxy of this machine is for other addresses.
    life.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let said = output(&mut life).await.unwrap_or_else(|said| panic!("{protocol}: {said}"));
    assert!(said.lines().filter(|line| line.starts_with("ok: ")).count() >= 12, "{protocol}: {said}");
}
