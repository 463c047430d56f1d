//! The service Tasks. Nobody polls tasks, and what they are computed from is large: it is read from the API server when
//! somebody asks.

use std::cmp::Reverse;

use super::CloudRun;
use super::convert;
use super::fault::Fault;
use super::messages::v2;
use super::names::{ExecutionName, Executions, TaskName};
use super::paging::{Page, Position, position};
use crate::api::Execution;
use crate::ops;
use crate::plan::{self, Task};

impl CloudRun {
    pub(super) async fn get_task(&self, request: v2::GetTaskRequest) -> Result<v2::Task, Fault> {
        self.admit(&request).await?;
        let v2::GetTaskRequest { name } = request;
        let name = TaskName::parse("name", &name)?;
        let execution = self.live_execution(&name.execution).await?;
        let found = self.tasks_of(&execution, name.index..name.index + 1).await?;
        let id = || format!("{}-task{}", name.execution.execution, name.index);
        let task = found.first().ok_or_else(|| Fault::not_found("task", &id()))?;
        Ok(convert::task(task, &execution, &name, self.page_of(&execution, Some(name.index))))
    }

    /// Tasks by Execution, the newest first, and by index.
    pub(super) async fn list_tasks(
        &self,
        request: v2::ListTasksRequest,
    ) -> Result<v2::ListTasksResponse, Fault> {
        self.admit(&request).await?;
        // What is deleted is gone: there is nothing more to show.
        let v2::ListTasksRequest { parent, page_size, page_token, show_deleted: _ } = request;
        let parent = Executions::parse("parent", &parent)?;
        let page = Page::of(format!("tasks of {parent}"), page_size, &page_token)?;
        let mut tasks = Vec::new();
        for (name, first) in self.names_from(&parent, page.after()).await? {
            let room = i32::try_from(page.size() - tasks.len()).unwrap_or(i32::MAX);
            let Some(execution) = there(self.live_execution(&name).await)? else { continue };
            // One more than there is room for tells whether there is another page.
            let found =
                self.tasks_of(&execution, first..first.saturating_add(room).saturating_add(1)).await?;
            for task in found {
                if tasks.len() == page.size() {
                    let last: &(Position, v2::Task) = &tasks[tasks.len() - 1];
                    let next_page_token = page.token(&last.0);
                    let tasks = tasks.into_iter().map(|(_, task)| task).collect();
                    return Ok(v2::ListTasksResponse { tasks, next_page_token });
                }
                let page = self.page_of(&execution, Some(task.index));
                let shown = convert::task(&task, &execution, &name.task(task.index), page);
                tasks.push((place_of(&execution, task.index), shown));
            }
        }
        let tasks = tasks.into_iter().map(|(_, task)| task).collect();
        Ok(v2::ListTasksResponse { tasks, next_page_token: String::new() })
    }

    /// The Executions whose tasks come after that, each with its first index that does.
    async fn names_from(
        &self,
        parent: &Executions,
        after: Option<&Position>,
    ) -> Result<Vec<(ExecutionName, i32)>, Fault> {
        let (created, last, index) = match after.and_then(read_place) {
            Some((created, last, index)) => (Some(created), last, index),
            None => (None, String::new(), -1),
        };
        let Executions { jobs, execution } = parent;
        if let (Some(job), Some(execution)) = (&jobs.job, execution) {
            let name = jobs.place.job(job).execution(execution);
            self.execution(&name).await?;
            return Ok(vec![(name, index + 1)]);
        }
        let mut all = self.executions_of(jobs).await?;
        if let Some(only) = execution {
            all.retain(|one| one.metadata.name.as_ref() == Some(only));
        }
        all.sort_by_cached_key(|one| Reverse(position(one.as_ref())));
        let from = |one: &Execution| {
            let here = position(one);
            let first = if here.1 == last { index + 1 } else { 0 };
            let comes = created.is_none_or(|created| here <= (created, last.clone()));
            comes.then(|| (jobs.place.job(&one.spec.job.name).execution(&here.1), first))
        };
        Ok(all.iter().filter_map(|one| from(one)).collect())
    }

    pub(super) async fn tasks_of(
        &self,
        execution: &Execution,
        indexes: std::ops::Range<i32>,
    ) -> Result<Vec<Task>, Fault> {
        let namespace = execution.metadata.namespace.as_deref().unwrap_or_default();
        let name = execution.metadata.name.as_deref().unwrap_or_default();
        let (task_set, pods) = tokio::try_join!(
            ops::task_set(&self.client, execution),
            ops::pods(&self.client, namespace, name)
        )?;
        Ok(plan::tasks(execution, task_set.as_ref(), &pods, indexes))
    }
}

/// An Execution that was deleted since it was listed has no tasks.
fn there(found: Result<Execution, Fault>) -> Result<Option<Execution>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.code == tonic::Code::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Where a task stands in a list: with its Execution, by index.
fn place_of(execution: &Execution, index: i32) -> Position {
    let (created, name) = position(execution);
    (created, format!("{name} {index}"))
}

fn read_place(place: &Position) -> Option<(k8s_openapi::jiff::Timestamp, String, i32)> {
    let (name, index) = place.1.rsplit_once(' ')?;
    Some((place.0, name.to_owned(), index.parse().ok()?))
}
