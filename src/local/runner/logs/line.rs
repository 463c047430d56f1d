//! The line form of container logs that Kubernetes' runtimes share (CRI): `<RFC 3339 time> <stream> <F|P> <text>`.
//!
//! `P` marks a part of a line: its text goes on in the stream's next entry, or the process ended without a newline. Text is bytes.

use jiff::Timestamp;

/// The longest text of one entry in bytes, as in containerd; longer lines become several entries.
pub(super) const MAX_TEXT: usize = 16 * 1024;

/// Which of a process's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Stdout => b"stdout",
            Self::Stderr => b"stderr",
        }
    }
}

/// One entry of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) time: &'a [u8],
    pub(super) partial: bool,
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads an entry, given without its newline. A file cut off by a crash may end in anything.
    pub(super) fn parse(entry: &'a [u8]) -> Option<Self> {
        let mut parts = entry.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if stream != b"stdout" && stream != b"stderr" {
            return None;
        }
        let partial = match tag {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { time, partial, text })
    }

    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}

/// Cuts what a process writes to one stream into entries.
#[derive(Debug)]
pub(super) struct Splitter {
    stream: Stream,
    /// The beginning of a line whose end was not written yet; at most `MAX_TEXT`.
    pending: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Appends the entries that `chunk` completes to `entries`.
    pub(super) fn push(&mut self, mut chunk: &[u8], now: Timestamp, entries: &mut Vec<u8>) {
        while !chunk.is_empty() {
            let room = MAX_TEXT - self.pending.len();
            let newline = chunk.iter().take(room + 1).position(|byte| *byte == b'\n');
            match newline {
                Some(at) => {
                    self.pending.extend_from_slice(&chunk[..at]);
                    chunk = &chunk[at + 1..];
                    self.emit(b"F", now, entries);
                }
                None if chunk.len() > room => {
                    self.pending.extend_from_slice(&chunk[..room]);
                    chunk = &chunk[room..];
                    self.emit(b"P", now, entries);
                }
                None => {
                    self.pending.extend_from_slice(chunk);
                    return;
                }
            }
        }
    }

    /// Appends what the process left without a newline.
    pub(super) fn finish(&mut self, now: Timestamp, entries: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(b"P", now, entries);
        }
    }

    fn emit(&mut self, tag: &[u8], now: Timestamp, entries: &mut Vec<u8>) {
        entries.extend_from_slice(now.to_string().as_bytes());
        for part in [self.stream.word(), tag] {
            entries.push(b' ');
            entries.extend_from_slice(part);
        }
        entries.push(b' ');
        entries.append(&mut self.pending);
        entries.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.123456789Z";

    fn split(chunks: &[&[u8]]) -> Vec<u8> {
        let mut splitter = Splitter::new(Stream::Stdout);
        let mut entries = Vec::new();
        let now = TIME.parse().unwrap();
        for chunk in chunks {
            splitter.push(chunk, now, &mut entries);
        }
        splitter.finish(now, &mut entries);
        entries
    }

    /// (partial, text) of every entry.
    fn entries(log: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let line = Line::parse(line).unwrap();
                (line.partial, line.text.to_vec())
            })
            .collect()
    }

    #[test]
    fn an_entry_has_time_stream_tag_and_text() {
        assert_eq!(split(&[b"hello world\n"]), format!("{TIME} stdout F hello world\n").into_bytes());
        let mut splitter = Splitter::new(Stream::Stderr);
        let mut entries = Vec::new();
        splitter.push(b"\n", TIME.parse().unwrap(), &mut entries);
        assert_eq!(entries, format!("{TIME} stderr F \n").into_bytes());
    }

    #[test]
    fn lines_come_together_from_pieces() {
        let log = split(&[b"a", b"b\nc", b"\n\nd\n"]);
        let want = [(false, "ab"), (false, "c"), (false, ""), (false, "d")];
        assert_eq!(entries(&log), want.map(|(partial, text)| (partial, text.as_bytes().to_vec())));
    }

    #[test]
    fn an_end_without_a_newline_is_a_part() {
        assert_eq!(entries(&split(&[b"a\nb"])), [(false, b"a".to_vec()), (true, b"b".to_vec())]);
    }

    #[test]
    fn long_lines_are_parts_of_bounded_length() {
        let text = vec![b'x'; 2 * MAX_TEXT + 10];
        let log = split(&[&text, b"\n"]);
        let lengths: Vec<_> = entries(&log).iter().map(|(partial, text)| (*partial, text.len())).collect();
        assert_eq!(lengths, [(true, MAX_TEXT), (true, MAX_TEXT), (false, 10)]);
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_is_whole() {
        let mut line = vec![b'x'; MAX_TEXT];
        line.push(b'\n');
        let lengths: Vec<_> =
            entries(&split(&[&line])).iter().map(|(partial, text)| (*partial, text.len())).collect();
        assert_eq!(lengths, [(false, MAX_TEXT)]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(entries(&split(&[b"\xff\x00 \xfe\n"])), [(false, b"\xff\x00 \xfe".to_vec())]);
    }

    #[test]
    fn the_time_is_read_back_to_the_nanosecond() {
        let log = split(&[b"x\n"]);
        let line = Line::parse(log.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!(line.timestamp(), Some(TIME.parse().unwrap()));
    }

    #[test]
    fn what_is_no_entry_is_not_read() {
        for text in
            ["", "x", "2026-01-02T03:04:05Z stdout F", "2026-01-02T03:04:05Z stdin F x", "t stdout X x"]
        {
            assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Line::parse(b"t stdout F x").unwrap().timestamp(), None);
    }
}
