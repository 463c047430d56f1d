//! The latest decisions, in memory, for whoever asks why nothing ran.
//!
//! A ring that is bounded in bytes: the newest decisions are there, and how many were forgotten is known. What is counted
//! is counted before anything is forgotten. A decision is kept as what was decided: the event, the runs, the answer. Why a
//! Trigger said yes or no is found out when somebody asks (see `decisions`), so that taking an event costs a copy of it and
//! no more, with a hundred thousand Triggers too.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::EncodeLabelValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::event::Event;
use crate::explain::Answer;
use crate::explain::Outcome;
use crate::explain::Run;
use crate::explain::Seen;

/// Largest data of an event that is kept with it. Most events have less, and a filter can be asked about it again.
const MAX_DATA: usize = 64 * 1024;
/// What a decision takes besides its text: the record, its place, and what allocations round up to.
const OVERHEAD: usize = 512;
/// The same for a short text.
const TEXT: usize = 32;

/// What was decided about one event.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) subject: Subject,
    pub(super) namespace: Box<str>,
    /// The Job that it was sent to, if it was.
    pub(super) job: Option<Box<str>>,
    pub(super) received: Timestamp,
    /// Of the Triggers, when they were asked.
    pub(super) revision: u64,
    pub(super) runs: Vec<Run>,
    pub(super) answer: Answer,
}

/// What it was decided about.
#[derive(Debug)]
pub(super) enum Subject {
    /// An event. Without its data, if there was too much of it.
    Event {
        event: Box<Event>,
        /// Bytes of the data that it came with.
        data: Option<usize>,
    },
    /// A request that was no event: what its headers said.
    Claim(Seen),
}

impl Subject {
    pub(super) fn event(event: Event) -> Self {
        let data = event.data().map(bytes::Bytes::len);
        Subject::Event { event: Box::new(event.detached(MAX_DATA)), data }
    }

    pub(super) fn claim(attributes: BTreeMap<String, String>) -> Self {
        Subject::Claim(Seen { attributes, data_bytes: None })
    }

    pub(super) fn seen(&self) -> Seen {
        match self {
            Subject::Event { event, data } => Seen { data_bytes: *data, ..Seen::of(event) },
            Subject::Claim(seen) => seen.clone(),
        }
    }

    fn is(&self, name: &str, wanted: &str) -> bool {
        match self {
            Subject::Event { event, .. } => {
                event.attribute(name).is_some_and(|value| value.is(|text| text == wanted))
            }
            Subject::Claim(seen) => seen.attribute(name) == Some(wanted),
        }
    }

    fn size(&self) -> usize {
        match self {
            Subject::Event { event, .. } => {
                let text = |(name, value): (&str, crate::event::ValueRef<'_>)| {
                    name.len() + value.text().len() + TEXT
                };
                event.attributes().map(text).sum::<usize>() + event.data().map_or(0, bytes::Bytes::len)
            }
            Subject::Claim(seen) => {
                seen.attributes.iter().map(|(name, value)| name.len() + value.len() + TEXT).sum()
            }
        }
    }
}

impl Record {
    /// What it is counted as.
    fn verdict(&self) -> Verdict {
        if self.answer.status >= 400 {
            Verdict::refused
        } else if self.runs.iter().any(|run| run.outcome == Outcome::Created) {
            Verdict::started
        } else if self.runs.is_empty() {
            Verdict::unmatched
        } else {
            Verdict::duplicate
        }
    }

    /// About what it takes in memory.
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let run = |run: &Run| {
            let names: usize = run.triggers.iter().map(|name| name.len() + TEXT).sum();
            let parameters: usize =
                run.parameters.iter().map(|one| one.name.len() + one.value.len() + 2 * TEXT).sum();
            let refusal = run.refusal.as_ref().map_or(0, |answer| text(&answer.detail));
            let words = text(&run.waits) + text(&run.places);
            size_of::<Run>() + run.job.len() + names + parameters + text(&run.execution) + words + refusal
        };
        let runs: usize = self.runs.iter().map(run).sum();
        OVERHEAD + self.subject.size() + runs + text(&self.answer.detail)
    }
}

