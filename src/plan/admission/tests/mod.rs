//! Who gets a place: one test per rule, and a model for all of them together.

mod model;

use serde_json::{Value, json};

use super::*;
use crate::api::{Execution, Job};

const NOW: i64 = 1_767_226_200;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A run of Job `j` in namespace `shop` that came in that second of the hour.
fn run(name: &str, second: i64, extra: &Value) -> Execution {
    let mut run = json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": at(NOW + second).to_string()},
        "spec": {
            "job": {"name": "j", "uid": "j1", "generation": 1}, "cause": {"type": "Address"},
            "template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}},
        },
    });
    merge(&mut run, extra);
    serde_json::from_value(run).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, from) => *into = from.clone(),
    }
}

fn job(concurrency: &Value, suspend: bool) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
        "metadata": {"name": "j", "namespace": "shop", "uid": "j1"},
        "spec": {"suspend": suspend, "concurrency": concurrency,
            "template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}},
    }))
    .unwrap()
}

/// Places of Job `j`.
struct Office(Admission);

impl Office {
    fn of(concurrency: &Value) -> Self {
        let mut office = Self(Admission::new(Guards::default()));
        office.says(concurrency, false);
        office
    }

    fn says(&mut self, concurrency: &Value, suspend: bool) {
        self.0.set_terms("shop", "j1", Some(Terms::of(&job(concurrency, suspend))));
    }

    fn waits(&mut self, name: &str, second: i64) {
        self.0.observe("shop", Claim::of(&run(name, second, &json!({})), false));
    }

    fn waits_with(&mut self, name: &str, second: i64, key: &str) {
        let run = run(name, second, &json!({"spec": {"concurrencyKey": key}}));
        self.0.observe("shop", Claim::of(&run, false));
    }

    /// Its task set was seen.
    fn runs(&mut self, name: &str, second: i64) {
        self.0.observe("shop", Claim::of(&run(name, second, &json!({})), true));
    }

    fn ends(&mut self, name: &str) {
        self.0.forget("shop", name);
    }

    /// Whose fate changes now.
    fn told(&mut self) -> Vec<String> {
        self.told_at(NOW)
    }

    fn told_at(&mut self, second: i64) -> Vec<String> {
        self.0.admit(100, at(second));
        self.0.take_news().into_iter().map(|(_, name)| name).collect()
    }

    /// What is decided about a run, in words.
    fn fate(&self, name: &str) -> String {
        self.fate_at(name, NOW)
    }

    fn fate_at(&self, name: &str, second: i64) -> String {
        match self.0.standing("shop", name, at(second)).fate {
            Fate::Go => "go".to_owned(),
            Fate::Soon => "soon".to_owned(),
            Fate::Wait { message } => message,
            Fate::End { reason, message } => format!("{reason}: {message}"),
        }
    }
}

#[test]
fn without_a_policy_everything_starts() {
    let mut office = Office::of(&json!(null));
    for name in ["c", "a", "b"] {
        office.waits(name, 0);
    }
    assert_eq!(office.fate("a"), "soon");
    assert_eq!(office.told(), ["a", "b", "c"]);
    assert_eq!(["a", "b", "c"].map(|name| office.fate(name)), ["go"; 3]);
}

#[test]
fn nothing_starts_of_a_job_that_is_not_known() {
    let mut office = Office(Admission::new(Guards::default()));
    office.waits("a", 0);
    assert_eq!((office.told(), office.fate("a")), (vec![], "soon".to_owned()));
    office.says(&json!(null), false);
    assert_eq!(office.told(), ["a"]);
}

