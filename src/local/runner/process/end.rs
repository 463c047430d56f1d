//! How an attempt ended, in the words of Kubernetes: reason and termination message.

use std::path::Path;

use jiff::Timestamp;

use crate::local::runner::logs::{LogOptions, LogReader, LogSource};
use crate::local::runner::state::Exit;

/// The longest termination message in bytes, as in the kubelet.
const MAX_MESSAGE: u64 = 4096;

/// What `FallbackToLogsOnError` takes of the log: this many lines, and of those this many bytes.
const LOG_LINES: u64 = 80;
const LOG_BYTES: usize = 2048;

/// What is known of the end of a process before its message was read.
#[derive(Clone, Copy, Debug)]
pub(in crate::local::runner) struct Ended {
    pub(in crate::local::runner) code: i32,
    pub(in crate::local::runner) signal: Option<i32>,
    pub(in crate::local::runner) started_at: Timestamp,
    pub(in crate::local::runner) finished_at: Timestamp,
}

impl Ended {
    pub(in crate::local::runner) fn exit(self, message: Option<String>) -> Exit {
        let Self { code, signal, started_at, finished_at } = self;
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        Exit { code, signal, reason, message, started_at, finished_at }
    }
}

/// The termination message: what the process wrote into `file`, else, if `log` is given, the end of its log.
pub(in crate::local::runner) async fn message(file: &Path, log: Option<&Path>) -> Option<String> {
    let file = file.to_owned();
    let written = tokio::task::spawn_blocking(move || read_start(&file)).await.ok().flatten();
    if let Some(written) = written.filter(|written| !written.is_empty()) {
        return Some(text(&written));
    }
    let said = log_end(log?).await;
    (!said.is_empty()).then(|| text(&said))
}

fn read_start(file: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    // A process may have put a pipe or a device there, which could be read for ever.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut written = Vec::new();
    std::fs::File::open(file).ok()?.take(MAX_MESSAGE).read_to_end(&mut written).ok()?;
    Some(written)
}

async fn log_end(path: &Path) -> Vec<u8> {
    let source = LogSource { path: path.to_owned(), live: None };
    let options = LogOptions { tail: Some(LOG_LINES), ..LogOptions::default() };
    let mut end = Vec::new();
    let Ok(mut reader) = LogReader::open(source, &options).await else { return end };
    while let Ok(Some(piece)) = reader.next().await {
        end.extend_from_slice(&piece);
        // Only the end counts: 80 lines of 16 KiB need not be held at once.
        end.drain(..end.len().saturating_sub(LOG_BYTES));
    }
    end
}

/// Bytes as the text that an API object needs; a character cut at the edge becomes a replacement and must not exceed the bound.
fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let most = usize::try_from(MAX_MESSAGE).unwrap_or(usize::MAX);
    while text.len() > most {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::logs::LogWriter;

    #[tokio::test]
    async fn the_message_is_what_the_process_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("termination-log");
        assert_eq!(message(&file, None).await, None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(message(&file, None).await, None);
        std::fs::write(&file, "{\"rows\": 3}\n").unwrap();
        assert_eq!(message(&file, None).await.unwrap(), "{\"rows\": 3}\n");
    }

    #[tokio::test]
    async fn a_message_is_bounded_and_always_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("termination-log");
        std::fs::write(&file, "é".repeat(5000)).unwrap();
        assert_eq!(message(&file, None).await.unwrap(), "é".repeat(2048));
        std::fs::write(&file, vec![0xff; 5000]).unwrap();
        let replaced = message(&file, None).await.unwrap();
        assert!(replaced.len() <= 4096 && replaced.starts_with('\u{fffd}'));
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_read() {
        assert_eq!(message(Path::new("/dev/zero"), None).await, None);
    }

    #[tokio::test]
    async fn the_end_of_the_log_stands_in_for_an_empty_message() {
        let dir = tempfile::tempdir().unwrap();
        let (file, log) = (dir.path().join("termination-log"), dir.path().join("0.log"));
        let output = (0..200).map(|number| number.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        LogWriter::create(log.clone(), 1 << 20).unwrap().copy(output.as_bytes(), &b""[..]).await;
        let said = message(&file, Some(&log)).await.unwrap();
        assert!(said.starts_with("120\n") && said.ends_with("199\n"), "{said}");
        std::fs::write(&file, "own words").unwrap();
        assert_eq!(message(&file, Some(&log)).await.unwrap(), "own words");
    }

    #[tokio::test]
    async fn long_lines_of_a_log_are_cut_to_the_last_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let output = format!("{}the end", "x".repeat(100_000));
        LogWriter::create(log.clone(), 1 << 20).unwrap().copy(output.as_bytes(), &b""[..]).await;
        let said = message(&dir.path().join("none"), Some(&log)).await.unwrap();
        assert_eq!(said.len(), 2048);
        assert!(said.ends_with("xthe end"));
    }

    #[test]
    fn a_reason_follows_from_the_code() {
        let at = Timestamp::UNIX_EPOCH;
        let ended = |code| Ended { code, signal: None, started_at: at, finished_at: at }.exit(None).reason;
        assert_eq!(ended(0), "Completed");
        assert_eq!(ended(1), "Error");
    }
}