/// What became of an event, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
enum Verdict {
    /// It started at least one run.
    started,
    /// All its runs were there already.
    duplicate,
    /// No Trigger let it pass.
    unmatched,
    /// Its sender was told why.
    refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verdict: Verdict,
}

/// The ring and its counters.
#[derive(Debug)]
pub(super) struct Journal {
    kept: Mutex<Ring>,
    limit: usize,
    decisions: Family<Labels, Counter>,
    forgotten: Counter,
}

#[derive(Debug, Default)]
struct Ring {
    /// The oldest first, each with its size.
    records: VecDeque<(Arc<Record>, usize)>,
    bytes: usize,
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Question<'a> {
    pub(super) namespace: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) source: Option<&'a str>,
    /// Most records that are wanted.
    pub(super) most: usize,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Found {
    /// The newest first.
    pub(super) records: Vec<Arc<Record>>,
    /// How many fit the question besides them.
    pub(super) more: usize,
    /// When the oldest of all was received.
    pub(super) since: Option<Timestamp>,
    pub(super) forgotten: u64,
}

impl Journal {
    /// A ring of so many bytes; of none, decisions are counted and not kept.
    pub(super) fn new(limit: usize) -> Self {
        let journal = Self {
            kept: Mutex::default(),
            limit,
            decisions: Family::default(),
            forgotten: Counter::default(),
        };
        // What has not happened yet counts as zero, so that the first time shows as a rise.
        for verdict in [Verdict::started, Verdict::duplicate, Verdict::unmatched, Verdict::refused] {
            drop(journal.decisions.get_or_create(&Labels { verdict }));
        }
        journal
    }

    /// Counts a decision, and keeps it while there is room.
    pub(super) fn keep(&self, record: Record) {
        self.decisions.get_or_create(&Labels { verdict: record.verdict() }).inc();
        let size = record.size();
        if size > self.limit {
            self.forgotten.inc();
            return;
        }
        let record = Arc::new(record);
        let mut gone = Vec::new();
        {
            let mut ring = self.kept.lock();
            ring.bytes += size;
            ring.records.push_back((record, size));
            while ring.bytes > self.limit {
                let Some((old, size)) = ring.records.pop_front() else { break };
                ring.bytes -= size;
                gone.push(old);
            }
        }
        self.forgotten.inc_by(u64::try_from(gone.len()).unwrap_or(u64::MAX));
    }

    /// The newest decisions that are asked for.
    pub(super) fn find(&self, question: &Question<'_>) -> Found {
        let &Question { namespace, id, source, most } = question;
        let fits = |record: &Record| {
            *record.namespace == *namespace
                && id.is_none_or(|id| record.subject.is("id", id))
                && source.is_none_or(|source| record.subject.is("source", source))
        };
        let (mut records, mut more) = (Vec::new(), 0);
        // A copy of the pointers: comparing takes longer than events should have to wait.
        let all: Vec<Arc<Record>> =
            self.kept.lock().records.iter().map(|(record, _)| record.clone()).collect();
        for record in all.iter().rev().filter(|record| fits(record)) {
            if records.len() < most {
                records.push(record.clone());
            } else {
                more += 1;
            }
        }
        Found {
            records,
            more,
            since: all.first().map(|oldest| oldest.received),
            forgotten: self.forgotten.get(),
        }
    }

