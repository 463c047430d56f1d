//! The logs of tasks in the form of Cloud Logging, for `gcloud run jobs logs read`.

use std::pin::pin;

use axum::extract::{FromRequest, Request};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic::Code;

use super::LOCATION;
use super::filter::Filter;
use crate::api::Execution;
use crate::cloudrun::CloudRun;
use crate::cloudrun::access::of_logs;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::grpc::PATIENCE;
use crate::cloudrun::metrics::Method;
use crate::cloudrun::names::Place;
use crate::cloudrun::paging::{newest_first, position};
use crate::cloudrun::rest::{answer, body, in_time};
use crate::ops::{self, LogLine, LogOptions};

/// Lines of an answer when the client does not say, and at most: what Cloud Logging has for both.
const USUAL_LINES: usize = 50;
const MOST_LINES: usize = 1000;
/// Lines that are read for one answer. Of every attempt only the last ones that could be in the answer are.
const MOST_READ: usize = 200_000;
/// Bytes of one answer. What does not fit is not told; a reader narrows his question then.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of an entry beside its line, about.
const ENTRY: usize = 1024;
/// Runs that are looked into for one answer, the newest.
const MOST_RUNS: usize = 50;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Asked {
    resource_names: Vec<String>,
    filter: String,
    order_by: String,
    page_size: i64,
}

#[derive(Debug, Serialize)]
struct Entries {
    entries: Vec<Value>,
}

/// Which lines of a run are wanted.
struct Wanted {
    filter: Filter,
    /// And how many of all.
    size: usize,
}

/// A line with its time.
struct Entry {
    time: Timestamp,
    /// Bytes that it takes, about.
    size: usize,
    /// Among lines of one time, their order.
    number: usize,
    value: Value,
}

pub(super) async fn entries(api: CloudRun, request: Request) -> Response {
    let call = async {
        let sent = Bytes::from_request(request, &()).await;
        answer(match body(sent) {
            Ok(asked) => api.entries(asked).await,
            Err(fault) => Err(fault),
        })
    };
    Method::list_log_entries.at(in_time(PATIENCE, Box::pin(call)).await)
}

impl CloudRun {
    async fn entries(&self, asked: Asked) -> Result<Entries, Fault> {
        let Asked { resource_names, filter, order_by, page_size } = asked;
        let [project] = resource_names.as_slice() else {
            return Err(Fault::invalid_field("resourceNames", "must name one project"));
        };
        let place = Place::parse("resourceNames", &format!("{project}/locations/{LOCATION}"))?;
        self.allow(&of_logs(&place)).await?;
        let filter = Filter::parse(&filter)?;
        let size = usize::try_from(page_size).ok().filter(|size| *size > 0).unwrap_or(USUAL_LINES);
        let size = size.min(MOST_LINES);
        let newest = order_by.trim().ends_with("desc");
        let wanted = Wanted { filter, size };
        // A handful of readers at a time; each holds a bounded number of bytes.
        let _permit = self.log_readers.acquire().await.expect("nobody closes the semaphore");
        let mut found = Found { newest, entries: Vec::new(), bytes: 0 };
        let mut read = 0;
        for run in self.runs_for(&place, &wanted.filter).await? {
            read += self.read(&run, &place, &wanted, &mut found).await?;
            found.cut(size);
            if read > MOST_READ {
                break;
            }
        }
        Ok(Entries { entries: found.entries.into_iter().map(|entry| entry.value).collect() })
    }

    /// The runs that may have such lines, the newest first.
    async fn runs_for(&self, place: &Place, filter: &Filter) -> Result<Vec<String>, Fault> {
        let mut all = self.executions(place).await?;
        all.retain(|run| {
            let is = |wanted: &Option<String>, found: Option<&String>| {
                wanted.as_ref().is_none_or(|wanted| Some(wanted) == found)
            };
            let ended = run.status.as_ref().and_then(|status| status.completion_time.as_ref());
            is(&filter.job, Some(&run.spec.job.name))
                && is(&filter.execution, run.metadata.name.as_ref())
                && !filter.nothing
                && ended.is_none_or(|ended| filter.since.is_none_or(|since| since <= ended.0))
        });
        let all = newest_first(all, |run| position::<Execution>(run.as_ref()));
        Ok(all.iter().take(MOST_RUNS).filter_map(|run| run.metadata.name.clone()).collect())
    }

