//! The service Executions.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;
use tonic::Code;

use super::convert;
use super::fault::Fault;
use super::jobs::TRIES;
use super::messages::longrunning::Operation;
use super::messages::longrunning::operation::Result as Outcome;
use super::messages::v2;
use super::names::{ExecutionName, Jobs, Place};
use super::operations::{Handle, Verb, operation};
use super::paging::{Page, position};
use super::{CloudRun, check_etag};
use crate::api::Execution;
use crate::ops::{self, Mode};

impl CloudRun {
    pub(super) async fn get_execution(
        &self,
        request: v2::GetExecutionRequest,
    ) -> Result<v2::Execution, Fault> {
        self.admit(&request).await?;
        let v2::GetExecutionRequest { name } = request;
        let name = ExecutionName::parse("name", &name)?;
        let execution = self.execution(&name).await?;
        Ok(self.shown_execution(&execution, &name.job.place, None))
    }

    pub(super) async fn list_executions(
        &self,
        request: v2::ListExecutionsRequest,
    ) -> Result<v2::ListExecutionsResponse, Fault> {
        self.admit(&request).await?;
        // What is deleted is gone: there is nothing more to show.
        let v2::ListExecutionsRequest { parent, page_size, page_token, show_deleted: _ } = request;
        let jobs = Jobs::parse("parent", &parent)?;
        let page = Page::of(format!("executions of {jobs}"), page_size, &page_token)?;
        let all = self.executions_of(&jobs).await?;
        let (found, next_page_token) = page.cut(all, |execution| position(execution.as_ref()));
        let shown = found.iter().map(|execution| self.shown_execution(execution, &jobs.place, None));
        Ok(v2::ListExecutionsResponse { executions: shown.collect(), next_page_token })
    }

    /// A run as clients see it.
    pub(super) fn shown_execution(
        &self,
        execution: &Execution,
        place: &Place,
        deleted: Option<Timestamp>,
    ) -> v2::Execution {
        convert::execution(execution, place, deleted, self.page_of(execution, None))
    }

    /// Where the page of a run is, or of one of its tasks; nothing where nobody has asked.
    pub(super) fn page_of(&self, execution: &Execution, task: Option<i32>) -> String {
        let ObjectMeta { name: Some(name), namespace: Some(namespace), .. } = &execution.metadata else {
            return String::new();
        };
        self.origin.page(namespace, name, task)
    }

    /// The Executions of a Job, or of all Jobs.
    pub(super) async fn executions_of(&self, jobs: &Jobs) -> Result<Vec<Arc<Execution>>, Fault> {
        let Jobs { place, job } = jobs;
        let mut all = self.executions(place).await?;
        if let Some(job) = job {
            all.retain(|execution| execution.spec.job.name == *job);
        }
        Ok(all)
    }

    pub(super) async fn cancel_execution(
        &self,
        request: v2::CancelExecutionRequest,
    ) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::CancelExecutionRequest { name, validate_only, etag } = request;
        let name = ExecutionName::parse("name", &name)?;
        self.cancel(&name, &etag, Mode::validate_only(validate_only)).await
    }

    /// Asks a run to stop.
    pub(super) async fn cancel(
        &self,
        name: &ExecutionName,
        etag: &str,
        mode: Mode,
    ) -> Result<Operation, Fault> {
        for _ in 1..TRIES {
            match self.cancel_once(name, etag, mode).await {
                Err(fault) if fault.code == Code::Aborted && !fault.is_stale() => {}
                done => return done,
            }
        }
        self.cancel_once(name, etag, mode).await
    }

    async fn cancel_once(&self, name: &ExecutionName, etag: &str, mode: Mode) -> Result<Operation, Fault> {
        let execution = self.live_execution(name).await?;
        check_etag(etag, &convert::etag(&execution.metadata), "execution", &name.execution)?;
        let asked = ops::cancel_exactly(&self.client, &execution, mode).await?;
        Ok(self.execution_operation(Verb::Cancel, &asked, &name.job.place, mode))
    }

    pub(super) async fn delete_execution(
        &self,
        request: v2::DeleteExecutionRequest,
    ) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::DeleteExecutionRequest { name, validate_only, etag } = request;
        let name = ExecutionName::parse("name", &name)?;
        let mode = Mode::validate_only(validate_only);
        for _ in 1..TRIES {
            match self.delete_execution_once(&name, &etag, mode).await {
                Err(fault) if fault.code == Code::Aborted && !fault.is_stale() => {}
                done => return done,
            }
        }
        self.delete_execution_once(&name, &etag, mode).await
    }

    async fn delete_execution_once(
        &self,
        name: &ExecutionName,
        etag: &str,
        mode: Mode,
    ) -> Result<Operation, Fault> {
        let execution = self.live_execution(name).await?;
        check_etag(etag, &convert::etag(&execution.metadata), "execution", &name.execution)?;
        ops::delete_exactly(&self.client, &execution, mode).await?;
        let (now, place) = ((self.clock)(), &name.job.place);
        let shown = self.packed_execution(&execution, place, Some(now));
        if mode == Mode::Validate {
            return Ok(Handle::validated(place, shown));
        }
        self.cache.executions.remove(&execution);
        let handle = Handle::of_execution(Verb::DeleteExecution, &execution).at(now);
        Ok(operation(&handle, place, shown.clone(), Some(Outcome::Response(shown))))
    }
}