    /// Adds what is counted to what is told.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kakehi_decisions",
            "Events about which something was decided, by what became of them",
            self.decisions.clone(),
        );
        registry.register(
            "kakehi_decisions_forgotten",
            "Decisions that are no longer kept, to make room for others",
            self.forgotten.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(id: &str, data: usize, status: u16) -> Record {
        let event = Event::builder().required(id, "/s", "t").data("x".repeat(data)).build().unwrap();
        Record {
            subject: Subject::event(event),
            namespace: "apps".into(),
            job: None,
            received: Timestamp::UNIX_EPOCH,
            revision: 0,
            runs: Vec::new(),
            answer: Answer { status, detail: None },
        }
    }

    fn ids(found: &Found) -> Vec<String> {
        let id = |record: &Arc<Record>| record.subject.seen().attribute("id").unwrap().to_owned();
        found.records.iter().map(id).collect()
    }

    fn all(journal: &Journal) -> Found {
        journal.find(&Question { namespace: "apps", most: usize::MAX, ..Question::default() })
    }

    #[test]
    fn the_newest_are_told_first_and_by_what_is_asked() {
        let journal = Journal::new(1 << 20);
        for id in ["1", "2", "1"] {
            journal.keep(record(id, 10, 202));
        }
        assert_eq!(ids(&all(&journal)), ["1", "2", "1"]);
        let question = Question { namespace: "apps", id: Some("1"), source: Some("/s"), most: 1 };
        let found = journal.find(&question);
        assert_eq!((ids(&found), found.more), (vec!["1".to_owned()], 1));
        assert!(journal.find(&Question { source: Some("/other"), ..question }).records.is_empty());
        let elsewhere = Question { namespace: "other", most: 9, ..Question::default() };
        assert!(journal.find(&elsewhere).records.is_empty());
    }

    #[test]
    fn much_data_is_not_kept_but_its_size_is() {
        let journal = Journal::new(1 << 20);
        journal.keep(record("1", MAX_DATA + 1, 202));
        let found = all(&journal);
        let Subject::Event { event, data } = &found.records[0].subject else { panic!("{found:?}") };
        assert_eq!((event.data(), *data), (None, Some(MAX_DATA + 1)));
        assert_eq!(found.records[0].subject.seen().data_bytes, Some(MAX_DATA + 1));
    }

    #[test]
    fn a_ring_without_room_counts() {
        let journal = Journal::new(0);
        journal.keep(record("1", 0, 404));
        assert_eq!((all(&journal).records.len(), all(&journal).forgotten), (0, 1));
        assert_eq!(journal.decisions.get_or_create(&Labels { verdict: Verdict::refused }).get(), 1);
    }

    proptest! {
        /// Whatever is forgotten, everything is counted, what is kept is the newest, and it fits.
        #[test]
        fn no_count_is_lost(sizes in proptest::collection::vec((0_usize..4000, any::<bool>()), 0..80), limit in 0_usize..20_000) {
            let journal = Journal::new(limit);
            for (number, (size, refused)) in sizes.iter().enumerate() {
                journal.keep(record(&number.to_string(), *size, if *refused { 422 } else { 202 }));
            }
            let count = |verdict| journal.decisions.get_or_create(&Labels { verdict }).get();
            let refused = sizes.iter().filter(|(_, refused)| *refused).count() as u64;
            prop_assert_eq!(count(Verdict::refused), refused);
            prop_assert_eq!(count(Verdict::unmatched), sizes.len() as u64 - refused);
            let found = all(&journal);
            prop_assert_eq!(found.records.len() as u64 + found.forgotten, sizes.len() as u64);
            prop_assert!(found.records.iter().map(|record| record.size()).sum::<usize>() <= limit);
            let kept: Vec<usize> = ids(&found).iter().map(|id| id.parse().unwrap()).collect();
            prop_assert!(kept.windows(2).all(|pair| pair[0] > pair[1]));
            if let (Some(oldest), true) = (kept.last(), sizes.iter().all(|(size, _)| size + OVERHEAD + 3 * TEXT + 200 < limit)) {
                prop_assert_eq!(kept.len(), sizes.len() - oldest);
            }
        }
    }
}
