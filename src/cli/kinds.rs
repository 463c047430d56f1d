//! Names of kinds and objects as people type them: `jobs`, `rx`, `trigger/orders`, `executions.run.kakehi.dev/x`.

use std::fmt;
use std::str::FromStr;

use crate::api::GROUP;

/// One of our kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Execution,
    Trigger,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Job, Kind::Execution, Kind::Trigger];

    /// Every word that means this kind.
    fn words(self) -> [&'static str; 3] {
        match self {
            Kind::Job => ["job", "jobs", "rj"],
            Kind::Execution => ["execution", "executions", "rx"],
            Kind::Trigger => ["trigger", "triggers", "rt"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words()[0])
    }
}

/// A word that means no kind of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of ours; there are jobs (rj), executions (rx) and triggers (rt)")]
pub(crate) struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_lowercase();
        let word = lower.strip_suffix(GROUP).and_then(|word| word.strip_suffix('.')).unwrap_or(&lower);
        let known = Kind::ALL.into_iter().find(|kind| kind.words().contains(&word));
        known.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// An object by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Why words name no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error("{0:?} lacks a name; write KIND/NAME or KIND NAME")]
    NoName(String),
    #[error("{0:?} and {1:?} cannot be mixed; write KIND/NAME for each, or one KIND and its NAMES")]
    Mixed(String, String),
}

/// Reads `KIND NAME...` or `KIND/NAME...`. A single word without a slash names an Execution.
pub(crate) fn references(words: &[String]) -> Result<Vec<Reference>, ReferenceError> {
    let (slashed, plain): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| word.contains('/'));
    match (slashed.first(), plain.as_slice()) {
        (Some(slashed), [plain, ..]) => Err(ReferenceError::Mixed((*slashed).clone(), (*plain).clone())),
        (Some(_), []) => slashed.into_iter().map(|word| qualified(word)).collect(),
        (None, [one]) if one.parse::<Kind>().is_ok() => Err(ReferenceError::NoName((*one).clone())),
        (None, [one]) => Ok(vec![Reference { kind: Kind::Execution, name: (*one).clone() }]),
        (None, words) => {
            let Some((kind, names)) = words.split_first() else { return Ok(Vec::new()) };
            let kind = kind.parse()?;
            Ok(names.iter().map(|name| Reference { kind, name: (*name).clone() }).collect())
        }
    }
}

fn qualified(word: &str) -> Result<Reference, ReferenceError> {
    let (kind, name) = word.split_once('/').unwrap_or((word, ""));
    let kind = kind.parse()?;
    if name.is_empty() || name.contains('/') {
        return Err(ReferenceError::NoName(word.to_owned()));
    }
    Ok(Reference { kind, name: name.to_owned() })
}

/// The name of an Execution, with or without its kind in front: what one command printed, another takes.
pub(crate) fn execution_name(text: &str) -> Result<String, String> {
    match references(&[text.to_owned()]).map_err(|error| error.to_string())?.as_slice() {
        [Reference { kind: Kind::Execution, name }] => Ok(name.clone()),
        _ => Err(format!("{text:?} is not an execution")),
    }
}

/// The name of a Job, with or without its kind in front.
pub(crate) fn job_name(text: &str) -> Result<String, String> {
    if !text.contains('/') {
        return Ok(text.to_owned());
    }
    match qualified(text).map_err(|error| error.to_string())? {
        Reference { kind: Kind::Job, name } => Ok(name),
        Reference { .. } => Err(format!("{text:?} is not a job")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_have_many_names() {
        for (text, kind) in [
            ("job", Kind::Job),
            ("Jobs", Kind::Job),
            ("rj", Kind::Job),
            ("executions.run.kakehi.dev", Kind::Execution),
            ("rx", Kind::Execution),
            ("Trigger", Kind::Trigger),
        ] {
            assert_eq!(text.parse::<Kind>(), Ok(kind), "{text}");
        }
        assert!("pods".parse::<Kind>().is_err());
        assert!("jobs.batch".parse::<Kind>().is_err());
    }

    #[test]
    fn objects_are_named_in_three_ways() {
        let table = [
            ("job resize", "job/resize"),
            ("rx a b", "execution/a execution/b"),
            ("trigger/orders", "trigger/orders"),
            ("job/a rt/b", "job/a trigger/b"),
            ("resize-abc", "execution/resize-abc"),
            ("execution.run.kakehi.dev/x", "execution/x"),
        ];
        for (line, wanted) in table {
            let found = references(&words(line)).unwrap();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), wanted, "{line}");
        }
    }

    #[test]
    fn half_names_are_refused() {
        for line in ["job", "job/", "pods x", "pods/x", "job/a b", "job/a/b"] {
            assert!(references(&words(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn what_one_command_prints_another_takes() {
        assert_eq!(execution_name("execution.run.kakehi.dev/x").as_deref(), Ok("x"));
        assert_eq!(execution_name("x").as_deref(), Ok("x"));
        assert!(execution_name("job/x").is_err());
        assert_eq!(job_name("job.run.kakehi.dev/x").as_deref(), Ok("x"));
        assert_eq!(job_name("jobs").as_deref(), Ok("jobs"));
        assert!(job_name("trigger/x").is_err());
    }
}
