//! A Job, ready for events: the expressions in it are compiled once, when the Job is read, and asked for each event.
//!
//! A Job with an expression that does not compile takes no events. Nobody can say which of them are the same then, and to
//! run them all would do what the author wanted to prevent.

use super::execution::{self, Planned, Refusal};
use crate::api::{EventRules, Job, JobSpec, MAX_CONCURRENCY_KEY, ParameterValue};
use crate::cel::{Input, Program};
use crate::event::Event;
use crate::params::{self, Parameters};

/// Longest key, in bytes. It is hashed, not kept; what is longer is a mistake.
const MAX_KEY: usize = 64 * 1024;

/// The fields that hold keys, as refusals name them.
const DEDUP_KEY: &str = "spec.event.dedupKey";
const CONCURRENCY_KEY: &str = "spec.concurrency.key";

/// A Job, ready to be run for events.
#[derive(Debug)]
pub struct Prepared {
    job: Job,
    rules: Result<Rules, String>,
}

/// What the Job says about events, compiled.
#[derive(Debug)]
struct Rules {
    dedup_key: Option<Program>,
    concurrency_key: Option<Program>,
    parameters: Parameters,
}

/// The Trigger that matched an event.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    /// Its name.
    pub trigger: &'a str,
    /// Its parameters.
    pub parameters: &'a Parameters,
}

/// What the expressions of a Job have to say about an event.
pub(super) struct Asked {
    /// The Job's own key, if it has one.
    pub(super) key: Option<String>,
    /// With which other runs the one for the event is counted, if the Job counts by a key.
    pub(super) concurrency_key: Option<String>,
    /// Values of the parameters.
    pub(super) parameters: Vec<ParameterValue>,
}

impl Prepared {
    /// Compiles what the Job says about events.
    pub fn new(job: Job) -> Self {
        let rules = compile(&job.spec);
        Self { job, rules }
    }

    /// The Job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The run for `event`; `matched` is the Trigger that matched, none means that the event was sent to the Job's own
    /// address.
    ///
    /// # Errors
    /// If the Job cannot be run, or not for that event.
    pub fn for_event(&self, event: &Event, matched: Option<Matched<'_>>) -> Result<Planned, Refusal> {
        execution::from_event(self, event, matched)
    }

    /// Asks the expressions about `event`.
    pub(super) fn ask(&self, event: &Event, matched: Option<Matched<'_>>) -> Result<Asked, Refusal> {
        let job = || self.job.metadata.name.clone().unwrap_or_default();
        let rules = self
            .rules
            .as_ref()
            .map_err(|problem| Refusal::JobInvalid { job: job(), problem: problem.clone() })?;
        let limit = self.job.spec.event.as_ref().and_then(|rules| rules.max_bytes);
        if let (Some(limit), Some(data)) = (limit.and_then(|limit| usize::try_from(limit).ok()), event.data())
            && data.len() > limit
        {
            return Err(Refusal::DataTooLarge { job: job(), size: data.len(), limit });
        }
        let input = Input::for_run(event);
        let no_key = |field| move |problem| Refusal::NoKey { job: job(), field, problem };
        let key = rules.dedup_key.as_ref().map(|program| key(program, &input, MAX_KEY)).transpose();
        let key = key.map_err(no_key(DEDUP_KEY))?;
        let concurrency_key =
            rules.concurrency_key.as_ref().map(|program| readable_key(program, &input)).transpose();
        let concurrency_key = concurrency_key.map_err(no_key(CONCURRENCY_KEY))?;
        let parameters =
            params::evaluate(&rules.parameters, matched.map(|matched| matched.parameters), &input)?;
        Ok(Asked { key, concurrency_key, parameters })
    }
}

/// Why a Job takes no events, if it takes none.
pub(super) fn problem(spec: &JobSpec) -> Option<String> {
    compile(spec).err()
}

