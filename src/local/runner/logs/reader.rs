//! Reads a log while it is being written: from a place near its end, through rotations, until the container ends.

use std::collections::VecDeque;
use std::fs::{File as StdFile, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use crate::local::runner::logs::select::{LogOptions, Selection};
use crate::local::runner::logs::writer::{Progress, rotated};

/// Read from the file at once, and about what one chunk of an answer holds.
const CHUNK: usize = 64 * 1024;

/// A log to read.
#[derive(Clone, Debug)]
pub(in crate::local::runner) struct LogSource {
    pub(in crate::local::runner) path: PathBuf,
    /// The writer's progress; `None` for a log that nobody writes any more.
    pub(in crate::local::runner) live: Option<watch::Receiver<Progress>>,
}

/// A position in a log.
#[derive(Debug)]
pub(in crate::local::runner) struct LogReader {
    path: PathBuf,
    /// The files still to be read, oldest first; the last may still grow.
    files: VecDeque<File>,
    /// The generation up to which files were looked for. The last file may be newer: a rotation is announced after it was done.
    generation: u64,
    live: Option<watch::Receiver<Progress>>,
    follow: bool,
    selection: Selection,
    /// The beginning of an entry whose end was not read yet.
    carry: Vec<u8>,
    chunk: Vec<u8>,
}

impl LogReader {
    /// Opens a log. A log that does not exist is empty.
    pub(in crate::local::runner) async fn open(source: LogSource, options: &LogOptions) -> io::Result<Self> {
        let LogSource { path, live } = source;
        // Taken before: files that are newer than this are recognised when their generation is announced.
        let generation = live.as_ref().map(|live| live.borrow().generation).unwrap_or_default();
        let (wanted, tail) = (path.clone(), options.tail);
        let files = blocking(move || open_files(&wanted, tail)).await?;
        Ok(Self {
            path,
            files,
            generation,
            live,
            follow: options.follow,
            selection: Selection::new(options),
            carry: Vec::new(),
            chunk: vec![0; CHUNK],
        })
    }

    /// The next piece of output; waits for it when following. `None` at the end.
    pub(in crate::local::runner) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        while !self.selection.is_full() {
            // Taken before the read: whatever was written by then is seen by it.
            let seen = self.live.as_mut().map(|live| *live.borrow_and_update());
            let read = match self.files.front_mut() {
                Some(file) => file.read(&mut self.chunk).await?,
                None => 0,
            };
            if read > 0 {
                self.take(read, &mut out);
                if out.is_empty() {
                    continue;
                }
                return Ok(Some(out.into()));
            }
            if self.files.len() > 1 {
                self.files.pop_front();
                continue;
            }
            let Some(seen) = seen.filter(|_| self.follow) else { return Ok(None) };
            if seen.generation != self.generation {
                self.catch_up(seen.generation).await?;
            } else if seen.ended {
                return Ok(None);
            } else if let Some(live) = &mut self.live
                && live.changed().await.is_err()
            {
                // The writer is gone without a word: read what is left, then end.
                self.live = None;
            }
        }
        Ok(None)
    }

    /// Hands the complete entries of what was read to the selection.
    fn take(&mut self, read: usize, out: &mut Vec<u8>) {
        let mut rest = &self.chunk[..read];
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            if self.carry.is_empty() {
                self.selection.feed(&rest[..at], out);
            } else {
                self.carry.extend_from_slice(&rest[..at]);
                self.selection.feed(&self.carry, out);
                self.carry.clear();
            }
            rest = &rest[at + 1..];
        }
        self.carry.extend_from_slice(rest);
    }

    /// Moves on to the files that replaced the one that was read to its end, if any did.
    ///
    /// Which files are new is told by the files themselves: one that is open here keeps its identity under every name, and the writer may
    /// be ahead of what it announced.
    async fn catch_up(&mut self, generation: u64) -> io::Result<()> {
        let last = match self.files.back() {
            Some(file) => Some(identity(&file.metadata().await?)),
            None => None,
        };
        let path = self.path.clone();
        let newer = blocking(move || {
            let mut newer = Vec::new();
            for file in open_pair(&path)?.into_iter().flatten() {
                if Some(identity(&file.metadata()?)) == last {
                    newer.clear();
                } else {
                    newer.push(File::from_std(file));
                }
            }
            Ok(newer)
        });
        let newer = newer.await?;
        if !newer.is_empty() {
            self.files = newer.into();
        }
        self.generation = generation;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What a file is known by while it is open, whatever its name: device and number.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Opens the rotated and the current file such that nothing was written between the two. Either may be missing.
fn open_pair(path: &Path) -> io::Result<[Option<StdFile>; 2]> {
    let older = rotated(path);
    let known = |file: &Option<StdFile>| match file {
        Some(file) => file.metadata().map(|metadata| Some(identity(&metadata))),
        None => Ok(None),
    };
    loop {
        let pair = [open_if_there(&older)?, open_if_there(path)?];
        // A rotation in between would have hidden a file, and replaced the rotated one. Each takes megabytes of output, so the
        // second look mostly holds.
        if known(&pair[0])? == known(&open_if_there(&older)?)? {
            return Ok(pair);
        }
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<StdFile>> {
    match StdFile::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the rotated and the current file, positioned so that `tail` entries are left to read.
fn open_files(path: &Path, tail: Option<u64>) -> io::Result<VecDeque<File>> {
    let mut files = VecDeque::new();
    let mut wanted = tail;
    for mut file in open_pair(path)?.into_iter().rev().flatten() {
        if let Some(left) = &mut wanted {
            *left -= seek_to_tail(&mut file, *left)?;
        }
        files.push_front(File::from_std(file));
    }
    Ok(files)
}

/// Positions a file at its last `wanted` lines; returns how many lines that are.
fn seek_to_tail(file: &mut StdFile, wanted: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut chunk = vec![0; CHUNK];
    let mut position = end;
    let mut newlines = 0;
    // The newline that ends the line before the wanted ones is searched: one more than wanted.
    while position > 0 {
        let length = position.min(CHUNK as u64);
        position -= length;
        let part = &mut chunk[..usize::try_from(length).unwrap_or(CHUNK)];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(part)?;
        for (at, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if newlines == wanted {
                file.seek(SeekFrom::Start(position + at as u64 + 1))?;
                return Ok(wanted);
            }
            newlines += 1;
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(newlines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::logs::writer::LogWriter;
    use tokio::io::AsyncWriteExt as _;

    async fn read(source: LogSource, options: &LogOptions) -> String {
        let mut reader = LogReader::open(source, options).await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).unwrap()
    }

    /// Writes a log with the given output, which is complete when this returns.
    async fn written(dir: &Path, max: u64, output: &str) -> LogSource {
        let path = dir.join("0.log");
        let mut writer = LogWriter::create(path.clone(), max).unwrap();
        let live = Some(writer.progress());
        let (mut input, pipe) = tokio::io::duplex(256);
        let feed = async {
            input.write_all(output.as_bytes()).await.unwrap();
            drop(input);
        };
        tokio::join!(feed, writer.copy(pipe, &b""[..]));
        LogSource { path, live }
    }

    fn lines(prefix: &str, numbers: std::ops::Range<u64>) -> String {
        numbers.fold(String::new(), |text, number| text + prefix + &number.to_string() + "\n")
    }

    fn tail(lines: u64) -> LogOptions {
        LogOptions { tail: Some(lines), ..LogOptions::default() }
    }

    #[tokio::test]
    async fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let source = written(dir.path(), 1 << 20, "1\n2\n3\n").await;
        for (lines, want) in [(0, ""), (1, "3\n"), (2, "2\n3\n"), (3, "1\n2\n3\n"), (9, "1\n2\n3\n")] {
            assert_eq!(read(source.clone(), &tail(lines)).await, want, "{lines}");
        }
    }

    #[tokio::test]
    async fn the_tail_reaches_back_into_the_rotated_file() {
        let dir = tempfile::tempdir().unwrap();
        let output = lines("", 0..100);
        let source = written(dir.path(), 1500, &output).await;
        let current = std::fs::read_to_string(&source.path).unwrap().lines().count() as u64;
        let want = lines("", 100 - current - 3..100);
        assert_eq!(read(source.clone(), &tail(current + 3)).await, want);
        assert!(read(source, &LogOptions::default()).await.ends_with("\n98\n99\n"));
    }

    #[tokio::test]
    async fn a_large_log_is_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let output = lines("line number ", 0..20_000);
        let source = written(dir.path(), 10 << 20, &output).await;
        assert_eq!(read(source.clone(), &LogOptions::default()).await, output);
        let want = lines("line number ", 5_000..20_000);
        assert_eq!(read(source, &tail(15_000)).await, want);
    }

    #[tokio::test]
    async fn a_follower_sees_every_line_until_the_container_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut writer = LogWriter::create(path.clone(), 10 << 20).unwrap();
        let source = LogSource { path, live: Some(writer.progress()) };
        let (mut input, pipe) = tokio::io::duplex(64);
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::open(source, &follow).await.unwrap();
        let observe = async {
            // Each line is written only after the one before was seen.
            for line in ["one\n", "two\n", "three\n"] {
                input.write_all(line.as_bytes()).await.unwrap();
                assert_eq!(reader.next().await.unwrap().unwrap(), line);
            }
            drop(input);
            assert_eq!(reader.next().await.unwrap(), None);
        };
        tokio::join!(observe, writer.copy(pipe, &b""[..]));
    }

    #[tokio::test]
    async fn a_follower_goes_on_through_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut writer = LogWriter::create(path.clone(), 500).unwrap();
        let source = LogSource { path, live: Some(writer.progress()) };
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::open(source, &follow).await.unwrap();
        let (mut input, pipe) = tokio::io::duplex(64);
        let observe = async {
            for number in 0..100 {
                let line = format!("{number}\n");
                input.write_all(line.as_bytes()).await.unwrap();
                assert_eq!(reader.next().await.unwrap().unwrap(), line.as_bytes());
            }
            drop(input);
            assert_eq!(reader.next().await.unwrap(), None);
        };
        tokio::join!(observe, writer.copy(pipe, &b""[..]));
        assert!(reader.generation > 3);
    }

    #[tokio::test]
    async fn rotations_that_are_announced_late_neither_repeat_nor_hide_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let entry = |text: &str| format!("2026-01-01T00:00:01Z stdout F {text}\n");
        let write = |text: &str| std::fs::write(&path, entry(text)).unwrap();
        let rotate = || std::fs::rename(&path, rotated(&path)).unwrap();
        let writer = watch::Sender::new(Progress::default());
        let announce = |generation| writer.send_modify(|progress| progress.generation = generation);
        write("a");
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        let source = LogSource { path: path.clone(), live: Some(writer.subscribe()) };
        let mut reader = LogReader::open(source.clone(), &follow).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "a\n");
        rotate();
        write("b");
        rotate();
        write("c");
        announce(1);
        assert_eq!(reader.next().await.unwrap().unwrap(), "b\n");
        assert_eq!(reader.next().await.unwrap().unwrap(), "c\n");
        // In the middle of a rotation there is no current file.
        announce(2);
        rotate();
        let mut late = LogReader::open(source, &follow).await.unwrap();
        assert_eq!(late.next().await.unwrap().unwrap(), "c\n");
        write("d");
        announce(3);
        writer.send_modify(|progress| progress.ended = true);
        for reader in [&mut reader, &mut late] {
            assert_eq!(reader.next().await.unwrap().unwrap(), "d\n");
            assert_eq!(reader.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_log_that_nobody_writes_ends_for_followers_too() {
        let dir = tempfile::tempdir().unwrap();
        let source = LogSource { live: None, ..written(dir.path(), 1 << 20, "x\n").await };
        let follow = LogOptions { follow: true, ..LogOptions::default() };
        assert_eq!(read(source, &follow).await, "x\n");
        let missing = LogSource { path: dir.path().join("9.log"), live: None };
        assert_eq!(read(missing, &follow).await, "");
    }

    #[tokio::test]
    async fn the_limit_ends_a_follower() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let writer = LogWriter::create(path.clone(), 1 << 20).unwrap();
        std::fs::write(&path, "2026-01-01T00:00:01Z stdout F hello\n").unwrap();
        let source = LogSource { path, live: Some(writer.progress()) };
        let options = LogOptions { follow: true, limit: Some(3), ..LogOptions::default() };
        assert_eq!(read(source, &options).await, "hel");
    }
}
