//! The logs of a run: the lines of all its tasks in one stream.
//!
//! Following a run means to read each Pod's log as soon as its container has started, those of retries too, and to end
//! when the run has ended and every log was read. The stream does its work while it is polled; nothing is spawned.

use std::collections::HashSet;
use std::pin::Pin;

use futures::stream::{BoxStream, SelectAll};
use futures::{AsyncBufRead, AsyncBufReadExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};

use super::error::Error;
use super::objects::get;
use super::runs;
use crate::api::Execution;
use crate::plan::{self, Attempt};

/// Longest line that is handed on in one piece, in bytes: the container runtime's own limit is 16 KiB.
const MAX_LINE: usize = 64 * 1024;

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Go on until the run has ended.
    pub follow: bool,
    /// Only this task's.
    pub task: Option<i32>,
    /// Only the last lines of each attempt.
    pub tail: Option<i64>,
    /// Each line opens with the time at which it was written.
    pub timestamps: bool,
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Index of the task.
    pub task: i32,
    /// Attempt of the task, from 0.
    pub attempt: i32,
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

type Lines = BoxStream<'static, Result<LogLine, Error>>;

/// The lines of a run's tasks.
///
/// Without `follow`: what there is, by task and attempt. With it: as they come, until the run has ended. An error is an
/// item; the other logs go on after it.
pub async fn logs(
    client: &Client,
    namespace: &str,
    execution: &str,
    options: LogOptions,
) -> Result<impl Stream<Item = Result<LogLine, Error>> + Send + 'static, Error> {
    let run: Execution = get(client, namespace, execution).await?;
    let pods = Api::namespaced(client.clone(), namespace);
    let selector = plan::selector(execution);
    let alone = plan::alone(&run).map(|task| task.index);
    let mut reader = Reader { pods, selector, options, alone, read: HashSet::new() };
    let follow = reader.options.follow && !plan::is_terminal(&run);
    let found = runs::pods(client, namespace, execution).await?;
    if follow {
        let states = runs::watch(client, namespace, execution).boxed();
        let config = watcher::Config::default().labels(&reader.selector);
        let watched = watcher(reader.pods.clone(), config).default_backoff().boxed();
        let mut following = Following { reader, states, watched, lines: SelectAll::new(), ended: false };
        following.start(&found);
        return Ok(following.stream().boxed());
    }
    let logs: Vec<Lines> = found.iter().filter_map(|pod| reader.lines(pod)).collect();
    Ok(futures::stream::iter(logs).flatten().boxed())
}

/// Opens the log of each Pod once.
struct Reader {
    pods: Api<Pod>,
    selector: String,
    options: LogOptions,
    /// What the only task is called, if it is repeated alone.
    alone: Option<i32>,
    /// Uids of the Pods whose log was opened.
    read: HashSet<String>,
}

impl Reader {
    /// The log of that Pod, if it is wanted, has begun and was not opened before.
    fn lines(&mut self, pod: &Pod) -> Option<Lines> {
        let attempt = Attempt::of(pod);
        let task = attempt.index()?;
        let task = self.alone.unwrap_or(task);
        if self.options.task.is_some_and(|wanted| wanted != task) || !attempt.has_run() {
            return None;
        }
        if !self.read.insert(pod.metadata.uid.clone()?) {
            return None;
        }
        let parameters = LogParams {
            container: attempt.container().map(str::to_owned),
            follow: self.options.follow,
            tail_lines: self.options.tail,
            timestamps: self.options.timestamps,
            ..LogParams::default()
        };
        let number = attempt.number();
        let name = attempt.pod().to_owned();
        let opened = open(self.pods.clone(), name, parameters);
        let line = move |text| LogLine { task, attempt: number, text };
        Some(futures::stream::once(opened).flatten().map(move |item| item.map(line)).boxed())
    }
}

