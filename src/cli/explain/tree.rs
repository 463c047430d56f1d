//! A decision as a tree for people: pure functions from data to lines.

use crate::cli::output::{BAD, FAINT, GOOD, PENDING, STRONG, one_line, paint};
use crate::explain::{Answer, Decision, Outcome, Run, Seen, Verdict};
use crate::term::{Dialect, Reading, Term};

/// Most Triggers that let nothing pass, of a decision that is told.
const MAX_MISSES: usize = 50;

/// A line and what is below it.
#[derive(Debug)]
struct Node {
    text: String,
    below: Vec<Node>,
}

/// The decision, each line ended by a line feed.
pub(crate) fn decision(decision: &Decision) -> String {
    let Decision { event, namespace, job, received, triggers, untold, runs, answer } = decision;
    let mut text = format!("{}\n", head(event));
    if let Some(received) = received {
        text.push_str(&paint(FAINT, format!("received {received}, answered {}", told(answer))));
        text.push('\n');
    }
    let mut nodes = Vec::new();
    let mut misses = 0;
    for verdict in triggers {
        misses += usize::from(!verdict.matches);
        if verdict.matches || misses <= MAX_MISSES {
            nodes.push(trigger(verdict, runs));
        }
    }
    // What no Trigger here speaks for: the event was sent to the Job, or its Trigger is gone or not told.
    let is_told =
        |run: &&Run| run.triggers.iter().any(|name| triggers.iter().any(|one| one.trigger == *name));
    for run in runs.iter().filter(|run| !is_told(run)) {
        nodes.push(alone(run, job.is_some()));
    }
    let more = untold + misses.saturating_sub(MAX_MISSES);
    if more > 0 {
        nodes.push(leaf(paint(FAINT, format!("{more} more triggers; --trigger NAME tells of one"))));
    }
    if nodes.is_empty() && answer.status < 400 {
        nodes.push(leaf(format!("no trigger of namespace {namespace} is told")));
    }
    draw(&nodes, "", &mut text);
    text.push_str(&end(decision));
    text.push('\n');
    text
}

/// Why Triggers let an event pass, as a tree without a head.
pub(crate) fn verdicts(triggers: &[Verdict]) -> String {
    let mut text = String::new();
    let nodes: Vec<Node> = triggers.iter().map(|verdict| trigger(verdict, &[])).collect();
    draw(&nodes, "", &mut text);
    text
}

fn draw(nodes: &[Node], margin: &str, into: &mut String) {
    for (index, Node { text, below }) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        let (branch, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        into.push_str(&paint(FAINT, format!("{margin}{branch}")));
        into.push_str(text);
        into.push('\n');
        draw(below, &format!("{margin}{under}"), into);
    }
}

fn leaf(text: impl Into<String>) -> Node {
    Node { text: text.into(), below: Vec::new() }
}

/// `event 7 (com.example.order) from /shop, 34 bytes of application/json`.
fn head(event: &Seen) -> String {
    let Seen { attributes: _, data_bytes } = event;
    let attribute = |name: &str| event.attribute(name).map(one_line);
    let id = attribute("id").unwrap_or_else(|| "without an id".to_owned());
    let kind = attribute("type").map(|kind| format!(" ({kind})")).unwrap_or_default();
    let source = attribute("source").map(|source| format!(" from {source}")).unwrap_or_default();
    let subject = attribute("subject").map(|subject| format!(" about {subject}")).unwrap_or_default();
    let data = match (data_bytes, attribute("datacontenttype")) {
        (None, _) => String::new(),
        (Some(bytes), None) => format!(", {bytes} bytes"),
        (Some(bytes), Some(kind)) => format!(", {bytes} bytes of {kind}"),
    };
    format!("event {}{kind}{source}{subject}{data}", paint(STRONG, id))
}

/// A status, with its reason.
fn told(answer: &Answer) -> String {
    let Answer { status, detail } = answer;
    detail.as_ref().map_or_else(|| status.to_string(), |detail| format!("{status}: {}", one_line(detail)))
}

