//! Parameters: from an event to values for a container's environment.
//!
//! A parameter is CEL over the event; a Trigger's takes the place of its Job's of the same name. Its value is text: a string
//! as it is, a boolean or a number as JSON writes it (a number of the data as its sender wrote it), a list or an object as
//! JSON without blanks. What is missing or null is no value: then the default counts, and without one the event is refused
//! for that Job, with the path that was missing. An expression that goes wrong in another way is refused, default or not:
//! the event is not what the author expected.
//!
//! **A value is data and stays data.** It holds no control characters: an environment cannot hold NUL, and whoever prints a
//! value or reads it line by line must not be led astray. It is short enough for a program to be started with it. That
//! Kubernetes expands nothing in it is seen to where the container is written (`plan::environment`).

use std::collections::HashSet;

use crate::api::{Parameter, ParameterValue};
use crate::cel::{Error, Input, Program};

/// Longest value, in bytes. Linux starts no program with a variable of more than 128 KiB, in which every `$` counts twice on
/// the way.
pub const MAX_VALUE: usize = 32 * 1024;
/// Most parameters. Admission stops there; this one holds for objects that no admission saw.
const MAX_PARAMETERS: usize = 64;

/// Compiled parameters of one object.
#[derive(Debug, Default)]
pub struct Parameters {
    list: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    name: String,
    value: Program,
    default: Option<String>,
}

/// Why an event has no value for a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name} has no value for this event: {problem}")]
pub struct NoValue {
    /// Its name.
    pub name: String,
    /// Why.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The expression has none.
    #[error(transparent)]
    Expression(#[from] Error),
    /// It is null.
    #[error("it is null")]
    Null,
    /// Nobody could start a program with it.
    #[error("it takes more than {MAX_VALUE} bytes")]
    TooLong,
    /// No environment holds NUL, and no other control character is handed on.
    #[error("it holds the control character U+{:04X} at byte {at}", u32::from(*.character))]
    ControlCharacter {
        /// What was found.
        character: char,
        /// Where, in bytes.
        at: usize,
    },
}

impl Parameters {
    /// Compiles the parameters of one object.
    ///
    /// # Errors
    /// The first mistake, with its place: `parameters[1].value: line 1, column 7: …`.
    pub fn compile(parameters: &[Parameter]) -> Result<Self, String> {
        if parameters.len() > MAX_PARAMETERS {
            return Err(format!("parameters: there are more than {MAX_PARAMETERS}"));
        }
        let mut names = HashSet::new();
        let mut list = Vec::with_capacity(parameters.len());
        for (index, Parameter { name, value, default }) in parameters.iter().enumerate() {
            let place = format!("parameters[{index}]");
            if !is_variable(name) {
                return Err(format!("{place}.name: `{name}` is not the name of an environment variable"));
            }
            if !names.insert(name) {
                return Err(format!("{place}.name: there is another parameter `{name}`"));
            }
            if default.as_ref().is_some_and(|default| default.contains('\0')) {
                return Err(format!("{place}.default: an environment variable cannot hold NUL"));
            }
            let value = Program::compile(value).map_err(|error| format!("{place}.value: {error}"))?;
            list.push(Compiled { name: name.clone(), value, default: default.clone() });
        }
        Ok(Self { list })
    }
}

/// The values of a Job's parameters for an event, with those of the Trigger that matched it, if one did.
///
/// # Errors
/// The first parameter that has no value.
pub fn evaluate(
    job: &Parameters,
    trigger: Option<&Parameters>,
    input: &Input<'_>,
) -> Result<Vec<ParameterValue>, NoValue> {
    let over = trigger.map_or(&[][..], |trigger| &trigger.list);
    let replaced = |name: &str| over.iter().find(|parameter| parameter.name == name);
    let of_job = job.list.iter().map(|parameter| replaced(&parameter.name).unwrap_or(parameter));
    let known = |name: &str| job.list.iter().any(|parameter| parameter.name == name);
    let more = over.iter().filter(|parameter| !known(&parameter.name));
    of_job.chain(more).map(|parameter| parameter.evaluate(input)).collect()
}

/// The values of a run without an event: the defaults.
pub fn defaults(parameters: &[Parameter]) -> Vec<ParameterValue> {
    let default = |parameter: &Parameter| {
        let value = parameter.default.clone()?;
        Some(ParameterValue { name: parameter.name.clone(), value })
    };
    parameters.iter().filter_map(default).collect()
}

impl Compiled {
    fn evaluate(&self, input: &Input<'_>) -> Result<ParameterValue, NoValue> {
        let value = match (self.computed(input), &self.default) {
            (Ok(value), _) => value,
            (Err(problem), Some(default)) if problem.is_missing() => default.clone(),
            (Err(problem), _) => return Err(NoValue { name: self.name.clone(), problem }),
        };
        Ok(ParameterValue { name: self.name.clone(), value })
    }

    fn computed(&self, input: &Input<'_>) -> Result<String, Problem> {
        let value = self.value.evaluate(input)?;
        let text = value.render(MAX_VALUE).map_err(|_| Problem::TooLong)?.ok_or(Problem::Null)?;
        match text.char_indices().find(|(_, character)| character.is_control()) {
            Some((at, character)) => Err(Problem::ControlCharacter { character, at }),
            None => Ok(text.into_owned()),
        }
    }
}

impl Problem {
    /// Whether a default takes its place.
    fn is_missing(&self) -> bool {
        match self {
            Problem::Expression(error) => error.is_missing(),
            Problem::Null => true,
            Problem::TooLong | Problem::ControlCharacter { .. } => false,
        }
    }
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Event;

