//! Writes what a process says into its log file, which never grows beyond a bound.
//!
//! A full file is renamed to `….log.1`, replacing the one before: an attempt keeps at most two files. Readers that follow are told by a
//! watch channel how far the writer is.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use crate::local::runner::logs::line::{Splitter, Stream};

/// Read from a pipe at once: what a Linux pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// How far a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::local::runner) struct Progress {
    /// How often the file was rotated.
    pub(super) generation: u64,
    /// Entries were added since; the number itself means nothing.
    pub(super) writes: u64,
    /// The process has ended and everything is in the file.
    pub(super) ended: bool,
}

/// Where the rotated part of a log is.
pub(super) fn rotated(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// The log file of one attempt.
#[derive(Debug)]
pub(in crate::local::runner) struct LogWriter {
    path: PathBuf,
    file: File,
    size: u64,
    /// The size in bytes at which the file is rotated.
    max: u64,
    progress: watch::Sender<Progress>,
}

impl LogWriter {
    /// Creates the file of a new attempt, to be rotated at `max` bytes. Blocks.
    pub(in crate::local::runner) fn create(path: PathBuf, max: u64) -> io::Result<Self> {
        let file = File::from_std(std::fs::File::create(&path)?);
        Ok(Self { path, file, size: 0, max, progress: watch::Sender::new(Progress::default()) })
    }

    /// For readers that follow.
    pub(in crate::local::runner) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Copies both outputs until they are closed; then the log is ended.
    ///
    /// A log that cannot be written must not stop the process: its output is still read, and lost.
    pub(in crate::local::runner) async fn copy(
        &mut self,
        mut stdout: impl AsyncRead + Unpin,
        mut stderr: impl AsyncRead + Unpin,
    ) {
        let (mut out, mut err) = (Splitter::new(Stream::Stdout), Splitter::new(Stream::Stderr));
        let (mut out_chunk, mut err_chunk) = (vec![0; CHUNK], vec![0; CHUNK]);
        let (mut out_open, mut err_open) = (true, true);
        let mut entries = Vec::new();
        let mut lost = false;
        while out_open || err_open {
            tokio::select! {
                read = stdout.read(&mut out_chunk), if out_open => {
                    out_open = accept(&mut out, &read.map(|n| &out_chunk[..n]), &mut entries);
                }
                read = stderr.read(&mut err_chunk), if err_open => {
                    err_open = accept(&mut err, &read.map(|n| &err_chunk[..n]), &mut entries);
                }
            }
            if !entries.is_empty() {
                if let Err(error) = self.append(&entries).await
                    && !std::mem::replace(&mut lost, true)
                {
                    let path = self.path.display();
                    tracing::warn!(%path, error = &error as &dyn std::error::Error, "log not written");
                }
                entries.clear();
            }
        }
        self.end();
    }

    /// Tells readers that nothing more will come.
    pub(in crate::local::runner) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    async fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        let length = entries.len() as u64;
        let is_full = self.size > 0 && self.size + length > self.max;
        // A file that cannot be rotated grows: what a process says is worth more than the bound.
        let rotation = if is_full { self.rotate().await } else { Ok(()) };
        self.file.write_all(entries).await?;
        self.file.flush().await?;
        self.size += length;
        self.progress.send_modify(|progress| progress.writes += 1);
        rotation
    }

    /// Begins a new file. It is made before the old one is moved, so that whatever fails there is one to write to.
    async fn rotate(&mut self) -> io::Result<()> {
        let next = self.path.with_extension("log.next");
        let file = File::create(&next).await?;
        tokio::fs::rename(&self.path, rotated(&self.path)).await?;
        tokio::fs::rename(&next, &self.path).await?;
        self.file = file;
        self.size = 0;
        self.progress.send_modify(|progress| progress.generation += 1);
        Ok(())
    }
}

/// Takes one read of a stream; false when the stream is closed.
fn accept(splitter: &mut Splitter, read: &io::Result<&[u8]>, entries: &mut Vec<u8>) -> bool {
    let now = Timestamp::now();
    match read {
        Ok(chunk) if !chunk.is_empty() => {
            splitter.push(chunk, now, entries);
            true
        }
        // A pipe that cannot be read is as good as closed.
        Ok(_) | Err(_) => {
            splitter.finish(now, entries);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::logs::line::Line;

    fn texts(path: &Path) -> Vec<String> {
        let log = std::fs::read(path).unwrap();
        let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| String::from_utf8(Line::parse(line).unwrap().text.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn both_outputs_end_up_in_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut writer = LogWriter::create(path.clone(), 1 << 20).unwrap();
        let progress = writer.progress();
        writer.copy(&b"a\nb"[..], &b"c\n"[..]).await;
        let mut found = texts(&path);
        found.sort();
        assert_eq!(found, ["a", "b", "c"]);
        assert!(progress.borrow().ended);
    }

    #[tokio::test]
    async fn a_log_keeps_two_files_of_bounded_size_and_the_newest_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut writer = LogWriter::create(path.clone(), 1000).unwrap();
        let progress = writer.progress();
        let (mut input, output) = tokio::io::duplex(64);
        let feed = async {
            for number in 0..200 {
                input.write_all(format!("line {number}\n").as_bytes()).await.unwrap();
            }
            drop(input);
        };
        tokio::join!(feed, writer.copy(output, &b""[..]));
        assert!(progress.borrow().generation > 2);
        let mut kept = texts(&rotated(&path));
        kept.extend(texts(&path));
        assert_eq!(kept.last().unwrap(), "line 199");
        let numbers: Vec<u32> = kept.iter().map(|line| line.replace("line ", "").parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is lost in between");
        for file in [path.clone(), rotated(&path)] {
            // One append may overshoot an empty file, never more.
            assert!(std::fs::metadata(file).unwrap().len() <= 1000 + 64);
        }
    }

    #[tokio::test]
    async fn what_is_said_while_no_new_file_can_be_made_is_kept() {
        // The name of the new file is taken; then that of the old one.
        for obstacle in ["0.log.next", "0.log.1"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("0.log");
            std::fs::create_dir_all(dir.path().join(obstacle).join("x")).unwrap();
            let mut writer = LogWriter::create(path.clone(), 100).unwrap();
            let (mut input, output) = tokio::io::duplex(64);
            let feed = async {
                for number in 0..50 {
                    input.write_all(format!("line {number}\n").as_bytes()).await.unwrap();
                }
                drop(input);
            };
            tokio::join!(feed, writer.copy(output, &b""[..]));
            let found = texts(&path);
            assert_eq!(found.len(), 50, "{obstacle}: {found:?}");
            assert!(writer.progress().borrow().ended, "{obstacle}");
        }
    }
}
