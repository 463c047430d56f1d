//! One attempt of a container: a process, its log, and the record of both.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::pin;

use crate::local::runner::launch::ContainerLaunch;
use crate::local::runner::logs::LogWriter;
use crate::local::runner::process::{self, Ended, Process};
use crate::local::runner::records::{self, Attempt};
use crate::local::runner::state::Exit;
use crate::local::runner::worker::containers::Slot;
use crate::local::runner::worker::{Worker, blocking};

/// How long a log is read on after its process has ended. Only a process that left its group can keep it open so long.
const DRAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// Starts the command, waits for its end, and keeps the result on disk before it is told to anybody.
    pub(super) async fn attempt(&self, slot: Slot, launch: &ContainerLaunch, number: u32) -> Exit {
        let started_at = Timestamp::now();
        let (process, log) = match self.start(launch, number, started_at).await {
            Ok(started) => started,
            Err(exit) => {
                self.keep(
                    launch,
                    number,
                    Attempt { pid: 0, start: None, started_at, exit: Some(exit.clone()) },
                )
                .await;
                self.context.logs.ended(self.names(), &launch.name, number);
                return exit;
            }
        };
        let pid = process.pid();
        self.context.logs.started(self.names(), &launch.name, number, log.progress());
        self.show_running(slot, number, started_at);
        let ended = self.follow(launch, process, log, started_at).await;
        let exit = self.explain(launch, number, ended).await;
        self.keep(launch, number, Attempt { pid, start: None, started_at, exit: Some(exit.clone()) }).await;
        self.forget_log(launch, number).await;
        exit
    }

    /// Starts the process and writes down which one it is.
    async fn start(
        &self,
        launch: &ContainerLaunch,
        number: u32,
        started_at: Timestamp,
    ) -> Result<(Process, LogWriter), Exit> {
        let failed = |code, message| Exit {
            code,
            signal: None,
            reason: "StartError".to_owned(),
            message: Some(message),
            started_at,
            finished_at: Timestamp::now(),
        };
        let (directory, wanted) = (self.directory.clone(), launch.clone());
        let log_bytes = self.context.options.log_bytes;
        let start = move || -> io::Result<_> {
            std::fs::write(directory.message(&wanted.name), b"")?;
            let log = LogWriter::create(directory.log(&wanted.name, number), log_bytes)?;
            let process = Process::start(&wanted, &directory.work());
            if let Ok(process) = &process {
                let start = process::start_ticks(process.pid());
                let attempt = Attempt { pid: process.pid(), start, started_at, exit: None };
                records::write(&directory.record(&wanted.name, number), &attempt)?;
            }
            Ok((process, log))
        };
        match blocking(start).await {
            Ok((Ok(process), log)) => Ok((process, log)),
            Ok((Err(error), _)) => Err(failed(error.code(), error.sentence())),
            Err(error) => Err(failed(128, format!("cannot write the files of the container: {error}"))),
        }
    }

    /// Waits for the process while its output is copied into the log.
    async fn follow(
        &self,
        launch: &ContainerLaunch,
        mut process: Process,
        mut log: LogWriter,
        started_at: Timestamp,
    ) -> Ended {
        let mut stop = self.stopping();
        let outputs = process.outputs();
        let (status, finished_at) = {
            let copy = async {
                if let Some((stdout, stderr)) = outputs {
                    log.copy(stdout, stderr).await;
                }
            };
            pin!(copy);
            let wait = process.wait(&mut stop);
            pin!(wait);
            let mut copied = false;
            let status = loop {
                tokio::select! {
                    status = &mut wait => break status,
                    () = &mut copy, if !copied => copied = true,
                }
            };
            let finished_at = Timestamp::now();
            if !copied && tokio::time::timeout(DRAIN, &mut copy).await.is_err() {
                // The container has ended, and with it all that belongs to it; what is missing in the log after that is lost.
                let container = self.directory.container(&launch.name);
                blocking(move || Ok(process::kill_marked(&container))).await.ok();
                tokio::time::timeout(DRAIN, copy).await.ok();
            }
            (status, finished_at)
        };
        log.end();
        let (code, signal) = status.map_or((128, None), process::code);
        Ended { code, signal, started_at, finished_at }
    }

    async fn explain(&self, launch: &ContainerLaunch, number: u32, ended: Ended) -> Exit {
        let log = self.directory.log(&launch.name, number);
        let log = (launch.message_from_logs && ended.code != 0).then_some(log.as_path());
        let message = process::message(&self.directory.message(&launch.name), log).await;
        ended.exit(message)
    }

    async fn keep(&self, launch: &ContainerLaunch, number: u32, attempt: Attempt) {
        let path = self.directory.record(&launch.name, number);
        let kept = blocking(move || records::write(&path, &attempt)).await;
        self.warn(kept, "result of the container not kept");
    }

    /// Only the logs of the last two attempts are kept.
    async fn forget_log(&self, launch: &ContainerLaunch, number: u32) {
        let Some(old) = number.checked_sub(2) else { return };
        let (log, record) = (self.directory.log(&launch.name, old), self.directory.record(&launch.name, old));
        let removed = blocking(move || {
            for path in [log.with_extension("log.1"), log, record] {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        });
        self.warn(removed.await, "old log not removed");
    }
}