#[test]
fn a_queue_is_served_in_the_order_of_arrival_as_places_become_free() {
    let mut office = Office::of(&json!({"policy": "Queue", "limit": 2}));
    for (name, second) in [("d", 4), ("b", 2), ("a", 1), ("c", 3)] {
        office.waits(name, second);
    }
    assert_eq!(office.told(), ["a", "b"]);
    assert_eq!(office.fate("c"), "waits for one of 2 places of job j");
    assert_eq!(office.told(), [""; 0]);
    office.runs("b", 2);
    assert_eq!(office.told(), [""; 0], "a promise that is kept is no new place");
    office.ends("b");
    assert_eq!((office.told(), office.fate("d")), (vec!["c".to_owned()], office.fate("d")));
    office.ends("a");
    assert_eq!(office.told(), ["d"]);
    let mut one = Office::of(&json!({"policy": "Queue"}));
    one.waits("a", 1);
    one.waits("b", 2);
    assert_eq!(
        (one.told(), one.fate("b")),
        (vec!["a".to_owned()], "waits for the one place of job j".to_owned())
    );
}

#[test]
fn within_a_second_the_time_of_acceptance_decides_and_then_the_name() {
    let mut office = Office::of(&json!({"policy": "Queue", "limit": 3}));
    let accepted = |name: &str, micros: &str| {
        let time = format!("2026-01-01T00:10:00.{micros}Z");
        run(name, 0, &json!({"metadata": {"annotations": {"run.kakehi.dev/accepted": time}}}))
    };
    for run in
        [accepted("a", "000300"), accepted("b", "000200"), accepted("z", "000200"), accepted("x", "000100")]
    {
        office.0.observe("shop", Claim::of(&run, false));
    }
    assert_eq!(office.told(), ["x", "b", "z"]);
}

#[test]
fn each_key_has_places_of_its_own_and_runs_without_one_share_theirs() {
    let mut office = Office::of(&json!({"policy": "Queue", "key": "event.subject"}));
    for (name, key) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        office.waits_with(name, 0, key);
    }
    office.waits("m1", 0);
    office.waits("m2", 0);
    assert_eq!(office.told(), ["a1", "b1", "m1"]);
    assert_eq!(office.fate("a2"), "waits for the one place of job j with key \"a\"");
    assert_eq!(office.fate("m2"), "waits for the one place of job j");
    office.ends("b1");
    assert_eq!(office.told(), [""; 0], "it is nobody else's");
    // Without a key in the Job all are counted together: nothing more starts before they are fewer than the limit.
    office.says(&json!({"policy": "Queue", "limit": 3}), false);
    assert_eq!(office.told(), ["a2"]);
    assert_eq!(office.fate("m2"), "waits for one of 3 places of job j");
    office.says(&json!({"policy": "Queue", "key": "event.subject"}), false);
    office.ends("m1");
    assert_eq!(office.told(), ["m2"]);
}

#[test]
fn who_finds_a_run_under_way_is_forbidden_and_who_comes_later_is_not() {
    let mut office = Office::of(&json!({"policy": "Forbid"}));
    office.waits("a", 1);
    office.waits("b", 2);
    let forbidden = "ConcurrencyForbidden: job j has at most 1 run at a time";
    assert_eq!(office.fate("b"), forbidden, "the place is promised to who came first");
    assert_eq!((office.told(), office.fate("a")), (vec!["a".to_owned()], "go".to_owned()));
    office.runs("a", 1);
    assert_eq!(office.fate("b"), forbidden);
    office.ends("b");
    office.ends("a");
    office.waits("c", 3);
    assert_eq!(office.told(), ["c"]);
    let mut two = Office::of(&json!({"policy": "Forbid", "limit": 2, "key": "event.subject"}));
    for name in ["a", "b", "c"] {
        two.waits_with(name, 0, "k");
    }
    assert_eq!(two.fate("c"), "ConcurrencyForbidden: job j has at most 2 runs at a time with key \"k\"");
    assert_eq!(two.fate("b"), "soon");
}