fn trigger(verdict: &Verdict, runs: &[Run]) -> Node {
    let Verdict { trigger, generation: _, job, matches, changed, problem, terms } = verdict;
    let mut text = format!("trigger {}", paint(STRONG, trigger));
    if !job.is_empty() {
        text.extend([" → job ", job]);
    }
    text.extend([": ", &holds(Some(*matches))]);
    let run = runs.iter().find(|run| run.triggers.contains(trigger));
    let mut below = Vec::new();
    if let Some(problem) = problem {
        below.push(leaf(format!("{}: {}", paint(BAD, "it does not compile"), one_line(problem))));
    } else if terms.is_empty() && *matches && !changed {
        below.push(leaf("no filter: every event passes"));
    }
    if *changed {
        let words = "changed since: what follows is what it would say now";
        below.push(leaf(paint(PENDING, words)));
    }
    below.extend(terms.iter().map(|one| term(one, None)));
    if let Some(run) = run {
        let is_first = run.triggers.first() == Some(trigger);
        text.extend([" → ", &outcome(run)]);
        if is_first {
            below.extend(details(run));
        } else {
            below.push(leaf(format!("it shares the run of trigger {}", run.triggers[0])));
        }
    }
    Node { text, below }
}

fn alone(run: &Run, addressed: bool) -> Node {
    let by = match (addressed, run.triggers.as_slice()) {
        (true, _) => ", at its own address".to_owned(),
        (false, []) => String::new(),
        (false, names) => format!(", wanted by {}", names.join(", ")),
    };
    Node { text: format!("job {}{by} → {}", paint(STRONG, &run.job), outcome(run)), below: details(run) }
}

fn outcome(run: &Run) -> String {
    let name = run.execution.as_deref().unwrap_or_default();
    match (run.outcome, &run.refusal) {
        (Outcome::Planned, _) => format!("{name}, {}", paint(GOOD, "would be created")),
        (Outcome::Created, _) => format!("{name}, {}", paint(GOOD, "created")),
        (Outcome::Duplicate, _) => format!("{name}, {}", paint(PENDING, "received before")),
        (Outcome::Refused, Some(answer)) => paint(BAD, format!("refused with {}", answer.status)),
        (Outcome::Refused, None) => paint(BAD, "refused"),
    }
}

fn details(run: &Run) -> Vec<Node> {
    let parameter =
        |one: &crate::api::ParameterValue| leaf(format!("parameter {} = {:?}", one.name, one.value));
    let mut below: Vec<Node> = run.parameters.iter().map(parameter).collect();
    below.extend(run.waits.iter().map(|waits| leaf(paint(PENDING, format!("it waits: {waits}")))));
    below.extend(run.places.iter().map(|places| leaf(one_line(places))));
    below.extend(run.state.iter().map(|state| leaf(format!("now {}", one_line(state)))));
    let why = run.refusal.as_ref().and_then(|answer| answer.detail.as_ref());
    below.extend(why.map(|detail| leaf(one_line(detail))));
    below
}

/// A term; inside an expression its language goes without saying.
fn term(term: &Term, around: Option<Dialect>) -> Node {
    let Term { dialect, text, holds: verdict, values, error, terms } = term;
    let what = match dialect {
        Dialect::All => "all of these".to_owned(),
        Dialect::Any => "any of these".to_owned(),
        Dialect::Not => "not".to_owned(),
        Dialect::Cesql | Dialect::Cel if around == Some(*dialect) => one_line(text),
        other => format!("{} {}", other.as_str(), one_line(text)),
    };
    // What equals what is written is written.
    let is_said = *dialect == Dialect::Exact && *verdict == Some(true);
    let why = match error {
        Some(error) => Some(one_line(error)),
        None if values.is_empty() || is_said => None,
        None => Some(values.iter().map(reading).collect::<Vec<_>>().join(", ")),
    };
    let why = why.map(|why| paint(FAINT, format!(" ({why})"))).unwrap_or_default();
    let inner = terms.iter().map(|part| self::term(part, Some(*dialect))).collect();
    Node { text: format!("{what}: {}{why}", holds(*verdict)), below: inner }
}

fn reading(reading: &Reading) -> String {
    let Reading { name, value } = reading;
    match value {
        Some(value) if value.is_empty() => format!("{name} is empty"),
        Some(value) => format!("{name} is {}", one_line(value)),
        None => format!("{name} is missing"),
    }
}

fn holds(verdict: Option<bool>) -> String {
    match verdict {
        Some(true) => paint(GOOD, "yes"),
        Some(false) => paint(BAD, "no"),
        None => paint(PENDING, "no verdict"),
    }
}