fn compile(spec: &JobSpec) -> Result<Rules, String> {
    let EventRules { dedup_key, max_bytes: _, reply: _, reply_timeout_seconds: _, allow_loop: _ } =
        spec.event.clone().unwrap_or_default();
    let key = |source: Option<String>, field| {
        let program = source.map(|source| Program::compile(&source)).transpose();
        program.map_err(|error| format!("{field}: {error}"))
    };
    let dedup_key = key(dedup_key, DEDUP_KEY)?;
    let concurrency_key = spec.concurrency.as_ref().and_then(|concurrency| concurrency.key.clone());
    let concurrency_key = key(concurrency_key, CONCURRENCY_KEY)?;
    let parameters = Parameters::compile(&spec.parameters).map_err(|error| format!("spec.{error}"))?;
    Ok(Rules { dedup_key, concurrency_key, parameters })
}

/// The key of an event. An empty one is none: every event without a value would be the same.
fn key(program: &Program, input: &Input<'_>, longest: usize) -> Result<String, String> {
    let value = program.evaluate(input).map_err(|error| error.to_string())?;
    match value.render(longest) {
        Ok(Some(key)) if !key.is_empty() => Ok(key.into_owned()),
        Ok(Some(_)) => Err("it is empty".to_owned()),
        Ok(None) => Err("it is null".to_owned()),
        Err(_) => Err(format!("it is longer than {longest} bytes")),
    }
}

