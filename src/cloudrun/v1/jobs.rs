//! Jobs: made, read, replaced, run, deleted.

use tonic::Code;

use super::shape::{API_VERSION, Job, List, ListMetadata, RunRequest};
use super::{Listing, read, shape, show};
use crate::api;
use crate::cloudrun::CloudRun;
use crate::cloudrun::access::of_run;
use crate::cloudrun::fault::Fault;
use crate::cloudrun::jobs::{TRIES, checked};
use crate::cloudrun::messages::v2;
use crate::cloudrun::names::Place;
use crate::cloudrun::paging::{Page, newest_first, position};
use crate::ops::{self, Mode};

impl CloudRun {
    pub(super) async fn v1_jobs(&self, place: &Place, listing: Listing) -> Result<List<Job>, Fault> {
        let shown = |job: &api::Job| show::job(job, &place.location);
        let mut all = self.jobs(place).await?;
        let Listing { selector, limit, token } = listing;
        all.retain(|job| selector.matches(&shown(job).metadata.labels));
        let (found, next) = match limit {
            // A client that sets no limit reads no second page.
            None => (newest_first(all, |job| position(job.as_ref())), String::new()),
            Some(limit) => Page::of(format!("jobs of {}", place.project), limit, &token)?
                .cut(all, |job| position(job.as_ref())),
        };
        Ok(List {
            api_version: API_VERSION,
            kind: "JobList",
            metadata: ListMetadata { next },
            items: found.iter().map(|job| shown(job)).collect(),
        })
    }

    pub(super) async fn v1_job(&self, place: &Place, name: &str) -> Result<Job, Fault> {
        Ok(show::job(&*self.job(&place.job(name)).await?, &place.location))
    }

    pub(super) async fn v1_create(
        &self,
        place: &Place,
        message: shape::Job,
        dry_run: bool,
    ) -> Result<Job, Fault> {
        let name = message.metadata.name.clone();
        if name.is_empty() {
            return Err(Fault::invalid_field("metadata.name", "is needed"));
        }
        let wanted = read::job(message, &place.project, checked(&name)?, None)?;
        let mode = Mode::validate_only(dry_run);
        let wanted = self.authored(wanted).await?;
        let written = ops::create(&self.client, &wanted, mode).await?;
        Ok(self.kept(&written, place, mode))
    }

    pub(super) async fn v1_replace(
        &self,
        place: &Place,
        name: &str,
        message: shape::Job,
        dry_run: bool,
    ) -> Result<Job, Fault> {
        let mode = Mode::validate_only(dry_run);
        for _ in 1..TRIES {
            match self.replace_once(place, name, message.clone(), mode).await {
                // Its status has changed, or somebody was quicker; that is read before it is decided again.
                Err(fault) if fault.code == Code::Aborted && !fault.is_stale() => {}
                done => return done,
            }
        }
        self.replace_once(place, name, message, mode).await
    }

    async fn replace_once(
        &self,
        place: &Place,
        name: &str,
        message: shape::Job,
        mode: Mode,
    ) -> Result<Job, Fault> {
        let old = self.live_job(&place.job(name)).await?;
        let sent = &message.metadata.resource_version;
        if !sent.is_empty() && *sent != show::version(&old.metadata) {
            return Err(Fault::stale("job", name));
        }
        let wanted = read::job(message, &place.project, name, Some(&old))?;
        let wanted = self.authored(wanted).await?;
        let written = ops::replace(&self.client, &wanted, mode).await?;
        Ok(self.kept(&written, place, mode))
    }

    /// Shows what was written, to everybody from now on.
    fn kept(&self, written: &api::Job, place: &Place, mode: Mode) -> Job {
        if mode == Mode::Commit {
            self.cache.jobs.put(written);
        }
        show::job(written, &place.location)
    }

    pub(super) async fn v1_delete_job(&self, place: &Place, name: &str, dry_run: bool) -> Result<(), Fault> {
        let name = place.job(name).to_string();
        let request = v2::DeleteJobRequest { name, validate_only: dry_run, etag: String::new() };
        self.delete_job(request).await.map(drop)
    }

    pub(super) async fn v1_run(
        &self,
        place: &Place,
        name: &str,
        message: RunRequest,
        nonce: Option<&str>,
    ) -> Result<shape::Execution, Fault> {
        let overrides = read::overrides(message)?;
        let name = place.job(name);
        let changes = overrides.as_ref().is_some_and(|overrides| *overrides != api::Overrides::default());
        self.allow(&of_run(&name, changes)).await?;
        let job = self.live_job(&name).await?;
        let id = self.request_id.nonce(self.user())?;
        let begun =
            ops::run_with(&self.client, &job, id.as_deref().or(nonce), overrides.as_ref(), Mode::Commit)
                .await?;
        self.cache.executions.put(&begun);
        Ok(self.v1_shown(&begun, place))
    }
}
