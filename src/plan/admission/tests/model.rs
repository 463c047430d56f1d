//! Places against a simple model: a world of runs, a watch that lags behind it, and a controller that crashes.
//!
//! The model knows the truth. After whatever happened: nobody gets a place beyond a limit as it is known then, a queue keeps
//! its order, and once everything is allowed to end, everything has ended and nothing is left.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const NAMESPACES: [&str; 2] = ["one", "two"];
const TERMS: usize = 9;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A run comes, of the Job of that namespace and with that key.
    Come { namespace: usize, key: Option<u8>, leaves_a_gap: bool },
    /// The controller takes a step of that run; a create in it may fail.
    Step { run: usize, fails: bool },
    /// A run's tasks end.
    Finish { run: usize },
    /// Somebody cancels it.
    Cancel { run: usize },
    /// Somebody edits the Job.
    Edit { namespace: usize, terms: usize, suspend: bool },
    /// The watch catches up by so many changes.
    CatchUp { changes: usize },
    /// Time passes.
    Tick { seconds: i64 },
    /// The controller dies, and another lists everything.
    Crash,
}

fn happening() -> impl Strategy<Value = Happening> {
    let namespace = || 0..NAMESPACES.len();
    prop_oneof![
        6 => (namespace(), prop::option::of(0..2u8), any::<bool>())
            .prop_map(|(namespace, key, leaves_a_gap)| Happening::Come { namespace, key, leaves_a_gap }),
        10 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(run, fails)| Happening::Step { run, fails }),
        5 => any::<usize>().prop_map(|run| Happening::Finish { run }),
        1 => any::<usize>().prop_map(|run| Happening::Cancel { run }),
        2 => (namespace(), 0..TERMS, prop::bool::weighted(0.2))
            .prop_map(|(namespace, terms, suspend)| Happening::Edit { namespace, terms, suspend }),
        8 => (1..6usize).prop_map(|changes| Happening::CatchUp { changes }),
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
}

impl Real {
    fn claim(&self) -> Claim {
        let extra = json!({"spec": {"concurrencyKey": self.key.map(|key| key.to_string()), "cancelled": self.cancelled}});
        Claim::of(&run(&self.name, self.second, &extra), matches!(self.state, State::Live | State::Stopping))
    }
}

/// What the watch has to tell.
#[derive(Debug)]
enum Change {
    Run(usize, Claim),
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
    guards: Guards,
    admission: Admission,
    now: i64,
}

impl Model {
    fn new(guards: Guards) -> Self {
        let (jobs, runs, untold) = ([(1, false); 2], Vec::new(), VecDeque::new());
        let admission = Admission::new(guards);
        let mut model = Self { runs, jobs, known: jobs, untold, guards, admission, now: NOW };
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
        for run in self.runs.iter().filter(|run| run.state != State::Ended) {
            self.admission.observe(NAMESPACES[run.namespace], run.claim());
        }
    }

    fn tell(&mut self, run: usize) {
        let change = match self.runs[run].state {
            State::Ended => Change::Gone(run),
            State::Waiting | State::Live | State::Stopping => Change::Run(run, self.runs[run].claim()),
        };
        self.untold.push_back((change, None));
    }

    fn catch_up(&mut self, changes: usize) {
        for _ in 0..changes {
            let Some((change, known)) = self.untold.pop_front() else { return };
            match change {
                Change::Run(run, claim) => {
                    self.admission.observe(NAMESPACES[self.runs[run].namespace], claim);
                }
                Change::Gone(run) => {
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
                let (state, cancelled) = (State::Waiting, false);
                self.runs.push(Real { namespace, name, key, second, state, cancelled });
                self.tell(number);
            }
            Happening::Step { run, fails } => {
                if let Some(run) = self.open(run, |run| run.state != State::Ended) {
                    self.step(run, fails);
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
            Happening::CatchUp { changes } => self.catch_up(changes),
            Happening::Tick { seconds } => self.now += seconds,
            Happening::Crash => self.list(),
        }
        self.admit();
    }

    /// A step of the controller, as `plan::run` has it.
    fn step(&mut self, at: usize, fails: bool) {
        let Real { namespace, name, state, cancelled, .. } = self.runs[at].clone();
        let namespace = NAMESPACES[namespace];
        let fate = self.admission.standing(namespace, &name, super::at(self.now)).fate;
        match (state, fate) {
            (State::Waiting, _) if cancelled => self.runs[at].state = State::Ended,
            (State::Live, _) if cancelled => self.runs[at].state = State::Stopping,
            (State::Waiting, Fate::Go) if !fails => self.runs[at].state = State::Live,
            (State::Waiting, Fate::End { .. }) => self.runs[at].state = State::Ended,
            (State::Live, Fate::End { .. }) => self.runs[at].state = State::Stopping,
            _ => {}
        }
        if self.runs[at].state != state {
            self.tell(at);
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
            self.happens(Happening::CatchUp { changes: usize::MAX });
            for run in 0..self.runs.len() {
                if self.runs[run].state != State::Ended {
                    self.step(run, false);
                }
            }
            self.happens(Happening::Finish { run: 0 });
        }
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
