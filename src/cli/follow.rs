//! Follows a run to its end: its story on standard error, its tasks' logs on standard output, and a bar between them.

use std::pin::pin;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::time::timeout;

use super::connect::Connected;
use super::output::{FAINT, Output, paint};
use super::story;
use super::time::patience;
use super::{Error, Exit};
use crate::api::Execution;
use crate::ops::{self, LogLine, LogOptions};
use crate::plan::{Phase, is_terminal, phase};

/// Time that the last log lines have once the run has ended. They are written already and only have to be read.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Colours of the tasks, one after the other.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Green,
    AnsiColor::BrightRed,
];

/// Flags of verbs that can stay until the end of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Stay {
    /// Stay until the run has ended; the exit code is the run's
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// Show the logs of the tasks meanwhile; implies --wait
    #[arg(long)]
    pub(crate) logs: bool,
    /// Give up waiting after so long; the run goes on
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub(crate) timeout: Option<Duration>,
}

impl Stay {
    /// Whether to stay at all.
    pub(crate) fn asked(&self) -> bool {
        self.wait || self.logs
    }
}

/// Follows runs of one namespace.
#[derive(Clone)]
pub(crate) struct Follower<'a> {
    /// Where the runs are.
    pub(crate) connected: &'a Connected,
    /// Where to tell.
    pub(crate) output: &'a Output,
    /// Whether to show the logs of the tasks.
    pub(crate) logs: bool,
    /// Whether to tell how the run proceeds.
    pub(crate) story: bool,
    /// Whether log lines name their run, because several are followed.
    pub(crate) name_runs: bool,
}

impl Follower<'_> {
    /// Follows a run until it has ended, at most for `limit`.
    pub(crate) async fn until_end(&self, name: &str, limit: Option<Duration>) -> Result<Execution, Error> {
        // It holds several states of the run.
        let following = Box::pin(self.follow(name));
        let Some(limit) = limit else { return following.await };
        let gave_up = |_| Error::TimedOut { after: limit, what: format!("execution {name}") };
        timeout(limit, following).await.map_err(gave_up)?
    }

    async fn follow(&self, name: &str) -> Result<Execution, Error> {
        let first: Execution = ops::get(&self.connected.client, &self.connected.namespace, name)
            .await
            .map_err(|error| self.connected.failed(error))?;
        let count = u64::try_from(story::task_count(&first)).unwrap_or(1);
        let bar = self.output.bar(count, "tasks");
        let mut lines = self.lines(name).await?;
        let mut states = pin!(ops::watch(&self.connected.client, &self.connected.namespace, name));
        let mut last: Option<Execution> = None;
        let prefix = match (self.name_runs, count > 1) {
            (true, _) => Prefix::Run(name.to_owned()),
            (false, true) => Prefix::Task,
            (false, false) => Prefix::None,
        };
        loop {
            tokio::select! {
                Some(line) = lines.next() => self.show(line, &prefix)?,
                state = states.next() => {
                    let Some(now) = self.state(name, state)? else { continue };
                    if self.story {
                        let told = story::changes(last.as_ref(), &now);
                        told.iter().skip(usize::from(last.is_none())).for_each(|line| self.output.note(line));
                    }
                    bar.set_position(story::ended(&now));
                    if is_terminal(&now) {
                        self.drain(lines, &prefix).await?;
                        bar.finish_and_clear();
                        return Ok(now);
                    }
                    last = Some(now);
                }
            }
        }
    }

    /// The log lines of the run, or a stream that never has any.
    async fn lines(&self, name: &str) -> Result<BoxStream<'static, Result<LogLine, ops::Error>>, Error> {
        if !self.logs {
            return Ok(stream::pending().boxed());
        }
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let lines = ops::logs(&self.connected.client, &self.connected.namespace, name, options).await;
        Ok(lines.map_err(|error| self.connected.failed(error))?.fuse().boxed())
    }

    async fn drain(
        &self,
        mut lines: BoxStream<'static, Result<LogLine, ops::Error>>,
        prefix: &Prefix,
    ) -> Result<(), Error> {
        if !self.logs {
            return Ok(());
        }
        let rest = async {
            while let Some(line) = lines.next().await {
                self.show(line, prefix)?;
            }
            Ok(())
        };
        // Logs that do not end say nothing about the run.
        timeout(LAST_LINES, rest).await.unwrap_or(Ok(()))
    }

    fn show(&self, line: Result<LogLine, ops::Error>, prefix: &Prefix) -> Result<(), Error> {
        match line {
            Ok(line) => self.output.line(prefixed(&line, prefix))?,
            Err(error) => self.output.note(paint(FAINT, format!("a log cannot be read: {error}"))),
        }
        Ok(())
    }

    /// The state that a watch brought, if it brought one.
    fn state(
        &self,
        name: &str,
        item: Option<Result<Option<Execution>, ops::Error>>,
    ) -> Result<Option<Execution>, Error> {
        match item {
            Some(Ok(Some(found))) => Ok(Some(found)),
            Some(Ok(None)) => {
                Err(Error::Failed(anyhow::anyhow!("execution {name} was deleted before its end was seen")))
            }
            Some(Err(error)) => {
                self.output.note(paint(FAINT, format!("the watch broke, trying again: {error}")));
                Ok(None)
            }
            None => Err(Error::Failed(anyhow::anyhow!("the watch of execution {name} ended"))),
        }
    }
}

/// What opens a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing: there is one task.
    None,
    /// The task.
    Task,
    /// The run of that name and the task.
    Run(String),
}

/// A log line with what it is of in front.
pub(crate) fn prefixed(line: &LogLine, prefix: &Prefix) -> String {
    let run = match prefix {
        Prefix::None => return line.text.clone(),
        Prefix::Task => String::new(),
        Prefix::Run(name) => format!("{name} "),
    };
    let index = usize::try_from(line.task).unwrap_or_default();
    let style: Style = COLOURS[index % COLOURS.len()].on_default();
    // The first attempt is what everybody expects; a later one is worth a word.
    let attempt = if line.attempt > 0 { format!(" attempt {}", line.attempt + 1) } else { String::new() };
    format!("{} {}", paint(style, format!("[{run}task {}{attempt}]", line.task)), line.text)
}

/// The exit code of a run that was waited for.
pub(crate) fn exit(execution: &Execution) -> Exit {
    if phase(execution) == Phase::Succeeded { Exit::Success } else { Exit::Failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(task: i32, attempt: i32) -> String {
        let text = prefixed(&LogLine { task, attempt, text: "hello".to_owned() }, &Prefix::Task);
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn lines_name_their_task_and_a_retry() {
        assert_eq!(line(0, 0), "[task 0] hello");
        assert_eq!(line(7, 2), "[task 7 attempt 3] hello");
        let line = LogLine { task: 0, attempt: 0, text: "x".to_owned() };
        assert_eq!(prefixed(&line, &Prefix::None), "x");
        let named = prefixed(&line, &Prefix::Run("resize-abc".to_owned()));
        assert_eq!(anstream::adapter::strip_str(&named).to_string(), "[resize-abc task 0] x");
    }

    #[test]
    fn the_exit_code_is_the_runs() {
        let end = |status: &str, reason: &str| exit(&story::tests::execution(status, reason, "", [0; 4]));
        assert_eq!(end("True", "Succeeded"), Exit::Success);
        assert_eq!(end("False", "NonZeroExitCode"), Exit::Failure);
        assert_eq!(end("False", "Cancelled"), Exit::Failure);
    }
}
