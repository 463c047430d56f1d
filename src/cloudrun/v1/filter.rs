//! The filters with which `gcloud` reads logs: a chain of comparisons joined by `AND`. Of Logging's language this is what
//! its commands write, and the few comparisons that people add by hand. Anything else is refused: a filter that is
//! understood half shows the wrong lines.

use k8s_openapi::jiff::Timestamp;

use crate::cloudrun::fault::Fault;

/// Which lines are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Of that Job.
    pub(super) job: Option<String>,
    /// Of that run.
    pub(super) execution: Option<String>,
    /// Of that task.
    pub(super) task: Option<i32>,
    /// Not before.
    pub(super) since: Option<Timestamp>,
    /// Not after.
    pub(super) until: Option<Timestamp>,
    /// All of these are in the line, in whatever case.
    pub(super) words: Vec<String>,
    /// None can be: lines here have no severity.
    pub(super) nothing: bool,
}

impl Filter {
    /// Reads a filter.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut filter = Self::default();
        for clause in clauses(text) {
            let wrong = || {
                Fault::invalid_field(
                    "filter",
                    format!(
                        "{clause:?} is not understood; what is, are comparisons, joined by AND, of resource.type, \
                         resource.labels.job_name, resource.labels.location, severity, timestamp, textPayload, \
                         labels.\"run.googleapis.com/execution_name\" and labels.\"run.googleapis.com/task_index\""
                    ),
                )
            };
            filter.add(clause).ok_or_else(wrong)?;
        }
        Ok(filter)
    }

    fn add(&mut self, clause: &str) -> Option<()> {
        let (key, operator, value) = comparison(clause)?;
        match (key.as_str(), operator) {
            ("resource.type", "=") => self.nothing |= value != "cloud_run_job",
            ("resource.labels.job_name", "=") => self.job = Some(value),
            ("labels.run.googleapis.com/execution_name", "=") => self.execution = Some(value),
            ("labels.run.googleapis.com/task_index", "=") => self.task = Some(value.parse().ok()?),
            // There is one cluster: a location says nothing.
            ("resource.labels.location", "=") => {}
            ("severity", ">=" | "=") => self.nothing |= value != "DEFAULT",
            ("timestamp", ">=" | ">") => self.since = Some(value.parse().ok()?).max(self.since),
            ("timestamp", "<=" | "<") => {
                let until = value.parse().ok()?;
                self.until = Some(self.until.map_or(until, |known| known.min(until)));
            }
            ("textPayload", ":") => self.words.push(value.to_lowercase()),
            _ => return None,
        }
        Some(())
    }

    /// Whether a line of that time is wanted.
    pub(super) fn wants(&self, time: Timestamp, line: &str) -> bool {
        let in_time =
            self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time <= until);
        let line = || line.to_lowercase();
        !self.nothing
            && in_time
            && (self.words.is_empty() || self.words.iter().all(|word| line().contains(word)))
    }
}

/// The parts between the `AND`s that stand in no quotes.
fn clauses(text: &str) -> Vec<&str> {
    let (mut all, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        if letter == '"' {
            quoted = !quoted;
        }
        let after = text.get(at..).unwrap_or_default();
        if !quoted
            && at >= start
            && letter.is_whitespace()
            && let Some(rest) = after.trim_start().strip_prefix("AND")
            && rest.starts_with(char::is_whitespace)
        {
            all.push(text.get(start..at).unwrap_or_default());
            start = text.len() - rest.len();
        }
    }
    all.push(text.get(start..).unwrap_or_default());
    all.into_iter().map(str::trim).filter(|clause| !clause.is_empty()).collect()
}

/// Key, operator and value; quotes go.
fn comparison(clause: &str) -> Option<(String, &'static str, String)> {
    let mut quoted = false;
    let begins = |c: char| {
        quoted ^= c == '"';
        !quoted && matches!(c, '=' | '<' | '>' | ':' | '!')
    };
    let (key, rest) = clause.split_at_checked(clause.find(begins)?)?;
    let operator = [">=", "<=", "=", ">", "<", ":"].into_iter().find(|one| rest.starts_with(one))?;
    let value = rest.strip_prefix(operator)?.trim();
    let bare = match value.strip_prefix('"') {
        Some(value) => value.strip_suffix('"')?,
        None if value.contains(char::is_whitespace) => return None,
        None => value,
    };
    (!bare.is_empty() && !bare.contains('"'))
        .then(|| (key.trim().replace('"', ""), operator, bare.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_gcloud_are_understood() {
        let text = "resource.type = cloud_run_job \n AND resource.labels.job_name = resize \n AND resource.labels.location = us-central1 \n AND severity >= DEFAULT \n AND timestamp>=\"2026-01-01T00:00:00.000000Z\"";
        let expected = Filter {
            job: Some("resize".to_owned()),
            since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            ..Filter::default()
        };
        assert_eq!(Filter::parse(text).unwrap(), expected);
        let text = "textPayload:\"Very AND Odd\" AND labels.\"run.googleapis.com/execution_name\" = resize-1 \n AND severity >= DEFAULT";
        let found = Filter::parse(text).unwrap();
        assert_eq!(found.execution.as_deref(), Some("resize-1"));
        assert_eq!(found.words, ["very and odd"]);
    }

    #[test]
    fn lines_are_chosen_by_time_and_words() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let filter = Filter {
            since: Some(at(10)),
            until: Some(at(20)),
            words: vec!["error".to_owned()],
            ..Filter::default()
        };
        for (time, line, wanted) in
            [(10, "an Error", true), (9, "error", false), (21, "error", false), (15, "fine", false)]
        {
            assert_eq!(filter.wants(at(time), line), wanted, "{time} {line}");
        }
        assert!(!Filter::parse("severity>=ERROR").unwrap().wants(at(0), "error"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "severity>=ERROR OR severity=INFO",
            "jsonPayload.x=1",
            "resource.type",
            "textPayload=~\"x\"",
            "timestamp>=yesterday",
            "NOT severity=DEFAULT",
            "a b",
        ] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
