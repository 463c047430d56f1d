//! Places against a simple model: a world of runs, watches that lag behind it, each in its own time, and a controller that
//! crashes.
//!
//! The model knows the truth. After whatever happened: nobody gets a place beyond a limit as it is known then, a queue keeps
//! its order, and once everything is allowed to end, everything has ended and nothing is left.

use std::collections::{BTreeMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

const NAMESPACES: [&str; 2] = ["one", "two"];
const TERMS: usize = 9;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A run comes, of the Job of that namespace and with that key.
    Come { namespace: usize, key: Option<u8>, leaves_a_gap: bool },
    /// The controller takes a step of that run, which may break off.
    Step { run: usize, breaks: Break },
    /// A run's tasks end.
    Finish { run: usize },
    /// Somebody cancels it.
    Cancel { run: usize },
    /// Somebody edits the Job.
    Edit { namespace: usize, terms: usize, suspend: bool },
    /// The watch of runs and Jobs, or that of task sets, catches up by so many changes.
    CatchUp { changes: usize, of_sets: bool },
    /// Time passes.
    Tick { seconds: i64 },
    /// The controller dies, and another lists everything.
    Crash,
}

/// Where a step breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nowhere,
    /// Nothing was made.
    AtOnce,
    /// The tasks were made, and it was not written that they were.
    BeforeStatus,
}

fn happening() -> impl Strategy<Value = Happening> {
    let namespace = || 0..NAMESPACES.len();
    prop_oneof![
        6 => (namespace(), prop::option::of(0..2u8), any::<bool>())
            .prop_map(|(namespace, key, leaves_a_gap)| Happening::Come { namespace, key, leaves_a_gap }),
        10 => (any::<usize>(), prop::sample::select(vec![Break::Nowhere, Break::Nowhere, Break::AtOnce, Break::BeforeStatus]))
            .prop_map(|(run, breaks)| Happening::Step { run, breaks }),
        5 => any::<usize>().prop_map(|run| Happening::Finish { run }),
        3 => any::<usize>().prop_map(|run| Happening::Cancel { run }),
        2 => (namespace(), 0..TERMS, prop::bool::weighted(0.2))
            .prop_map(|(namespace, terms, suspend)| Happening::Edit { namespace, terms, suspend }),
        10 => (1..6usize, any::<bool>()).prop_map(|(changes, of_sets)| Happening::CatchUp { changes, of_sets }),
        1 => (1..40i64).prop_map(|seconds| Happening::Tick { seconds }),
        1 => Just(Happening::Crash),
    ]
}

