//! Names of resources: `projects/*/locations/*/jobs/*/executions/*/tasks/*` and `projects/*/locations/*/operations/*`.
//!
//! A project is a namespace. A location is any word: there is one cluster, so it says nothing, and it is echoed so that
//! clients find their own names again. What a name is made of becomes part of a path at the API server, so it is checked
//! here to be what Kubernetes takes for a name.

use std::fmt;

use super::fault::{Fault, Violation};
use crate::triggers::is_object_name;

/// Longest location that is echoed.
const MAX_LOCATION: usize = 63;
/// Stands for every Job, or every Execution, where something is listed.
const ANY: &str = "-";

/// `projects/{project}/locations/{location}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The namespace.
    pub(super) project: String,
    /// Any word.
    pub(super) location: String,
}

/// A name within a place: that of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobName {
    pub(super) place: Place,
    pub(super) job: String,
}

/// The name of an Execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExecutionName {
    pub(super) job: JobName,
    pub(super) execution: String,
}

/// The name of a task: `{execution}-task{index}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaskName {
    pub(super) execution: ExecutionName,
    pub(super) index: i32,
}

/// The name of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperationName {
    pub(super) place: Place,
    pub(super) id: String,
}

/// All Executions of a Job, or of all Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jobs {
    pub(super) place: Place,
    /// None means all.
    pub(super) job: Option<String>,
}

/// All tasks of an Execution, or of all Executions of those Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Executions {
    pub(super) jobs: Jobs,
    /// None means all.
    pub(super) execution: Option<String>,
}

impl Place {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location] = segments(field, text, ["projects", "locations"])?;
        Self::of(field, project, location)
    }

    fn of(field: &str, project: &str, location: &str) -> Result<Self, Fault> {
        object(field, "project", project)?;
        let fits = location.len() <= MAX_LOCATION && location.chars().all(|c| c.is_ascii_graphic());
        if !fits {
            return Err(bad(field, format!("{location:?} is no location")));
        }
        Ok(Self { project: project.to_owned(), location: location.to_owned() })
    }

    pub(super) fn job(&self, job: &str) -> JobName {
        JobName { place: self.clone(), job: job.to_owned() }
    }

    pub(super) fn operation(&self, id: String) -> OperationName {
        OperationName { place: self.clone(), id }
    }
}

impl JobName {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, job] = segments(field, text, ["projects", "locations", "jobs"])?;
        Ok(Place::of(field, project, location)?.job(object(field, "job", job)?))
    }

    pub(super) fn execution(&self, execution: &str) -> ExecutionName {
        ExecutionName { job: self.clone(), execution: execution.to_owned() }
    }
}

impl ExecutionName {
    pub(super) fn task(&self, index: i32) -> TaskName {
        TaskName { execution: self.clone(), index }
    }
}

impl ExecutionName {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, job, execution] =
            segments(field, text, ["projects", "locations", "jobs", "executions"])?;
        let job = Place::of(field, project, location)?.job(object(field, "job", job)?);
        Ok(job.execution(object(field, "execution", execution)?))
    }
}

impl TaskName {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, job, execution, task] =
            segments(field, text, ["projects", "locations", "jobs", "executions", "tasks"])?;
        let job = Place::of(field, project, location)?.job(object(field, "job", job)?);
        let execution = job.execution(object(field, "execution", execution)?);
        let index = task.strip_prefix(&execution.execution).and_then(|rest| rest.strip_prefix("-task"));
        let index = index.and_then(|digits| digits.parse::<u16>().ok()).filter(|index| {
            // One task has one name.
            task.ends_with(&format!("-task{index}"))
        });
        let index = index.ok_or_else(|| {
            bad(field, format!("a task is called {}-task and its index", execution.execution))
        })?;
        Ok(Self { execution, index: index.into() })
    }
}

impl OperationName {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, id] = segments(field, text, ["projects", "locations", "operations"])?;
        Ok(Place::of(field, project, location)?.operation(id.to_owned()))
    }
}

impl Jobs {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, job] = segments(field, text, ["projects", "locations", "jobs"])?;
        let place = Place::of(field, project, location)?;
        Ok(Self { place, job: object_or_any(field, "job", job)? })
    }
}