/// The lines of one Pod. A Pod that is gone has none.
async fn open(
    pods: Api<Pod>,
    name: String,
    parameters: LogParams,
) -> BoxStream<'static, Result<String, Error>> {
    match pods.log_stream(&name, &parameters).await {
        Ok(log) => {
            let log: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(log);
            let lines = futures::stream::try_unfold(log, |mut log| async move {
                Ok(next_line(&mut log).await?.map(|line| (line, log)))
            });
            lines.map(move |line| line.map_err(|source| Error::Log { pod: name.clone(), source })).boxed()
        }
        Err(error) => match Error::of::<Pod>(error, &name) {
            Error::NotFound { .. } => futures::stream::empty().boxed(),
            error => futures::stream::iter([Err(error)]).boxed(),
        },
    }
}

/// The next line, or the next [`MAX_LINE`] bytes of a longer one.
async fn next_line(log: &mut Pin<Box<dyn AsyncBufRead + Send>>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let buffer = log.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then(|| text(&line)));
        }
        let room = MAX_LINE - line.len();
        let end = buffer.iter().take(room).position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(buffer.len().min(room));
        line.extend(buffer.iter().take(taken));
        log.consume_unpin(taken + usize::from(end.is_some()));
        if end.is_some() || line.len() >= MAX_LINE {
            return Ok(Some(text(&line)));
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// A run whose logs are followed.
struct Following {
    reader: Reader,
    states: BoxStream<'static, Result<Option<Execution>, Error>>,
    watched: BoxStream<'static, Result<watcher::Event<Pod>, watcher::Error>>,
    lines: SelectAll<Lines>,
    /// The run has ended: only what is open is still read.
    ended: bool,
}

impl Following {
    fn start(&mut self, pods: &[Pod]) {
        let opened: Vec<Lines> = pods.iter().filter_map(|pod| self.reader.lines(pod)).collect();
        self.lines.extend(opened);
    }

    fn stream(self) -> impl Stream<Item = Result<LogLine, Error>> + Send {
        futures::stream::unfold(self, |mut this| async move { this.next().await.map(|item| (item, this)) })
    }

    async fn next(&mut self) -> Option<Result<LogLine, Error>> {
        loop {
            if self.ended && self.lines.is_empty() {
                return None;
            }
            tokio::select! {
                Some(item) = self.lines.next(), if !self.lines.is_empty() => return Some(item),
                Some(state) = self.states.next(), if !self.ended => {
                    // A broken watch mends itself; a run that is gone has ended.
                    if state.is_ok_and(|state| state.as_ref().is_none_or(plan::is_terminal)) {
                        self.last().await;
                    }
                }
                Some(event) = self.watched.next(), if !self.ended => {
                    if let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event {
                        self.start(&[pod]);
                    }
                }
                else => return None,
            }
        }
    }

    /// Opens what the watch has not brought yet: a Pod's last change and the run's end travel separately.
    async fn last(&mut self) {
        self.ended = true;
        let mine = ListParams::default().labels(&self.reader.selector);
        if let Ok(found) = self.reader.pods.list(&mine).await {
            self.start(&found.items);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<String> {
        let mut log: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(Cursor::new(bytes.to_vec()));
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut log).await.unwrap() {
            lines.push(line);
        }
        lines
    }

    #[tokio::test]
    async fn lines_end_at_line_ends_and_at_the_end() {
        assert_eq!(lines_of(b"").await, [""; 0]);
        assert_eq!(lines_of(b"one\ntwo\r\n\nlast").await, ["one", "two", "", "last"]);
        assert_eq!(lines_of(b"\xff\n").await, ["\u{fffd}"]);
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_pieces() {
        let long = vec![b'x'; MAX_LINE * 2 + 5];
        let lengths: Vec<_> = lines_of(&long).await.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, 5]);
        let mut exact = vec![b'x'; MAX_LINE];
        exact.extend(b"\nnext\n");
        assert_eq!(lines_of(&exact).await.last().unwrap(), "next");
    }
}