fn terms(number: usize) -> Value {
    match number {
        0 => json!(null),
        1 => json!({"policy": "Queue"}),
        2 => json!({"policy": "Queue", "limit": 2}),
        3 => json!({"policy": "Queue", "key": "event.subject"}),
        4 => json!({"policy": "Queue", "limit": 2, "queueTimeoutSeconds": 30}),
        5 => json!({"policy": "Forbid"}),
        6 => json!({"policy": "Forbid", "limit": 2, "key": "event.subject"}),
        7 => json!({"policy": "Replace"}),
        _ => json!({"policy": "Replace", "limit": 2, "key": "event.subject"}),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Live,
    Stopping,
    Ended,
}

#[derive(Debug, Clone)]
struct Real {
    namespace: usize,
    name: String,
    key: Option<u8>,
    second: i64,
    state: State,
    cancelled: bool,
    /// Whether its status says that its tasks were made.
    written: bool,
}

impl Real {
    fn claim(&self, has_set: bool) -> Claim {
        let extra = json!({"spec": {"concurrencyKey": self.key.map(|key| key.to_string()), "cancelled": self.cancelled}});
        Claim::of(&run(&self.name, self.second, &extra), self.written || has_set)
    }
}

/// What the watch of runs and Jobs has to tell.
#[derive(Debug)]
enum Change {
    Run(usize, Real),
    Gone(usize),
    Job(usize, Terms),
}

struct Model {
    runs: Vec<Real>,
    /// What each Job says.
    jobs: [(usize, bool); 2],
    /// The same, as far as the controller knows.
    known: [(usize, bool); 2],
    untold: VecDeque<(Change, Option<(usize, bool)>)>,
    /// Runs whose task sets the other watch has to tell of.
    untold_sets: VecDeque<usize>,
    /// What the caches show.
    seen: BTreeMap<usize, Real>,
    seen_sets: HashSet<usize>,
    guards: Guards,
    admission: Admission,
    now: i64,
}

impl Model {
    fn new(guards: Guards) -> Self {
        let (jobs, runs, untold) = ([(1, false); 2], Vec::new(), VecDeque::new());
        let admission = Admission::new(guards);
        let mut model = Self {
            runs,
            jobs,
            known: jobs,
            untold,
            untold_sets: VecDeque::new(),
            seen: BTreeMap::new(),
            seen_sets: HashSet::new(),
            guards,
            admission,
            now: NOW,
        };
        model.list();
        model
    }

    fn terms_of((number, suspend): (usize, bool)) -> Terms {
        Terms::of(&job(&terms(number), suspend))
    }

    /// A new controller learns everything.
    fn list(&mut self) {
        self.untold.clear();
        self.known = self.jobs;
        self.admission = Admission::new(self.guards);
        for (namespace, terms) in NAMESPACES.iter().zip(self.jobs) {
            self.admission.set_terms(namespace, "j1", Some(Self::terms_of(terms)));
        }
        let open = self.runs.iter().enumerate().filter(|(_, run)| run.state != State::Ended);
        self.seen = open.map(|(at, run)| (at, run.clone())).collect();
        self.untold_sets.clear();
        let live = self.seen.iter().filter(|(_, run)| run.state != State::Waiting);
        self.seen_sets = live.map(|(at, _)| *at).collect();
        for run in self.seen.keys().copied().collect::<Vec<_>>() {
            self.observe(run);
        }
    }

    /// A cache shows something else of that run.
    fn observe(&mut self, run: usize) {
        if let Some(seen) = self.seen.get(&run) {
            let claim = seen.claim(self.seen_sets.contains(&run));
            self.admission.observe(NAMESPACES[seen.namespace], claim);
        }
    }

    fn tell(&mut self, run: usize) {
        let change = match self.runs[run].state {
            State::Ended => Change::Gone(run),
            State::Waiting | State::Live | State::Stopping => Change::Run(run, self.runs[run].clone()),
        };
        self.untold.push_back((change, None));
    }

    fn catch_up(&mut self, changes: usize) {
        for _ in 0..changes {
            let Some((change, known)) = self.untold.pop_front() else { return };
            match change {
                Change::Run(run, real) => {
                    self.seen.insert(run, real);
                    self.observe(run);
                }
                Change::Gone(run) => {
                    self.seen.remove(&run);
                    let Real { namespace, name, .. } = &self.runs[run];
                    self.admission.forget(NAMESPACES[*namespace], name);
                }
                Change::Job(namespace, terms) => {
                    self.admission.set_terms(NAMESPACES[namespace], "j1", Some(terms));
                    self.known[namespace] = known.expect("an edit says what it says");
                }
            }
        }
    }

    fn catch_up_with_sets(&mut self, changes: usize) {
        for _ in 0..changes {
            let Some(run) = self.untold_sets.pop_front() else { return };
            self.seen_sets.insert(run);
            self.observe(run);
        }
    }

    fn open(&self, which: usize, wanted: impl Fn(&Real) -> bool) -> Option<usize> {
        let open: Vec<_> = (0..self.runs.len()).filter(|at| wanted(&self.runs[*at])).collect();
        (!open.is_empty()).then(|| open[which % open.len()])
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Come { namespace, key, leaves_a_gap } => {
                let number = self.runs.len();
                self.now += i64::from(leaves_a_gap);
                let (name, second) = (format!("r{number:03}"), self.now - NOW);
                let (state, cancelled, written) = (State::Waiting, false, false);
                self.runs.push(Real { namespace, name, key, second, state, cancelled, written });
                self.tell(number);
            }
            Happening::Step { run, breaks } => {
                if let Some(run) = self.open(run, |run| run.state != State::Ended) {
                    self.step(run, breaks);
                }
            }
            Happening::Finish { run } => {
                if let Some(run) = self.open(run, |run| matches!(run.state, State::Live | State::Stopping)) {
                    self.runs[run].state = State::Ended;
                    self.tell(run);
                }
            }
            Happening::Cancel { run } => {
                if let Some(run) = self.open(run, |run| run.state != State::Ended) {
                    self.runs[run].cancelled = true;
                    self.tell(run);
                }
            }
            Happening::Edit { namespace, terms, suspend } => {
                self.jobs[namespace] = (terms, suspend);
                let change = Change::Job(namespace, Self::terms_of((terms, suspend)));
                self.untold.push_back((change, Some((terms, suspend))));
            }
            Happening::CatchUp { changes, of_sets: false } => self.catch_up(changes),
            Happening::CatchUp { changes, of_sets: true } => self.catch_up_with_sets(changes),
            Happening::Tick { seconds } => self.now += seconds,
            Happening::Crash => self.list(),
        }
        self.admit();
    }

    /// A step of the controller, as `plan::run` has it.
    fn step(&mut self, at: usize, breaks: Break) {
        let Real { namespace, name, state, cancelled, written, .. } = self.runs[at].clone();
        let namespace = NAMESPACES[namespace];
        let fate = self.admission.standing(namespace, &name, super::at(self.now)).fate;
        let next = match (state, fate) {
            _ if breaks == Break::AtOnce => state,
            (State::Waiting, _) if cancelled => State::Ended,
            (State::Live, _) if cancelled => State::Stopping,
            (State::Waiting, Fate::Go) => State::Live,
            (State::Waiting, Fate::End { .. }) => State::Ended,
            (State::Live, Fate::End { .. }) => State::Stopping,
            (state, _) => state,
        };
        self.runs[at].state = next;
        if (state, next) == (State::Waiting, State::Live) {
            self.untold_sets.push_back(at);
        }
        if breaks == Break::Nowhere || next == State::Ended {
            self.runs[at].written = next != State::Waiting;
            if next != state || self.runs[at].written != written {
                self.tell(at);
            }
        }
        self.admission.tried(namespace, &name);
    }

    /// Whether a run counts: it is live, or was promised to be.
    fn counts(&self, run: &Real) -> bool {
        match run.state {
            State::Live | State::Stopping => true,
            State::Waiting => self.admission.is_promised(NAMESPACES[run.namespace], &run.name),
            State::Ended => false,
        }
    }

    fn admit(&mut self) {
        let before: Vec<bool> = self.runs.iter().map(|run| self.counts(run)).collect();
        self.admission.admit(4, super::at(self.now));
        self.admission.take_news();
        for (at, run) in self.runs.iter().enumerate() {
            if self.counts(run) && !before[at] {
                self.check_promise(run);
            }
        }
    }

    /// A run was just promised a place.
    fn check_promise(&self, run: &Real) {
        let known = Self::terms_of(self.known[run.namespace]);
        assert!(!known.is_suspended, "{run:?}");
        let live = self.runs.iter().filter(|other| self.counts(other));
        assert!(live.clone().count() <= self.guards.live.unwrap_or(usize::MAX));
        let here = live.clone().filter(|other| other.namespace == run.namespace);
        assert!(here.count() <= self.guards.live_per_namespace.unwrap_or(usize::MAX));
        let together =
            |other: &Real| other.namespace == run.namespace && (!known.is_keyed || other.key == run.key);
        assert!(live.filter(|other| together(other)).count() <= known.limit.unwrap_or(usize::MAX), "{run:?}");
        if known.policy == ConcurrencyPolicy::Queue {
            let waits = |other: &&Real| {
                let id = (NAMESPACES[other.namespace].to_owned(), other.name.clone());
                let place = self.admission.runs.get(&id).map(|run| run.place);
                together(other) && place == Some(Place::None) && other.state == State::Waiting
            };
            let first = self.runs.iter().find(waits);
            assert!(first.is_none_or(|first| first.name > run.name), "{run:?} went before {first:?}");
        }
    }

    /// Whether everything ends once it may.
    fn comes_to_an_end(mut self) {
        for namespace in 0..NAMESPACES.len() {
            let (terms, _) = self.jobs[namespace];
            self.happens(Happening::Edit { namespace, terms, suspend: false });
        }
        for _ in 0..self.runs.len() * 4 + 8 {
            self.happens(Happening::CatchUp { changes: usize::MAX, of_sets: true });
            self.happens(Happening::CatchUp { changes: usize::MAX, of_sets: false });
            for run in 0..self.runs.len() {
                if self.runs[run].state != State::Ended {
                    self.step(run, Break::Nowhere);
                }
            }
            self.happens(Happening::Finish { run: 0 });
        }
        self.catch_up_with_sets(usize::MAX);
        self.catch_up(usize::MAX);
        let left: Vec<_> = self.runs.iter().filter(|run| run.state != State::Ended).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!((self.admission.runs.len(), self.admission.trying.len()), (0, 0));
        assert_eq!(self.admission.spaces.live(), 0);
        assert!(self.admission.spaces.next().is_none());
    }
}

proptest! {
    #[test]
    fn no_limit_is_exceeded_no_place_leaks_and_everything_ends(
        happenings in prop::collection::vec(happening(), 0..120),
        live in prop::option::of(1..6usize), live_per_namespace in prop::option::of(1..4usize),
    ) {
        let mut model = Model::new(Guards { live, live_per_namespace });
        for happening in happenings {
            model.happens(happening);
        }
        model.comes_to_an_end();
    }
}