#[test]
fn a_later_run_replaces_an_earlier_one_and_starts_when_that_is_gone() {
    let mut office = Office::of(&json!({"policy": "Replace"}));
    office.waits("a", 1);
    assert_eq!(office.told(), ["a"]);
    office.runs("a", 1);
    office.waits("b", 2);
    assert_eq!(
        (office.told(), office.fate("a")),
        (vec!["a".to_owned()], "Replaced: replaced by b".to_owned())
    );
    assert_eq!(office.fate("b"), "waits until the run that it replaces has stopped");
    office.waits("c", 3);
    assert_eq!(office.told(), ["b"]);
    assert_eq!(["a", "b"].map(|name| office.fate(name)), ["Replaced: replaced by c"; 2]);
    office.ends("b");
    assert_eq!(office.told(), [""; 0], "a is not gone");
    office.ends("a");
    assert_eq!((office.told(), office.fate("c")), (vec!["c".to_owned()], "go".to_owned()));
}

#[test]
fn of_many_replacements_the_last_ones_have_the_places() {
    let mut office = Office::of(&json!({"policy": "Replace", "limit": 2}));
    for (name, second) in [("a", 1), ("b", 2)] {
        office.runs(name, second);
    }
    office.waits("c", 3);
    assert_eq!((office.told(), office.fate("b")), (vec!["a".to_owned()], "go".to_owned()));
    office.waits("d", 4);
    assert_eq!(office.told(), ["b"]);
    office.ends("b");
    assert_eq!(office.told(), ["d"]);
    office.ends("a");
    assert_eq!(office.told(), ["c"]);
}

#[test]
fn a_suspended_job_starts_ends_and_replaces_nothing_and_resumes_within_its_limit() {
    for (policy, first, second) in [
        ("Queue", "a", "waits for the one place of job j"),
        ("Forbid", "a", "ConcurrencyForbidden: job j has at most 1 run at a time"),
        ("Replace", "c", "Replaced: replaced by c"),
    ] {
        let terms = json!({"policy": policy});
        let mut office = Office::of(&terms);
        office.says(&terms, true);
        for (name, second) in [("a", 1), ("b", 2), ("c", 3)] {
            office.waits(name, second);
        }
        assert_eq!(office.told(), [""; 0]);
        assert_eq!(["a", "b", "c"].map(|name| office.fate(name)), ["job j is suspended"; 3]);
        office.says(&terms, false);
        assert_eq!(office.told(), [first], "{policy}");
        assert_eq!(office.fate("b"), second, "{policy}");
    }
}

#[test]
fn who_waits_too_long_ends_whatever_it_waits_for() {
    let terms = json!({"policy": "Queue", "queueTimeoutSeconds": 60});
    let mut office = Office::of(&terms);
    office.waits("a", 0);
    office.told();
    office.waits("b", 1);
    office.waits("c", 30);
    let standing = office.0.standing("shop", "b", at(NOW + 60));
    assert_eq!((standing.fate.is_end(), standing.until), (false, Some(at(NOW + 61))));
    assert_eq!(office.fate_at("b", NOW + 61), "QueueTimeout: did not start within 60 s");
    assert_eq!(office.fate_at("a", NOW + 999), "go", "who has a place may keep it");
    // A place becomes free before anybody has looked at b again: it is passed over, and told.
    office.ends("a");
    assert_eq!(office.told_at(NOW + 70), ["b", "c"]);
    assert_eq!([office.fate("b"), office.fate("c")], ["QueueTimeout: did not start within 60 s", "go"]);
    office.says(&terms, true);
    assert_eq!(office.fate_at("b", NOW + 70), "QueueTimeout: did not start within 60 s", "suspended or not");
}

#[test]
fn a_promise_lasts_until_it_is_kept_withdrawn_or_the_run_ends() {
    let mut office = Office::of(&json!({"policy": "Queue"}));
    office.waits("a", 1);
    office.waits("b", 2);
    assert_eq!(office.told(), ["a"]);
    assert!(office.0.is_promised("shop", "a") && !office.0.is_promised("shop", "b"));
    office.waits("a", 1);
    assert_eq!(office.told(), [""; 0], "the cache says nothing new");
    office.0.tried("shop", "a");
    assert_eq!(office.told(), [""; 0], "it will try again");
    office.0.withdraw("shop", "a");
    assert_eq!(office.told(), ["a"], "it is first in line again");
    office.runs("a", 1);
    assert!(!office.0.is_promised("shop", "a"));
    office.0.withdraw("shop", "a");
    assert_eq!(office.fate("a"), "go", "what runs cannot be taken back");
    office.waits("a", 1);
    assert_eq!(office.told(), ["a"], "its task set went before it was written that there was one");
}