impl Executions {
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let [project, location, job, execution] =
            segments(field, text, ["projects", "locations", "jobs", "executions"])?;
        let place = Place::of(field, project, location)?;
        let jobs = Jobs { place, job: object_or_any(field, "job", job)? };
        Ok(Self { jobs, execution: object_or_any(field, "execution", execution)? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, location } = self;
        write!(f, "projects/{project}/locations/{location}")
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, job } = self;
        write!(f, "{place}/jobs/{job}")
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, job } = self;
        write!(f, "{place}/jobs/{}", job.as_deref().unwrap_or(ANY))
    }
}

impl fmt::Display for Executions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, execution } = self;
        write!(f, "{jobs}/executions/{}", execution.as_deref().unwrap_or(ANY))
    }
}

impl fmt::Display for ExecutionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, execution } = self;
        write!(f, "{job}/executions/{execution}")
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { execution, index } = self;
        write!(f, "{execution}/tasks/{}-task{index}", execution.execution)
    }
}

impl fmt::Display for OperationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, id } = self;
        write!(f, "{place}/operations/{id}")
    }
}

/// What stands between the `words` of a name.
fn segments<'a, const N: usize>(
    field: &str,
    text: &'a str,
    words: [&'static str; N],
) -> Result<[&'a str; N], Fault> {
    let mut parts = text.split('/');
    let mut found = [""; N];
    for (word, place) in words.iter().zip(&mut found) {
        match (parts.next(), parts.next()) {
            (Some(given), Some(value)) if given == *word && !value.is_empty() => *place = value,
            _ => return Err(malformed(field, text, &words)),
        }
    }
    if parts.next().is_some() { Err(malformed(field, text, &words)) } else { Ok(found) }
}

fn malformed(field: &str, text: &str, words: &[&str]) -> Fault {
    let form: Vec<String> = words.iter().map(|word| format!("{word}/*")).collect();
    bad(field, format!("{text:?} is not of the form {}", form.join("/")))
}

fn object<'a>(field: &str, what: &str, name: &'a str) -> Result<&'a str, Fault> {
    if is_object_name(name) { Ok(name) } else { Err(bad(field, format!("{name:?} is no name of a {what}"))) }
}

fn object_or_any(field: &str, what: &str, name: &str) -> Result<Option<String>, Fault> {
    if name == ANY { Ok(None) } else { Ok(Some(object(field, what, name)?.to_owned())) }
}

fn bad(field: &str, description: String) -> Fault {
    Fault::invalid(vec![Violation { field: field.to_owned(), description }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let task =
            "projects/shop/locations/local/jobs/resize/executions/resize-abcde/tasks/resize-abcde-task7";
        let name = TaskName::parse("name", task).unwrap();
        assert_eq!((name.to_string().as_str(), name.index), (task, 7));
        assert_eq!(name.execution.job.place.project, "shop");
        let operation = "projects/shop/locations/asia east/operations/x";
        assert!(OperationName::parse("name", operation).is_err());
        let operation = "projects/shop/locations/any-word.at_all/operations/run.a.b.c";
        assert_eq!(OperationName::parse("name", operation).unwrap().to_string(), operation);
    }

    #[test]
    fn all_of_them_are_asked_for_with_a_dash() {
        let found = Executions::parse("parent", "projects/p/locations/l/jobs/-/executions/-").unwrap();
        assert_eq!((found.jobs.job, found.execution), (None, None));
        assert!(JobName::parse("name", "projects/p/locations/l/jobs/-").is_err());
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_field() {
        let table = [
            "",
            "projects/p",
            "projects/p/locations/l/jobs/",
            "projects/p/locations/l/jobs/a/",
            "projects/p/locations/l/services/a",
            "projects/P/locations/l/jobs/a",
            "projects/p/locations//jobs/a",
            "projects/p/locations/l/jobs/..",
            "projects/p/locations/l/jobs/a%2Fb",
            "projects/p/locations/l/jobs/a/executions/b",
        ];
        for text in table {
            let fault = JobName::parse("name", text).unwrap_err();
            assert_eq!(fault.violations()[0].field, "name", "{text}");
        }
        for task in ["a-task", "a-task01", "a-task-1", "b-task0", "a-task99999"] {
            let name = format!("projects/p/locations/l/jobs/j/executions/a/tasks/{task}");
            assert!(TaskName::parse("name", &name).is_err(), "{task}");
        }
    }
}
