//! The runs of one Job, in brief: enough to sum them up and to choose which to forget, a few hundred bytes each.
//!
//! The sets are kept in order as runs come, change and go, so that summing up does not cost more with a long history.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::completion::owes_completion;
use super::phase::{Phase, phase};
use crate::api::Execution;

/// One run, in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its uid, so that nothing else of that name is deleted for it.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it ended, if it has.
    pub completed: Option<Timestamp>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether its end is still to be told. It is kept until then.
    pub owed: bool,
}

impl Brief {
    /// What matters of `execution`.
    pub fn of(execution: &Execution) -> Self {
        let created =
            execution.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let phase = phase(execution);
        let status = execution.status.as_ref();
        let completed =
            status.and_then(|status| status.completion_time.as_ref()).map_or(created, |time| time.0);
        Self {
            uid: execution.metadata.uid.clone().unwrap_or_default(),
            created,
            completed: phase.is_terminal().then_some(completed),
            phase,
            owed: owes_completion(execution),
        }
    }
}

/// The runs of one Job, by name.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    all: BTreeMap<String, Brief>,
    by_creation: BTreeSet<(Timestamp, String)>,
    open: BTreeSet<String>,
    /// Of those, the ones that wait to start.
    waiting: usize,
    finished: BTreeSet<(Timestamp, String)>,
}

impl Runs {
    /// Takes in a run as it is now.
    pub fn insert(&mut self, name: &str, run: Brief) {
        self.remove(name);
        self.by_creation.insert((run.created, name.to_owned()));
        self.waiting += usize::from(waits(&run));
        match run.completed {
            Some(completed) => self.finished.insert((completed, name.to_owned())),
            None => self.open.insert(name.to_owned()),
        };
        self.all.insert(name.to_owned(), run);
    }

    /// Forgets a run that does not exist any more.
    pub fn remove(&mut self, name: &str) {
        let Some(run) = self.all.remove(name) else { return };
        self.by_creation.remove(&(run.created, name.to_owned()));
        self.open.remove(name);
        self.waiting -= usize::from(waits(&run));
        if let Some(completed) = run.completed {
            self.finished.remove(&(completed, name.to_owned()));
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The run of that name.
    pub fn get(&self, name: &str) -> Option<&Brief> {
        self.all.get(name)
    }

    /// Where each of them stands.
    pub fn phases(&self) -> impl Iterator<Item = Phase> {
        self.all.values().map(|run| run.phase)
    }

    /// Names of the runs that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &str> {
        self.open.iter().map(String::as_str)
    }

    /// The run created last.
    pub(super) fn latest(&self) -> Option<(&str, &Brief)> {
        let (_, name) = self.by_creation.last()?;
        Some((name, self.all.get(name)?))
    }

    /// How many runs that have not ended are waiting, and how many are under way.
    pub(super) fn waiting_and_running(&self) -> (usize, usize) {
        (self.waiting, self.open.len() - self.waiting)
    }

    /// Runs that have ended, the first to end first.
    pub(super) fn finished(&self) -> impl ExactSizeIterator<Item = (&str, &Brief)> {
        self.finished.iter().map(|(_, name)| (name.as_str(), &self.all[name]))
    }
}

/// Whether a run has not ended and waits to start.
fn waits(run: &Brief) -> bool {
    run.completed.is_none() && matches!(run.phase, Phase::Pending | Phase::Queued)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(created: i64, completed: Option<i64>, phase: Phase) -> Brief {
        let at = |second| Timestamp::from_second(second).unwrap();
        Brief { uid: String::new(), created: at(created), completed: completed.map(at), phase, owed: false }
    }

    #[test]
    fn a_run_that_ends_moves_to_the_finished_ones() {
        let mut runs = Runs::default();
        runs.insert("a", run(1, None, Phase::Queued));
        runs.insert("b", run(2, None, Phase::Running));
        assert_eq!(runs.waiting_and_running(), (1, 1));
        runs.insert("a", run(1, Some(9), Phase::Failed));
        assert_eq!(runs.waiting_and_running(), (0, 1));
        assert_eq!(runs.finished().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(runs.latest().unwrap().0, "b");
        runs.remove("b");
        assert_eq!(runs.latest().unwrap().0, "a");
        runs.remove("a");
        assert!(runs.is_empty());
    }

    proptest! {
        #[test]
        fn the_sets_agree_whatever_happens(steps in prop::collection::vec((0..4u8, 0..4i64, prop::option::of(0..4i64), any::<bool>()), 0..40)) {
            let mut runs = Runs::default();
            for (name, created, completed, remove) in steps {
                let name = name.to_string();
                if remove {
                    runs.remove(&name);
                } else {
                    let open = if created < 2 { Phase::Queued } else { Phase::Running };
                    let phase = if completed.is_some() { Phase::Succeeded } else { open };
                    runs.insert(&name, run(created, completed, phase));
                }
                prop_assert_eq!(runs.by_creation.len(), runs.len());
                prop_assert_eq!(runs.open.len() + runs.finished.len(), runs.len());
                let waiting = runs.all.values().filter(|run| run.phase == Phase::Queued).count();
                prop_assert_eq!(runs.waiting_and_running(), (waiting, runs.open.len() - waiting));
            }
        }
    }
}
