//! Executions: read, cancelled, deleted.

use std::sync::Arc;

use super::shape::{API_VERSION, Execution, List, ListMetadata};
use super::{Listing, show};
use crate::api;
use crate::cloudrun::CloudRun;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::messages::v2;
use crate::cloudrun::names::{ExecutionName, Place};
use crate::cloudrun::paging::{Page, newest_first, position};
use crate::ops::{self, Mode};

impl CloudRun {
    pub(super) async fn v1_executions(
        &self,
        place: &Place,
        listing: Listing,
    ) -> Result<List<Execution>, Fault> {
        let shown = |execution: &api::Execution| self.v1_shown(execution, place);
        let mut all = self.executions(place).await?;
        let Listing { selector, limit, token } = listing;
        all.retain(|execution| selector.matches(&shown(execution).metadata.labels));
        let (found, next) = match limit {
            None => (newest_first(all, |one| position(one.as_ref())), String::new()),
            Some(limit) => Page::of(format!("executions of {}", place.project), limit, &token)?
                .cut(all, |one| position(one.as_ref())),
        };
        Ok(List {
            api_version: API_VERSION,
            kind: "ExecutionList",
            metadata: ListMetadata { next },
            items: found.iter().map(|execution| shown(execution)).collect(),
        })
    }

    /// A run as clients see it.
    pub(super) fn v1_shown(&self, execution: &api::Execution, place: &Place) -> Execution {
        show::execution(execution, &place.location, self.page_of(execution, None))
    }

    pub(super) async fn v1_execution(&self, place: &Place, name: &str) -> Result<Execution, Fault> {
        Ok(self.v1_shown(&*self.execution_of_any(place, name).await?, place))
    }

    pub(super) async fn v1_cancel(&self, place: &Place, name: &str) -> Result<Execution, Fault> {
        let full = self.full_name(place, name).await?;
        self.cancel(&full, "", Mode::Commit).await?;
        self.v1_execution(place, name).await
    }

    pub(super) async fn v1_delete_execution(
        &self,
        place: &Place,
        name: &str,
        dry_run: bool,
    ) -> Result<(), Fault> {
        let name = self.full_name(place, name).await?.to_string();
        let request = v2::DeleteExecutionRequest { name, validate_only: dry_run, etag: String::new() };
        self.delete_execution(request).await.map(drop)
    }

    /// The name with the Job in it, which v1 leaves out.
    async fn full_name(&self, place: &Place, name: &str) -> Result<ExecutionName, Fault> {
        let found = self.execution_of_any(place, name).await?;
        Ok(place.job(&found.spec.job.name).execution(name))
    }

    /// The Execution of that name, whichever Job it is of.
    pub(super) async fn execution_of_any(
        &self,
        place: &Place,
        name: &str,
    ) -> Result<Arc<api::Execution>, Fault> {
        match self.cache.executions.get(&place.project, name) {
            Some(found) => Ok(found),
            None => Ok(Arc::new(self.live_execution_of_any(place, name).await?)),
        }
    }

    /// The same as it is at this moment, with everything in it.
    pub(in crate::cloudrun) async fn live_execution_of_any(
        &self,
        place: &Place,
        name: &str,
    ) -> Result<api::Execution, Fault> {
        let found: api::Execution = ops::get(&self.client, &place.project, name).await?;
        self.cache.executions.put(&found);
        if found.metadata.deletion_timestamp.is_some() {
            return Err(Fault::not_found("execution", name));
        }
        Ok(found)
    }
}
