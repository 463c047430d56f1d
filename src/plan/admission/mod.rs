//! Which runs may have their tasks made: the limits of Jobs, and those of the cluster.
//!
//! Places are derived, never counted up and down: a run has one if its tasks exist, or existed and it has not ended. To that
//! comes what this process promised a moment ago and the caches do not show yet. So a place cannot leak: whatever becomes of
//! a run, it is forgotten with it; and after a crash the promises are gone, but not the tasks that came of them, which are
//! listed before anything is decided. It takes one writer, which the lease of the controllers makes sure of.
//!
//! The sets are kept in order as runs come, change and go, so that giving out a place does not cost more with a long queue.
//!
//! Who is next: in a group (the runs of a Job that are counted together) whoever its policy says; in a namespace, of those,
//! whoever came first; of the namespaces, each in turn.

mod claim;
mod fate;
mod group;
mod spaces;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use k8s_openapi::jiff::Timestamp;

pub use self::claim::Claim;
use self::claim::Order;
pub use self::fate::{Fate, Standing};
use self::group::Group;
pub use self::spaces::Guards;
use self::spaces::Spaces;
pub use self::terms::Terms;
use crate::api::ConcurrencyPolicy;

/// Namespace and name of a run, or namespace of a Job and its uid.
type Id = (String, String);

/// Who has a place, who waits for one, and who gets the next.
#[derive(Debug, Default)]
pub struct Admission {
    spaces: Spaces,
    jobs: HashMap<Id, Line>,
    runs: HashMap<Id, Run>,
    /// Runs that were promised a place and have not tried to take it.
    trying: HashSet<Id>,
    /// Runs whose fate changed without anything of themselves changing.
    news: Vec<Id>,
}

/// The runs of one Job.
#[derive(Debug, Default)]
struct Line {
    /// None while the Job is not known: nothing of it starts.
    terms: Option<Terms>,
    groups: BTreeMap<Option<String>, Group>,
}

#[derive(Debug)]
struct Run {
    claim: Claim,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It waits.
    None,
    /// It waited too long.
    Late,
    /// It was promised one, and the caches do not show that it took it.
    Promised,
    /// It has one.
    Taken,
}

impl Place {
    /// The runs of a group that stand there.
    fn of(self, group: &mut Group) -> &mut BTreeSet<Order> {
        match self {
            Place::None => &mut group.waiting,
            Place::Late => &mut group.late,
            Place::Promised | Place::Taken => &mut group.holding,
        }
    }

    fn holds(self) -> bool {
        match self {
            Place::Promised | Place::Taken => true,
            Place::None | Place::Late => false,
        }
    }
}

impl Admission {
    /// Nothing is known yet.
    pub fn new(guards: Guards) -> Self {
        Self { spaces: Spaces::new(guards), ..Self::default() }
    }

    /// Takes in what the Job of that namespace and uid says; none if there is no such Job any more.
    pub fn set_terms(&mut self, namespace: &str, uid: &str, terms: Option<Terms>) {
        let job = (namespace.to_owned(), uid.to_owned());
        let Some(line) = self.jobs.get(&job) else {
            if terms.is_some() {
                self.jobs.insert(job, Line { terms, groups: BTreeMap::new() });
            }
            return;
        };
        if line.terms == terms {
            return;
        }
        // It may count its runs by other keys now: all of them find their place anew.
        let runs = line.groups.values().flat_map(Group::all);
        let runs: Vec<Id> = runs.map(|order| (namespace.to_owned(), order.name.clone())).collect();
        let mut moved: Vec<(Id, Run)> = Vec::new();
        for id in runs {
            moved.extend(self.take(&id).map(|run| (id, run)));
        }
        if let Some(line) = self.jobs.get_mut(&job) {
            line.terms = terms;
        } else {
            self.jobs.insert(job.clone(), Line { terms, groups: BTreeMap::new() });
        }
        for (id, mut run) in moved {
            if run.place == Place::Late {
                run.place = Place::None;
            }
            self.put(id, run);
        }
        self.tidy(&job);
    }