/// The last line: what it comes to.
fn end(decision: &Decision) -> String {
    let Decision { runs, answer, received, triggers, job, .. } = decision;
    let past = received.is_some();
    let running = runs.iter().filter(|run| run.outcome != Outcome::Refused).count();
    let refused = runs.len() - running;
    let verb = |one: &str, would: &str| if past { one.to_owned() } else { format!("would {would}") };
    if answer.status >= 400 {
        let rest = if running > 0 {
            format!("; {running} of {} jobs ran all the same", runs.len())
        } else {
            String::new()
        };
        let rest = if past { rest } else { rest.replace("ran", "would run") };
        let answer = told(answer);
        return format!(
            "{}{rest}",
            paint(BAD, format!("the sender {} {answer}", verb("was told", "be told")))
        );
    }
    debug_assert_eq!(refused, 0, "a refusal is the answer");
    match (running, job) {
        (0, _) => {
            let none = match triggers.len() + decision.untold {
                0 => "no trigger was asked".to_owned(),
                1 => "the only trigger says no".to_owned(),
                seen => format!("none of {seen} triggers lets it pass"),
            };
            paint(BAD, format!("nothing {}: {none}", verb("ran", "run")))
        }
        (1, _) => paint(GOOD, if past { "1 job ran".to_owned() } else { "1 job would run".to_owned() }),
        (many, _) => paint(GOOD, format!("{many} jobs {}", verb("ran", "run"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::ParameterValue;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn verdict(trigger: &str, job: &str, matches: bool, terms: Vec<Term>) -> Verdict {
        Verdict {
            trigger: trigger.to_owned(),
            generation: Some(1),
            job: job.to_owned(),
            matches,
            changed: false,
            problem: None,
            terms,
        }
    }

    fn run(job: &str, triggers: &[&str], outcome: Outcome) -> Run {
        Run {
            job: job.to_owned(),
            triggers: triggers.iter().map(|name| (*name).to_owned()).collect(),
            outcome,
            execution: (outcome != Outcome::Refused).then(|| format!("{job}-k3aaaaaaaa")),
            parameters: Vec::new(),
            waits: None,
            places: None,
            state: None,
            refusal: None,
        }
    }

    fn seen() -> Seen {
        let attributes = [
            ("id", "7"),
            ("source", "/shop"),
            ("type", "com.example.order"),
            ("datacontenttype", "application/json"),
        ];
        let attributes: BTreeMap<_, _> =
            attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Seen { attributes, data_bytes: Some(34) }
    }

    fn told_of(triggers: Vec<Verdict>, runs: Vec<Run>, answer: Answer) -> Decision {
        Decision {
            event: seen(),
            namespace: "default".to_owned(),
            job: None,
            received: None,
            triggers,
            untold: 0,
            runs,
            answer,
        }
    }

    #[test]
    fn a_person_sees_which_term_said_no() {
        let total = Term {
            values: vec![Reading::new("event.data.total", Some("12"))],
            ..Term::new(Dialect::Cel, "event.data.total > 100", Some(false))
        };
        let kind = Term::new(Dialect::Exact, "type = com.example.order", Some(true));
        let odd = Term::new(Dialect::Cesql, "subject = 'x' OR id = '8'", Some(false)).over(vec![
            Term {
                error: Some("character 1: the event has no attribute `subject`".to_owned()),
                ..Term::new(Dialect::Cesql, "subject = 'x'", None)
            },
            Term {
                values: vec![Reading::new("id", Some("7"))],
                ..Term::new(Dialect::Cesql, "id = '8'", Some(false))
            },
        ]);
        let broken = Verdict {
            problem: Some("filters[0].cel: line 1, column 7: expected a name".to_owned()),
            ..verdict("broken", "ship", false, Vec::new())
        };
        let mut archive = run("archive", &["all-orders", "more"], Outcome::Planned);
        archive.parameters = vec![ParameterValue { name: "ORDER".to_owned(), value: "A-7".to_owned() }];
        archive.waits = Some("the job is suspended".to_owned());
        archive.places = Some("while another run is under way, it waits".to_owned());
        archive.state = Some("Queued: the job is suspended".to_owned());
        let decision = told_of(
            vec![
                verdict("all-orders", "archive", true, Vec::new()),
                verdict("big-orders", "ship", false, vec![kind.clone(), total]),
                broken,
                verdict("more", "archive", true, vec![kind]),
                verdict("odd", "ship", false, vec![odd]),
            ],
            vec![archive],
            Answer::accepted(),
        );
        let expected = "\
event 7 (com.example.order) from /shop, 34 bytes of application/json
├─ trigger all-orders → job archive: yes → archive-k3aaaaaaaa, would be created
│  ├─ no filter: every event passes
│  ├─ parameter ORDER = \"A-7\"
│  ├─ it waits: the job is suspended
│  ├─ while another run is under way, it waits
│  └─ now Queued: the job is suspended
├─ trigger big-orders → job ship: no
│  ├─ exact type = com.example.order: yes
│  └─ cel event.data.total > 100: no (event.data.total is 12)
├─ trigger broken → job ship: no
│  └─ it does not compile: filters[0].cel: line 1, column 7: expected a name
├─ trigger more → job archive: yes → archive-k3aaaaaaaa, would be created
│  ├─ exact type = com.example.order: yes
│  └─ it shares the run of trigger all-orders
└─ trigger odd → job ship: no
   └─ cesql subject = 'x' OR id = '8': no
      ├─ subject = 'x': no verdict (character 1: the event has no attribute `subject`)
      └─ id = '8': no (id is 7)
1 job would run
";
        assert_eq!(plain(&super::decision(&decision)), expected);
    }

    #[test]
    fn what_happened_is_told_in_the_past() {
        let detail = || Some("there is no job gone in namespace default".to_owned());
        let gone = Run {
            refusal: Some(Answer { status: 404, detail: detail() }),
            ..run("gone", &["a"], Outcome::Refused)
        };
        let changed = Verdict { changed: true, ..verdict("a", "gone", true, Vec::new()) };
        let mut decision = told_of(
            vec![changed],
            vec![gone, run("here", &["b"], Outcome::Duplicate)],
            Answer { status: 404, detail: detail() },
        );
        decision.received = Some("2026-01-02T03:04:05Z".to_owned());
        decision.untold = 3;
        let expected = "\
event 7 (com.example.order) from /shop, 34 bytes of application/json
received 2026-01-02T03:04:05Z, answered 404: there is no job gone in namespace default
├─ trigger a → job gone: yes → refused with 404
│  ├─ changed since: what follows is what it would say now
│  └─ there is no job gone in namespace default
├─ job here, wanted by b → here-k3aaaaaaaa, received before
└─ 3 more triggers; --trigger NAME tells of one
the sender was told 404: there is no job gone in namespace default; 1 of 2 jobs ran all the same
";
        assert_eq!(plain(&super::decision(&decision)), expected);
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        let text = plain(&decision(&told_of(
            vec![verdict("a", "j", false, Vec::new())],
            Vec::new(),
            Answer::accepted(),
        )));
        assert!(text.ends_with("nothing would run: the only trigger says no\n"), "{text}");
        let mut addressed =
            told_of(Vec::new(), vec![run("resize", &[], Outcome::Created)], Answer::accepted());
        (addressed.job, addressed.received) = (Some("resize".to_owned()), Some("now".to_owned()));
        let text = plain(&decision(&addressed));
        assert!(
            text.contains("└─ job resize, at its own address → resize-k3aaaaaaaa, created\n1 job ran\n"),
            "{text}"
        );
    }

    #[test]
    fn values_cannot_break_the_tree() {
        let term = Term {
            values: vec![Reading::new("subject", Some("a\nb\u{1b}[31m"))],
            ..Term::new(Dialect::Suffix, "subject = x\ny", Some(false))
        };
        let text = verdicts(&[verdict("t", "", false, vec![term])]);
        assert_eq!(plain(&text).lines().count(), 2, "{text}");
        assert!(!text.contains("\u{1b}[31m(") && plain(&text).contains("(subject is a b[31m)"), "{text}");
    }

    #[test]
    fn very_many_triggers_are_counted() {
        let many = (0..120).map(|number| verdict(&format!("t{number}"), "j", false, Vec::new())).collect();
        let text = plain(&decision(&told_of(many, Vec::new(), Answer::accepted())));
        assert_eq!(text.lines().count(), 1 + MAX_MISSES + 2, "{text}");
        assert!(text.contains("└─ 70 more triggers"), "{text}");
    }
}