    fn compiled(parameters: &Value) -> Result<Parameters, String> {
        let parameters: Vec<Parameter> = serde_json::from_value(parameters.clone()).unwrap();
        Parameters::compile(&parameters)
    }

    fn event(data: &Value) -> Event {
        Event::builder().required("1", "/s", "t").data(data.to_string()).build().unwrap()
    }

    /// `NAME=value` of each, or why not.
    fn told(job: &Value, trigger: Option<&Value>, data: &Value) -> Result<Vec<String>, String> {
        let (job, trigger) = (compiled(job).unwrap(), trigger.map(|trigger| compiled(trigger).unwrap()));
        let event = event(data);
        let values = evaluate(&job, trigger.as_ref(), &Input::new(&event));
        let values = values.map_err(|error| error.to_string())?;
        Ok(values.into_iter().map(|ParameterValue { name, value }| format!("{name}={value}")).collect())
    }

    fn value(expression: &str, data: &Value) -> Result<String, String> {
        let found = told(&json!([{"name": "P", "value": expression}]), None, data)?;
        Ok(found[0].strip_prefix("P=").unwrap().to_owned())
    }

    #[test]
    fn values_are_written_predictably() {
        let data =
            json!({"text": "a 'b' \"c\" $(d)", "n": 1.5, "yes": true, "list": [1, "x", null], "empty": ""});
        for (expression, expected) in [
            ("event.data.text", "a 'b' \"c\" $(d)"),
            ("event.data.n", "1.5"),
            ("event.data.yes", "true"),
            ("event.data.list", r#"[1,"x",null]"#),
            ("{'id': event.id}", r#"{"id":"1"}"#),
            ("event.data.empty", ""),
            ("size(event.data.list)", "3"),
        ] {
            assert_eq!(value(expression, &data).as_deref(), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_is_missing_or_null_has_its_default_or_is_told() {
        let data = json!({"nothing": null, "text": "x"});
        for (expression, problem) in [
            ("event.data.order.id", "`event.data.order` is missing"),
            ("event.subject", "`event.subject` is missing"),
            ("event.data.nothing", "it is null"),
        ] {
            let told_problem = format!("parameter P has no value for this event: {problem}");
            assert_eq!(value(expression, &data), Err(told_problem));
            let with_default = json!([{"name": "P", "value": expression, "default": "d"}]);
            assert_eq!(told(&with_default, None, &data), Ok(vec!["P=d".to_owned()]));
        }
        // The event is not what the author expected: that is no reason to go on with a default.
        let wrong = json!([{"name": "P", "value": "event.data.text + 1", "default": "d"}]);
        let problem = "`event.data.text + 1` does not go with a string and an integer";
        assert_eq!(
            told(&wrong, None, &data),
            Err(format!("parameter P has no value for this event: {problem}"))
        );
    }

    #[test]
    fn a_trigger_overrides_by_name_and_adds() {
        let job = json!([{"name": "A", "value": "'job'"}, {"name": "B", "value": "event.none"}]);
        let trigger = json!([{"name": "C", "value": "'more'"}, {"name": "B", "value": "'trigger'"}]);
        let expected = ["A=job", "B=trigger", "C=more"].map(str::to_owned).to_vec();
        assert_eq!(told(&job, Some(&trigger), &json!({})), Ok(expected));
    }

    #[test]
    fn control_characters_and_long_values_are_refused_by_name() {
        let refused = |text: &str| value("event.data", &json!(text)).unwrap_err();
        let no_value = "parameter P has no value for this event: it holds the control character ";
        assert_eq!(refused("a\0b"), format!("{no_value}U+0000 at byte 1"));
        assert_eq!(refused("é\nx"), format!("{no_value}U+000A at byte 2"));
        assert_eq!(refused("\u{85}"), format!("{no_value}U+0085 at byte 0"));
        assert!(refused(&"x".repeat(100 * 1024)).ends_with("it takes more than 32768 bytes"));
        // In JSON they are escaped, and can be handed on.
        assert_eq!(value("event.data", &json!(["a\n\0"])).as_deref(), Ok(r#"["a\n\u0000"]"#));
        assert_eq!(value("event.data", &json!("x".repeat(MAX_VALUE))).unwrap().len(), MAX_VALUE);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let good = json!({"name": "A", "value": "event.id"});
        for (second, expected) in [
            (
                json!({"name": "B", "value": "event."}),
                "parameters[1].value: line 1, column 7: expected the name",
            ),
            (json!({"name": "A", "value": "1"}), "parameters[1].name: there is another parameter `A`"),
            (json!({"name": "1", "value": "1"}), "parameters[1].name: `1` is not the name"),
            (json!({"name": "", "value": "1"}), "parameters[1].name: `` is not the name"),
            (json!({"name": "A=B", "value": "1"}), "parameters[1].name: `A=B` is not the name"),
            (json!({"name": "B", "value": "1", "default": "\0"}), "parameters[1].default: an environment"),
        ] {
            let told = compiled(&json!([good, second])).unwrap_err();
            assert!(told.starts_with(expected), "{told}");
        }
        assert!(compiled(&json!(vec![good; 65])).unwrap_err().contains("more than 64"));
    }

    #[test]
    fn a_run_without_an_event_has_the_defaults() {
        let parameters = [
            Parameter { name: "A".into(), value: "event.id".into(), default: None },
            Parameter { name: "B".into(), value: "event.id".into(), default: Some("b".into()) },
        ];
        assert_eq!(defaults(&parameters), [ParameterValue { name: "B".into(), value: "b".into() }]);
    }
}