    /// Forgets what Jobs say that do not exist any more; `exists` is asked about their uids.
    pub fn retain_jobs(&mut self, exists: impl Fn(&str) -> bool) {
        let gone: Vec<Id> = self.jobs.keys().filter(|(_, uid)| !exists(uid)).cloned().collect();
        for (namespace, uid) in gone {
            self.set_terms(&namespace, &uid, None);
        }
    }

    /// Takes in a run that has not ended.
    pub fn observe(&mut self, namespace: &str, claim: Claim) {
        let id = (namespace.to_owned(), claim.order.name.clone());
        let (known, place) = match self.runs.get(&id) {
            Some(run) => (run.claim == claim, run.place),
            None => (false, Place::None),
        };
        if known {
            return;
        }
        let place = match place {
            _ if claim.holds => Place::Taken,
            // Its tasks are gone before it was written that they exist.
            Place::Taken => Place::None,
            place => place,
        };
        if place != Place::Promised {
            self.trying.remove(&id);
        }
        self.take(&id);
        if claim.leaves && !place.holds() {
            return;
        }
        let is_new = self.put(id.clone(), Run { claim, place });
        if is_new {
            self.tell_displaced(&id);
        }
    }

    /// Forgets a run that has ended or does not exist any more.
    pub fn forget(&mut self, namespace: &str, name: &str) {
        let id = (namespace.to_owned(), name.to_owned());
        self.trying.remove(&id);
        if let Some(run) = self.take(&id) {
            self.tidy(&(id.0, run.claim.job));
        }
    }

    /// Forgets every run but those.
    pub fn retain(&mut self, is_open: impl Fn(&(String, String)) -> bool) {
        let gone: Vec<Id> = self.runs.keys().filter(|id| !is_open(id)).cloned().collect();
        for (namespace, name) in gone {
            self.forget(&namespace, &name);
        }
    }

    /// Gives out the places that are free, to at most so many runs at a time that have not tried to take theirs.
    pub fn admit(&mut self, room: usize, now: Timestamp) {
        while self.trying.len() < room {
            let Some((namespace, (order, job, _))) = self.spaces.next() else { break };
            let (namespace, id) = (namespace.to_owned(), (namespace.to_owned(), order.name.clone()));
            let job = (namespace.clone(), job.clone());
            let terms = self.jobs.get(&job).and_then(|line| line.terms.as_ref());
            let patience = terms.and_then(|terms| terms.patience(order));
            let Some(mut run) = self.take(&id) else { break };
            if patience.is_some_and(|end| end <= now) {
                run.place = Place::Late;
            } else {
                run.place = Place::Promised;
                self.trying.insert(id.clone());
                self.spaces.served(&namespace);
            }
            self.put(id.clone(), run);
            self.news.push(id);
        }
    }

    /// A run that was promised a place has tried to take it, whatever came of it.
    pub fn tried(&mut self, namespace: &str, name: &str) {
        self.trying.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Whether that run was promised a place that it is not seen to have taken.
    pub fn is_promised(&self, namespace: &str, name: &str) -> bool {
        let run = self.runs.get(&(namespace.to_owned(), name.to_owned()));
        run.is_some_and(|run| run.place == Place::Promised)
    }

    /// Takes a promise back. It must be certain that nothing came of it.
    pub fn withdraw(&mut self, namespace: &str, name: &str) {
        let id = (namespace.to_owned(), name.to_owned());
        if !self.is_promised(namespace, name) {
            return;
        }
        self.trying.remove(&id);
        if let Some(mut run) = self.take(&id) {
            run.place = Place::None;
            self.put(id, run);
        }
    }

    /// The runs whose fate changed without anything of themselves changing, and none the next time.
    pub fn take_news(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.news)
    }