#[test]
fn who_is_to_end_anyway_gets_no_place() {
    let mut office = Office::of(&json!({"policy": "Queue"}));
    let leaves = json!({"spec": {"cancelled": true}});
    office.0.observe("shop", Claim::of(&run("a", 1, &leaves), false));
    office.waits("b", 2);
    assert_eq!(office.told(), ["b"]);
    office.0.observe("shop", Claim::of(&run("b", 2, &leaves), false));
    office.waits("c", 3);
    assert_eq!(office.told(), [""; 0], "who knows what came of the promise");
    office.ends("b");
    assert_eq!(office.told(), ["c"]);
}

#[test]
fn namespaces_take_turns_for_what_all_of_them_share() {
    let mut admission = Admission::new(Guards { live: Some(4), live_per_namespace: Some(3) });
    let there = |admission: &mut Admission, namespace: &str, name: &str, second: i64| {
        admission.set_terms(namespace, "j1", Some(Terms::of(&job(&json!(null), false))));
        admission.observe(namespace, Claim::of(&run(name, second, &json!({})), false));
    };
    for number in 0..5 {
        there(&mut admission, "flood", &format!("f{number}"), number);
    }
    there(&mut admission, "brook", "b0", 50);
    there(&mut admission, "creek", "c0", 60);
    let told = |admission: &mut Admission| {
        admission.admit(100, at(NOW));
        admission.take_news().into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut admission), ["b0", "c0", "f0", "f1"]);
    let fate = |admission: &Admission| match admission.standing("flood", "f2", at(NOW)).fate {
        Fate::Wait { message } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(fate(&admission), "waits for one of the 4 runs that may be under way in all namespaces");
    admission.forget("brook", "b0");
    admission.forget("creek", "c0");
    assert_eq!(told(&mut admission), ["f2"]);
    assert_eq!(
        fate_of(&admission, "f3"),
        "waits for one of the 3 runs that namespace flood may have under way"
    );
    admission.forget("flood", "f0");
    assert_eq!(told(&mut admission), ["f3"]);
}

fn fate_of(admission: &Admission, name: &str) -> String {
    match admission.standing("flood", name, at(NOW)).fate {
        Fate::Wait { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn so_many_try_at_a_time_as_there_is_room_for() {
    let mut office = Office::of(&json!(null));
    for number in 0..5 {
        office.waits(&format!("r{number}"), number);
    }
    office.0.admit(2, at(NOW));
    assert_eq!(office.0.take_news().len(), 2);
    office.0.tried("shop", "r0");
    office.0.admit(2, at(NOW));
    assert_eq!(office.0.take_news(), [("shop".to_owned(), "r2".to_owned())]);
    office.runs("r1", 1);
    office.ends("r2");
    office.0.admit(2, at(NOW));
    assert_eq!(office.0.take_news().len(), 2, "who was seen to take it or has ended is not trying");
}

#[test]
fn nothing_is_left_of_what_is_gone() {
    let mut office = Office::of(&json!({"policy": "Queue", "key": "event.subject"}));
    for name in ["a", "b", "c"] {
        office.waits_with(name, 0, name);
    }
    office.told();
    office.0.retain(|(_, name)| name == "b");
    office.0.retain_jobs(|_| false);
    assert_eq!(office.0.runs.len(), 1);
    office.ends("b");
    let Admission { spaces, jobs, runs, trying, news } = &office.0;
    assert!(jobs.is_empty() && runs.is_empty() && trying.is_empty() && news.is_empty());
    assert_eq!(spaces.live(), 0);
}
