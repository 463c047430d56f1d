//! What we wrote, for as long as the caches may not show it yet.
//!
//! A step that is planned from a cache older than our own last write plans what is done already; its write is refused
//! (409), and its looks at what seems to be missing are for nothing. So a step that writes notes which versions it knew,
//! and until the caches show other ones the run is left alone: the watch that brings the write wakes it. Versions are
//! compared for equality only; they have no order (concepts/api, "Resource versions"). A watch that lost the write does
//! not hold a run up for long: see [`LAG`]. The same holds for the Jobs whose runs are summed up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::world::Key;

/// How long the caches may be behind a write before the API server itself is asked. Watches bring a write within
/// milliseconds, and within a second where an API server is busy.
const LAG: Duration = Duration::from_secs(5);

/// The last write of every object that is looked after.
#[derive(Default)]
pub(super) struct Written(Mutex<HashMap<Key, Write>>);

/// What a write makes old.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// Versions of the object.
    pub(super) versions: Vec<Option<String>>,
    /// Versions of a run's task set; none inside where it was not there yet.
    pub(super) task_set: Vec<Option<String>>,
}

struct Write {
    at: Instant,
    before: Before,
}

/// How the caches stand to the last write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They do not show what it made old.
    Current,
    /// They do, and for so long they may.
    Behind(Duration),
    /// They did for too long.
    Lost,
}

impl Written {
    /// A write is about to be sent. Whoever hears of its effect before its answer finds it noted.
    pub(super) fn begin(&self, object: Key, before: Before, now: Instant) {
        self.0.lock().insert(object, Write { at: now, before });
    }

    /// The API server itself is asked, because the caches are too far behind. They have time again.
    pub(super) fn looked(&self, object: &Key, now: Instant) {
        if let Some(write) = self.0.lock().get_mut(object) {
            write.at = now;
        }
    }

    /// That run's task set is gone, so the caches will not show it.
    pub(super) fn task_set_is_gone(&self, run: &Key) {
        if let Some(write) = self.0.lock().get_mut(run) {
            write.before.task_set.clear();
        }
    }

    /// Nothing is to be waited for: the write failed, or the object is not looked after any more.
    pub(super) fn forget(&self, object: &Key) {
        self.0.lock().remove(object);
    }

    /// Keeps only what was written to those objects.
    pub(super) fn retain(&self, is_wanted: impl Fn(&Key) -> bool) {
        self.0.lock().retain(|object, _| is_wanted(object));
    }

    /// How caches with these versions of an object and of its task set stand to what was written.
    pub(super) fn standing(
        &self,
        object: &Key,
        (version, task_set): (Option<&str>, Option<&str>),
        now: Instant,
    ) -> Standing {
        let writes = self.0.lock();
        let Some(Write { at, before }) = writes.get(object) else { return Standing::Current };
        let shows =
            |versions: &[Option<String>], version| versions.iter().any(|old| old.as_deref() == version);
        if !shows(&before.versions, version) && !shows(&before.task_set, task_set) {
            return Standing::Current;
        }
        let left = LAG.saturating_sub(now.saturating_duration_since(*at));
        if left.is_zero() { Standing::Lost } else { Standing::Behind(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Key {
        ("shop".to_owned(), "a".to_owned())
    }

    fn wrote(old: &[Option<&str>], task_set: &[Option<&str>], now: Instant) -> Written {
        let written = Written::default();
        let owned = |versions: &[Option<&str>]| versions.iter().map(|one| one.map(str::to_owned)).collect();
        written.begin(run(), Before { versions: owned(old), task_set: owned(task_set) }, now);
        written
    }

    #[test]
    fn a_cache_that_shows_what_was_written_over_is_behind_and_any_other_is_not() {
        let now = Instant::now();
        let written = wrote(&[Some("7"), Some("8")], &[], now);
        let standing = |version| written.standing(&run(), (Some(version), None), now);
        assert_eq!([standing("7"), standing("8")], [Standing::Behind(LAG), Standing::Behind(LAG)]);
        assert_eq!([standing("9"), standing("6")], [Standing::Current, Standing::Current]);
        written.forget(&run());
        assert_eq!(standing("7"), Standing::Current);
    }

    #[test]
    fn a_task_set_that_was_made_is_waited_for_unless_it_goes_again() {
        let now = Instant::now();
        let written = wrote(&[], &[None], now);
        let standing = |task_set| written.standing(&run(), (Some("9"), task_set), now);
        assert_eq!([standing(None), standing(Some("3"))], [Standing::Behind(LAG), Standing::Current]);
        written.task_set_is_gone(&run());
        assert_eq!(standing(None), Standing::Current);
    }

    #[test]
    fn a_write_that_never_comes_is_not_waited_for_for_ever() {
        let now = Instant::now();
        let written = wrote(&[Some("7")], &[], now);
        let standing = |now| written.standing(&run(), (Some("7"), None), now);
        let second = Duration::from_secs(1);
        assert_eq!(standing(now + second), Standing::Behind(LAG.saturating_sub(second)));
        assert_eq!(standing(now + LAG), Standing::Lost);
        written.looked(&run(), now + LAG);
        assert_eq!(
            standing(now + LAG),
            Standing::Behind(LAG),
            "it is asked now and then, not at every event"
        );
    }
}