    /// What is decided about a run.
    pub fn standing(&self, namespace: &str, name: &str, now: Timestamp) -> Standing {
        let Some(run) = self.runs.get(&(namespace.to_owned(), name.to_owned())) else {
            return Fate::Soon.into();
        };
        let (key, order) = (self.key_of(namespace, &run.claim), &run.claim.order);
        let line = self.jobs.get(&(namespace.to_owned(), run.claim.job.clone()));
        let known = line.and_then(|line| Some((line.terms.as_ref()?, line.groups.get(&key)?)));
        let Some((terms, group)) = known else {
            let fate = if run.place.holds() { Fate::Go } else { Fate::Soon };
            return fate.into();
        };
        let key = key.as_deref();
        if terms.policy == ConcurrencyPolicy::Replace
            && !terms.is_suspended
            && let Some(by) = terms.limit.and_then(|limit| group.replacement(order, limit))
        {
            return fate::replaced(&by.name).into();
        }
        if run.place.holds() {
            return Fate::Go.into();
        }
        let until = terms.patience(order);
        if run.place == Place::Late || until.is_some_and(|end| end <= now) {
            return fate::late(terms).into();
        }
        let message = if terms.is_suspended {
            Some(format!("job {} is suspended", terms.job))
        } else if terms.policy == ConcurrencyPolicy::Forbid && group.is_full_for(order, terms) {
            return fate::forbidden(terms, key).into();
        } else {
            fate::obstacle(group, terms, key).or_else(|| self.spaces.obstacle(namespace))
        };
        let fate = message.map_or(Fate::Soon, |message| Fate::Wait { message });
        Standing { fate, until }
    }

    /// The key by which the Job counts that run.
    fn key_of(&self, namespace: &str, claim: &Claim) -> Option<String> {
        let line = self.jobs.get(&(namespace.to_owned(), claim.job.clone()))?;
        claim.key.clone().filter(|_| line.terms.as_ref().is_some_and(|terms| terms.is_keyed))
    }

    /// Takes a run out.
    fn take(&mut self, id: &Id) -> Option<Run> {
        let run = self.runs.remove(id)?;
        let key = self.key_of(&id.0, &run.claim);
        self.change(&id.0, &run.claim.job, key.as_ref(), |group| {
            run.place.of(group).remove(&run.claim.order)
        });
        if run.place.holds() {
            self.spaces.gave_back(&id.0);
        }
        Some(run)
    }

    /// Puts a run in, and says whether it is a newcomer that waits.
    fn put(&mut self, id: Id, run: Run) -> bool {
        let key = self.key_of(&id.0, &run.claim);
        if run.place.holds() {
            self.spaces.took(&id.0);
        }
        self.change(&id.0, &run.claim.job, key.as_ref(), |group| {
            run.place.of(group).insert(run.claim.order.clone())
        });
        let waits = run.place == Place::None;
        self.runs.insert(id, run);
        waits
    }

    /// Changes a group, and has its namespace know who is next in it.
    fn change(
        &mut self,
        namespace: &str,
        job: &str,
        key: Option<&String>,
        change: impl FnOnce(&mut Group) -> bool,
    ) {
        let line = self.jobs.entry((namespace.to_owned(), job.to_owned())).or_default();
        let group = line.groups.entry(key.cloned()).or_default();
        change(group);
        let next = line.terms.as_ref().and_then(|terms| group.next(terms)).cloned();
        if group.head != next {
            let head = |order: Option<Order>| order.map(|order| (order, job.to_owned(), key.cloned()));
            let old = std::mem::replace(&mut group.head, next.clone());
            self.spaces.lead(namespace, head(old), head(next));
        }
        if group.is_empty() {
            line.groups.remove(&key.cloned());
        }
    }

    /// Drops a Job of which nothing is left.
    fn tidy(&mut self, job: &Id) {
        if self.jobs.get(job).is_some_and(|line| line.terms.is_none() && line.groups.is_empty()) {
            self.jobs.remove(job);
        }
    }

    /// A newcomer may take the place of the first that came before the last few.
    fn tell_displaced(&mut self, newcomer: &Id) {
        let Some(run) = self.runs.get(newcomer) else { return };
        let key = self.key_of(&newcomer.0, &run.claim);
        let Some(line) = self.jobs.get(&(newcomer.0.clone(), run.claim.job.clone())) else { return };
        let (Some(terms), Some(group)) = (&line.terms, line.groups.get(&key)) else { return };
        if terms.policy != ConcurrencyPolicy::Replace || terms.is_suspended {
            return;
        }
        let displaced = terms.limit.and_then(|limit| group.displaced(limit)).map(|order| order.name.clone());
        self.news.extend(displaced.map(|name| (newcomer.0.clone(), name)));
    }
}
