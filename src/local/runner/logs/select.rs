//! Which parts of a log a reader asked for, and how they are written out.

use jiff::Timestamp;

use crate::local::runner::logs::line::Line;

/// What a reader wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::local::runner) struct LogOptions {
    /// Go on until the container ends.
    pub(in crate::local::runner) follow: bool,
    /// The last entries only.
    pub(in crate::local::runner) tail: Option<u64>,
    /// Each line begins with its time.
    pub(in crate::local::runner) timestamps: bool,
    /// Nothing older.
    pub(in crate::local::runner) since: Option<Timestamp>,
    /// Not more bytes than this, whatever they cut off.
    pub(in crate::local::runner) limit: Option<u64>,
}

/// Turns entries into what the reader sees; knows where in a line it stands.
#[derive(Debug)]
pub(super) struct Selection {
    timestamps: bool,
    since: Option<Timestamp>,
    left: Option<u64>,
    /// A part was written last: the next entry goes on in the same line.
    inside_line: bool,
}

impl Selection {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self { timestamps: options.timestamps, since: options.since, left: options.limit, inside_line: false }
    }

    /// Whether the byte limit is reached: nothing more will be written.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Writes one entry, given without its newline, to `out`. What is no entry is left out.
    pub(super) fn feed(&mut self, entry: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(entry) else { return };
        if let Some(since) = self.since {
            if line.timestamp().is_some_and(|time| time < since) {
                return;
            }
            // Entries are in the order of their times: the first that is new enough ends the search.
            self.since = None;
        }
        if self.timestamps && !self.inside_line {
            self.write(line.time, out);
            self.write(b" ", out);
        }
        self.write(line.text, out);
        if !line.partial {
            self.write(b"\n", out);
        }
        self.inside_line = line.partial;
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(left) = &mut self.left else {
            out.extend_from_slice(bytes);
            return;
        };
        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        out.extend_from_slice(&bytes[..take]);
        *left -= take as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::logs::line::{MAX_TEXT, Splitter, Stream};
    use proptest::prelude::*;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n\
        2026-01-01T00:00:02Z stderr P tw\n\
        2026-01-01T00:00:03Z stderr F o\n\
        broken\n\
        2026-01-01T00:00:04Z stdout F three\n\
        2026-01-01T00:00:05Z stdout P end";

    fn selected(options: &LogOptions) -> String {
        let mut selection = Selection::new(options);
        let mut out = Vec::new();
        for entry in LOG.lines() {
            selection.feed(entry.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_output_is_what_the_process_wrote() {
        assert_eq!(selected(&LogOptions::default()), "one\ntwo\nthree\nend");
    }

    #[test]
    fn a_time_stands_at_the_beginning_of_each_line_only() {
        let text = selected(&LogOptions { timestamps: true, ..LogOptions::default() });
        assert_eq!(
            text,
            "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n2026-01-01T00:00:04Z three\n2026-01-01T00:00:05Z end"
        );
    }

    #[test]
    fn older_entries_are_left_out() {
        let since = |text: &str| LogOptions { since: Some(text.parse().unwrap()), ..LogOptions::default() };
        assert_eq!(selected(&since("2026-01-01T00:00:04Z")), "three\nend");
        assert_eq!(selected(&since("2025-01-01T00:00:00Z")), "one\ntwo\nthree\nend");
        assert_eq!(selected(&since("2027-01-01T00:00:00Z")), "");
    }

    #[test]
    fn the_limit_cuts_at_the_byte() {
        for limit in 0..=17 {
            let text = selected(&LogOptions { limit: Some(limit), ..LogOptions::default() });
            let whole = "one\ntwo\nthree\nend";
            assert_eq!(Some(text.as_str()), whole.get(..usize::try_from(limit).unwrap()));
        }
        let timed = LogOptions { limit: Some(10), timestamps: true, ..LogOptions::default() };
        assert_eq!(selected(&timed), "2026-01-01");
    }

    #[test]
    fn a_full_reader_says_so() {
        let mut selection = Selection::new(&LogOptions { limit: Some(2), ..LogOptions::default() });
        assert!(!selection.is_full());
        selection.feed(b"2026-01-01T00:00:01Z stdout F one", &mut Vec::new());
        assert!(selection.is_full());
    }

    proptest! {
        #[test]
        fn what_a_process_writes_is_what_a_reader_gets(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40), 0..20),
            long in 0..3 * MAX_TEXT,
        ) {
            let mut splitter = Splitter::new(Stream::Stdout);
            let mut log = Vec::new();
            let mut written = vec![b'x'; long];
            splitter.push(&written, Timestamp::UNIX_EPOCH, &mut log);
            for chunk in &chunks {
                splitter.push(chunk, Timestamp::UNIX_EPOCH, &mut log);
                written.extend_from_slice(chunk);
            }
            splitter.finish(Timestamp::UNIX_EPOCH, &mut log);
            let mut selection = Selection::new(&LogOptions::default());
            let mut read = Vec::new();
            for entry in log.split(|byte| *byte == b'\n') {
                prop_assert!(entry.len() <= MAX_TEXT + 64, "an entry is bounded");
                selection.feed(entry, &mut read);
            }
            prop_assert_eq!(read, written);
        }
    }
}