/// A key that is kept and that people read.
fn readable_key(program: &Program, input: &Input<'_>) -> Result<String, String> {
    let key = key(program, input, MAX_CONCURRENCY_KEY)?;
    match key.chars().find(|character| character.is_control()) {
        None => Ok(key),
        Some(character) => Err(format!("it holds the control character U+{:04X}", u32::from(character))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Parameter;
    use crate::plan::{files, task_set};

    fn prepared(event: &Value) -> Prepared {
        prepared_with(event, &json!([]))
    }

    fn prepared_with(event: &Value, parameters: &Value) -> Prepared {
        let task = json!({"spec": {"containers": [{"name": "main", "image": "busybox"}]}});
        let template = json!({"spec": {"template": task}});
        let spec = json!({"event": event, "parameters": parameters, "template": template});
        let job = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "resize", "namespace": "shop", "uid": "7a1f"}, "spec": spec});
        Prepared::new(serde_json::from_value(job).unwrap())
    }

    fn event(id: &str, data: &str) -> Event {
        Event::builder().required(id, "/s", "t").data(data.to_owned()).build().unwrap()
    }

    fn digest(job: &Prepared, id: &str, data: &str) -> String {
        job.for_event(&event(id, data), None).unwrap().digest().unwrap().to_owned()
    }

    fn refused(job: &Prepared, data: &str) -> String {
        job.for_event(&event("1", data), None).unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_its_own_replaces_source_and_id() {
        let (plain, keyed) = (prepared(&json!(null)), prepared(&json!({"dedupKey": "event.data.order"})));
        let data = r#"{"order": "o-7", "attempt": 1}"#;
        assert_ne!(digest(&plain, "1", data), digest(&plain, "2", data));
        assert_eq!(digest(&keyed, "1", data), digest(&keyed, "2", r#"{"order":"o-7","attempt":2}"#));
        assert_ne!(digest(&keyed, "1", data), digest(&keyed, "1", r#"{"order":"o-8"}"#));
        assert_ne!(digest(&keyed, "1", data), digest(&plain, "1", data));
    }

    #[test]
    fn an_event_without_a_key_is_refused_with_what_is_missing() {
        let job = prepared(&json!({"dedupKey": "event.data.order.id"}));
        let told = "spec.event.dedupKey of job resize has no value for this event: ";
        for (data, reason) in [
            ("{}", "`event.data.order` is missing"),
            (r#"{"order": {}}"#, "`event.data.order.id` is missing"),
            (r#"{"order": {"id": null}}"#, "it is null"),
            (r#"{"order": {"id": ""}}"#, "it is empty"),
            ("nonsense", "`event.data` is missing: the data is not JSON"),
        ] {
            assert_eq!(refused(&job, data), format!("{told}{reason}"));
        }
    }

    #[test]
    fn a_run_keeps_the_key_that_it_is_counted_by() {
        let limited = |key: &str| {
            let task = json!({"spec": {"containers": [{"name": "main", "image": "busybox"}]}});
            let spec = json!({"concurrency": {"policy": "Queue", "key": key}, "template": {"spec": {"template": task}}});
            let job = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
                "metadata": {"name": "resize", "namespace": "shop", "uid": "7a1f"}, "spec": spec});
            Prepared::new(serde_json::from_value(job).unwrap())
        };
        let kept = |job: &Prepared, data: &str| {
            job.for_event(&event("1", data), None).unwrap().named("n").spec.concurrency_key
        };
        let job = limited("event.data.customer");
        assert_eq!(kept(&job, r#"{"customer": 7}"#).as_deref(), Some("7"));
        assert_eq!(kept(&prepared(&json!(null)), "{}"), None);
        let told = "spec.concurrency.key of job resize has no value for this event: ";
        for (data, reason) in [
            ("{}".to_owned(), "`event.data.customer` is missing".to_owned()),
            (json!({"customer": ""}).to_string(), "it is empty".to_owned()),
            (
                json!({"customer": "a\u{1b}[2J"}).to_string(),
                "it holds the control character U+001B".to_owned(),
            ),
            (json!({"customer": "x".repeat(513)}).to_string(), "it is longer than 512 bytes".to_owned()),
        ] {
            assert_eq!(refused(&job, &data), format!("{told}{reason}"));
        }
        let problem = super::problem(&limited("event.").job().spec).unwrap();
        assert!(problem.starts_with("spec.concurrency.key: "), "{problem}");
        let by_hand = execution::manual(job.job(), "nonce", None).unwrap().named("n");
        assert_eq!(by_hand.spec.concurrency_key, None);
    }

    #[test]
    fn a_job_whose_expression_does_not_compile_takes_no_events() {
        let job = prepared(&json!({"dedupKey": "event.data."}));
        let problem = "spec.event.dedupKey: line 1, column 12: expected a name, found the end";
        assert_eq!(refused(&job, "{}"), format!("job resize takes no events: {problem}"));
        assert_eq!(super::problem(&job.job().spec).as_deref(), Some(problem));
    }

    #[test]
    fn parameters_are_kept_with_the_run_whatever_the_job_says_later() {
        let job = prepared_with(
            &json!(null),
            &json!([{"name": "ORDER", "value": "event.data.order"}, {"name": "REGION", "value": "event.subject", "default": "tokyo"}]),
        );
        let trigger = Parameters::compile(&[Parameter {
            name: "REGION".into(),
            value: "event.source".into(),
            default: None,
        }])
        .unwrap();
        let matched = Matched { trigger: "orders", parameters: &trigger };
        let event = event("1", r#"{"order": 12.50}"#);
        let told = |matched| {
            let run = job.for_event(&event, matched).unwrap().named("n");
            let parameters = run.spec.parameters.into_iter().map(|one| format!("{}={}", one.name, one.value));
            (run.spec.cause.trigger, parameters.collect::<Vec<_>>())
        };
        assert_eq!(told(None), (None, vec!["ORDER=12.50".to_owned(), "REGION=tokyo".to_owned()]));
        let expected = vec!["ORDER=12.50".to_owned(), "REGION=/s".to_owned()];
        assert_eq!(told(Some(matched)), (Some("orders".to_owned()), expected));
        assert_eq!(
            refused(&job, "{}"),
            "parameter ORDER has no value for this event: `event.data.order` is missing"
        );
    }

    #[test]
    fn parameters_and_attributes_share_what_an_environment_holds() {
        let many: Vec<Value> =
            (0..3).map(|n| json!({"name": format!("P{n}"), "value": "event.data"})).collect();
        let job = prepared_with(&json!(null), &json!(many));
        assert!(job.for_event(&event("1", &json!("x".repeat(20_000)).to_string()), None).is_ok());
        let refused = refused(&job, &json!("x".repeat(30_000)).to_string());
        assert!(refused.contains("at most 65536 fit a task's environment"), "{refused}");
    }

    /// What the objects of a run look like, with the value of the parameter cut out of them.
    fn shape(value: &str) -> Result<(Value, String), String> {
        let job = prepared_with(&json!(null), &json!([{"name": "P", "value": "event.data"}]));
        let data = json!(value).to_string();
        let planned = job.for_event(&event("1", &data), None).map_err(|error| error.to_string())?;
        let run = planned.named("resize-abc");
        let mut tasks = serde_json::to_value(task_set(&run)).unwrap();
        let environment = &mut tasks["spec"]["template"]["spec"]["containers"][0]["env"];
        let variable = environment.as_array_mut().unwrap().iter_mut().find(|one| one["name"] == "P").unwrap();
        let seen = variable["value"].take().as_str().unwrap().to_owned();
        let mut kept = serde_json::to_value(&run).unwrap();
        assert_eq!(kept["spec"]["parameters"][0]["value"].take(), value);
        assert_eq!(kept["spec"]["events"][0]["data"].take(), data);
        let mut map = serde_json::to_value(files(&run).unwrap().remove(0)).unwrap();
        assert_eq!(map["data"]["data"].take(), data);
        map["data"]["event"].take();
        Ok((json!([tasks, kept, map]), seen))
    }

    #[test]
    fn a_value_cannot_be_more_than_a_value() {
        let (harmless, _) = shape("harmless").unwrap();
        for value in [
            "'; rm -rf / #",
            "\" }, {\"name\": \"LD_PRELOAD\"",
            "$(SECRET)",
            "$$(SECRET)",
            "$$$(SECRET)",
            "${SECRET}",
            "`id`",
            "- name: X",
            "{{ .Values.x }}",
            "!!python/object",
            "&anchor *anchor",
            "a: b # c",
            "null",
            "~",
            "0x1",
            "",
            " ",
            "|",
            "\u{2028}",
            "\u{feff}",
            "筧",
            "\\",
            "\\n",
            "%s%n",
        ] {
            let (found, seen) = shape(value).unwrap();
            assert_eq!(found, harmless, "{value:?}");
            // Kubernetes folds `$$` and expands `$(X)`; here is no `$` that is not doubled.
            assert_eq!(seen.replace("$$", ""), value.replace('$', ""), "{value:?}");
        }
        for value in ["a\nb", "a\r", "\0", "\u{1b}[2J", "\u{9b}", &"x".repeat(100 * 1024)] {
            assert!(shape(value).unwrap_err().starts_with("parameter P has no value"), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_changes_an_object(value in r#"[ -~]{0,20}|\PC{0,20}|[$(){}'"\\`#:&*!|>%@\n-]{0,20}"#) {
            let (harmless, _) = shape("harmless").unwrap();
            match shape(&value) {
                Ok((found, seen)) => {
                    prop_assert_eq!(found, harmless);
                    prop_assert_eq!(seen, value.replace('$', "$$"));
                }
                Err(refused) => prop_assert!(value.contains(char::is_control), "{}", refused),
            }
        }
    }

    #[test]
    fn more_data_than_the_job_takes_is_refused() {
        let job = prepared(&json!({"maxBytes": 4}));
        assert!(job.for_event(&event("1", "1234"), None).is_ok());
        assert_eq!(refused(&job, "12345"), "the data of the event has 5 bytes; job resize takes at most 4");
    }
}