    /// Adds the lines of a run that are wanted, and says how many were read.
    async fn read(
        &self,
        run: &str,
        place: &Place,
        wanted: &Wanted,
        found: &mut Found,
    ) -> Result<usize, Fault> {
        let Wanted { filter, size } = wanted;
        let tail = filter.words.is_empty().then(|| i64::try_from(*size).unwrap_or(i64::MAX));
        let options = LogOptions { follow: false, task: filter.task, tail, timestamps: true };
        let job = self.execution_of_any(place, run).await.map(|run| run.spec.job.name.clone());
        let lines = ops::logs(&self.client, &place.project, run, options).await.map_err(Fault::from);
        let (job, lines) = match (job, lines) {
            (Ok(job), Ok(lines)) => (job, lines),
            // Deleted since it was listed.
            (Err(fault), _) | (_, Err(fault)) if fault.code == Code::NotFound => return Ok(0),
            (Err(fault), _) | (_, Err(fault)) => return Err(fault),
        };
        let mut lines = pin!(lines);
        let mut number = 0;
        while let Some(line) = lines.next().await {
            let line = match line.map_err(Fault::from) {
                Ok(line) => line,
                Err(fault) if fault.code == Code::NotFound => continue,
                Err(fault) => return Err(fault),
            };
            number += 1;
            let Some((time, text)) = timed(&line.text) else { continue };
            if filter.wants(time, text) {
                let value = entry(&line, time, text, number, (&place.project, &job, run));
                found.add(Entry { time, number, size: text.len() + ENTRY, value }, *size);
            }
            if number > MOST_READ {
                break;
            }
        }
        Ok(number)
    }
}

/// The best lines so far.
struct Found {
    /// Whether the newest are wanted, and not the oldest.
    newest: bool,
    entries: Vec<Entry>,
    /// About how much they take.
    bytes: usize,
}

impl Found {
    /// Takes in a line. Now and then those go that would not be among the first `size` anyway.
    fn add(&mut self, entry: Entry, size: usize) {
        self.bytes += entry.size;
        self.entries.push(entry);
        if self.entries.len() >= 2 * size.max(100) || self.bytes >= 2 * MOST_BYTES {
            self.cut(size);
        }
    }

    /// In the order that was asked for, and no more than fit.
    fn cut(&mut self, size: usize) {
        self.entries.sort_by_key(|entry| (entry.time, entry.number));
        if self.newest {
            self.entries.reverse();
        }
        self.entries.truncate(size);
        self.bytes = 0;
        let fit = self.entries.iter().take_while(|entry| {
            self.bytes += entry.size;
            self.bytes <= MOST_BYTES
        });
        let fit = fit.count();
        self.entries.truncate(fit);
        self.bytes = self.bytes.min(MOST_BYTES);
    }
}

/// The time at which a line was written, and the line.
fn timed(line: &str) -> Option<(Timestamp, &str)> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    Some((time.parse().ok()?, text))
}

fn entry(
    line: &LogLine,
    time: Timestamp,
    text: &str,
    number: usize,
    (project, job, run): (&str, &str, &str),
) -> Value {
    let LogLine { task, attempt, text: _ } = line;
    json!({
        "timestamp": time.to_string(),
        "textPayload": text,
        // Both streams are one here.
        "logName": format!("projects/{project}/logs/run.googleapis.com%2Fstdout"),
        "insertId": format!("{run}-{task}-{attempt}-{number}"),
        "resource": {
            "type": "cloud_run_job",
            "labels": {"project_id": project, "job_name": job, "location": LOCATION},
        },
        "labels": {
            "run.googleapis.com/execution_name": run,
            "run.googleapis.com/task_index": task.to_string(),
            "run.googleapis.com/task_attempt": attempt.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        newest: bool,
        lines: impl Iterator<Item = usize>,
        size: usize,
        bytes: usize,
    ) -> (Vec<usize>, usize) {
        let mut found = Found { newest, entries: Vec::new(), bytes: 0 };
        let mut most = 0;
        for number in lines {
            let time = Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
            found.add(Entry { time, size: bytes, number, value: Value::Null }, size);
            most = most.max(found.entries.len());
        }
        found.cut(size);
        (found.entries.iter().map(|entry| entry.number).collect(), most)
    }

    #[test]
    fn of_many_lines_only_the_first_of_the_order_are_held() {
        // 7919 is prime to 100,000, so each number comes once.
        let shuffled = || (0..100_000).map(|number| number * 7919 % 100_000);
        let (newest, most) = found(true, shuffled(), 3, 100);
        assert_eq!(newest, [99_999, 99_998, 99_997]);
        assert!(most <= 200, "{most}");
        assert_eq!(found(false, shuffled(), 3, 100).0, [0, 1, 2]);
    }

    #[test]
    fn an_answer_has_a_bound_in_bytes() {
        let (told, most) = found(true, 0..1000, 1000, MOST_BYTES / 4);
        assert_eq!(told, [999, 998, 997, 996]);
        assert!(most <= 8, "{most}");
    }
}
