//! In which order events are sent: those to one destination wait for each other, those to others do not.
//!
//! Each destination has a lane with a few attempts at a time, and lanes take turns. So one that is dead, or slow, holds up
//! what goes to itself and nothing else. A run is in here from its end until its event is settled, with a few words.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use tokio::time::Instant;

use crate::controllers::world::Key;

/// Attempts at a time, in all and in one lane.
const AT_ONCE: usize = 64;
const AT_ONCE_IN_LANE: usize = 8;

/// What is to be sent, and `P` about each.
pub(super) struct Lanes<P> {
    by_name: BTreeMap<String, Lane>,
    parcels: HashMap<Key, Parcel<P>>,
    /// The lane whose turn was last.
    last: String,
    under_way: usize,
}

#[derive(Default)]
struct Lane {
    waiting: BTreeSet<(Instant, Key)>,
    under_way: usize,
}

struct Parcel<P> {
    lane: String,
    /// None while it is under way.
    waits: Option<(Instant, P)>,
}

impl<P> Default for Lanes<P> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), parcels: HashMap::new(), last: String::new(), under_way: 0 }
    }
}

impl<P> Lanes<P> {
    /// Takes in what is to be sent, at once. What is here already is left alone.
    pub(super) fn add(&mut self, key: Key, lane: String, parcel: P, now: Instant) {
        if !self.parcels.contains_key(&key) {
            self.put(key, lane, parcel, now);
        }
    }

    /// What is to be tried next, if anything is.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Key, P)> {
        if self.under_way >= AT_ONCE {
            return None;
        }
        let after = self.by_name.range::<str, _>((Bound::Excluded(self.last.as_str()), Bound::Unbounded));
        let until = self.by_name.range::<str, _>((Bound::Unbounded, Bound::Included(self.last.as_str())));
        let is_due = |lane: &Lane| {
            lane.under_way < AT_ONCE_IN_LANE && lane.waiting.first().is_some_and(|(due, _)| *due <= now)
        };
        let name = after.chain(until).find(|(_, lane)| is_due(lane)).map(|(name, _)| name.clone())?;
        let lane = self.by_name.get_mut(&name)?;
        let (_, key) = lane.waiting.pop_first()?;
        lane.under_way += 1;
        self.under_way += 1;
        self.last = name;
        let (_, parcel) = self.parcels.get_mut(&key)?.waits.take()?;
        Some((key, parcel))
    }

    /// What was taken is tried again at that time, in that lane.
    pub(super) fn again(&mut self, key: Key, lane: String, parcel: P, due: Instant) {
        self.done(&key);
        self.put(key, lane, parcel, due);
    }

    /// What was taken is settled.
    pub(super) fn done(&mut self, key: &Key) {
        let Some(Parcel { lane: name, waits }) = self.parcels.remove(key) else { return };
        let Some(lane) = self.by_name.get_mut(&name) else { return };
        if let Some((due, _)) = waits {
            lane.waiting.remove(&(due, key.clone()));
        } else {
            lane.under_way -= 1;
            self.under_way -= 1;
        }
        if lane.under_way == 0 && lane.waiting.is_empty() {
            self.by_name.remove(&name);
        }
    }

    /// When there is something to try, should nothing happen before.
    pub(super) fn wake(&self) -> Option<Instant> {
        if self.under_way >= AT_ONCE {
            return None;
        }
        let free = self.by_name.values().filter(|lane| lane.under_way < AT_ONCE_IN_LANE);
        free.filter_map(|lane| lane.waiting.first()).map(|(due, _)| *due).min()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    fn put(&mut self, key: Key, lane: String, parcel: P, due: Instant) {
        self.by_name.entry(lane.clone()).or_default().waiting.insert((due, key.clone()));
        self.parcels.insert(key, Parcel { lane, waits: Some((due, parcel)) });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(name: &str) -> Key {
        ("shop".to_owned(), name.to_string())
    }

    fn taken(lanes: &mut Lanes<()>, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| lanes.take(now)).map(|((_, name), ())| name).collect()
    }

    #[test]
    fn a_dead_destination_holds_up_what_goes_to_itself_only() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for number in 0..100 {
            lanes.add(run(&number.to_string()), "dead".to_owned(), (), now);
        }
        lanes.add(run("other"), "works".to_owned(), (), now);
        let first = taken(&mut lanes, now);
        assert_eq!(first.len(), AT_ONCE_IN_LANE + 1);
        assert!(first.contains(&"other".to_owned()));
        assert_eq!(lanes.wake(), None, "nobody is free");
        lanes.done(&run(&first[0]));
        assert_eq!(lanes.wake(), Some(now));
        assert_eq!(taken(&mut lanes, now).len(), 1);
    }

    #[test]
    fn lanes_take_turns_and_there_is_a_bound_to_all_of_them() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for lane in 0..20 {
            for number in 0..20 {
                lanes.add(run(&format!("{lane:02}-{number:02}")), format!("{lane:02}"), (), now);
            }
        }
        let first = taken(&mut lanes, now);
        assert_eq!(first.len(), AT_ONCE);
        for lane in 0..20 {
            let of_lane = first.iter().filter(|name| name.starts_with(&format!("{lane:02}-"))).count();
            assert!((3..=4).contains(&of_lane), "{lane}: {of_lane}");
        }
    }

    #[test]
    fn what_is_known_is_not_taken_in_again_and_what_is_settled_leaves_nothing() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.add(run("a"), "x".to_owned(), (), now);
        lanes.add(run("a"), "x".to_owned(), (), now);
        assert_eq!(taken(&mut lanes, now), ["a"]);
        lanes.add(run("a"), "x".to_owned(), (), now);
        assert_eq!(taken(&mut lanes, now), [""; 0], "it is under way");
        let later = now + Duration::from_secs(1);
        lanes.again(run("a"), "y".to_owned(), (), later);
        assert_eq!((lanes.wake(), lanes.len()), (Some(later), 1));
        assert_eq!(taken(&mut lanes, now), [""; 0]);
        assert_eq!(taken(&mut lanes, later), ["a"]);
        lanes.done(&run("a"));
        lanes.done(&run("a"));
        assert!(lanes.by_name.is_empty() && lanes.parcels.is_empty() && lanes.under_way == 0);
    }
}
