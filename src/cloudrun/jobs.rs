//! The service Jobs.

use k8s_openapi::jiff::Timestamp;
use tonic::Code;

use super::convert::{self, read_job, read_overrides};
use super::fault::{Detail, Fault, Violation};
use super::messages::longrunning::Operation;
use super::messages::longrunning::operation::Result as Outcome;
use super::messages::v2;
use super::names::{JobName, Place};
use super::operations::{Handle, Verb, operation};
use super::paging::{Page, position};
use super::{CloudRun, check_etag};
use crate::api::{Execution, Job, MAX_JOB_NAME};
use crate::ops::{self, Mode};
use crate::plan::phase;

/// How often a change is tried again that somebody else's came before.
pub(super) const TRIES: usize = 5;

impl CloudRun {
    pub(super) async fn create_job(&self, request: v2::CreateJobRequest) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::CreateJobRequest { parent, job, job_id, validate_only } = request;
        let place = Place::parse("parent", &parent)?;
        let name = place.job(checked(&job_id)?);
        self.create(job.unwrap_or_default(), &name, Mode::validate_only(validate_only)).await
    }

    async fn create(&self, message: v2::Job, name: &JobName, mode: Mode) -> Result<Operation, Fault> {
        let wanted = read_job(message, name, None).map_err(|fault| within("job", fault))?;
        let wanted = self.authored(wanted).await?;
        let created = ops::create(&self.client, &wanted, mode).await.map_err(refused)?;
        Ok(self.job_operation(Verb::CreateJob, &created, &name.place, mode))
    }

    pub(super) async fn get_job(&self, request: v2::GetJobRequest) -> Result<v2::Job, Fault> {
        self.admit(&request).await?;
        let v2::GetJobRequest { name } = request;
        let name = JobName::parse("name", &name)?;
        let job = self.job(&name).await?;
        Ok(self.shown_job(&job, &name.place, None))
    }

    pub(super) async fn list_jobs(
        &self,
        request: v2::ListJobsRequest,
    ) -> Result<v2::ListJobsResponse, Fault> {
        self.admit(&request).await?;
        // What is deleted is gone: there is nothing more to show.
        let v2::ListJobsRequest { parent, page_size, page_token, show_deleted: _ } = request;
        let place = Place::parse("parent", &parent)?;
        let page = Page::of(format!("jobs of {}", place.project), page_size, &page_token)?;
        let all = self.jobs(&place).await?;
        let (found, next_page_token) = page.cut(all, |job| position(job.as_ref()));
        let jobs = found.iter().map(|job| self.shown_job(job, &place, None)).collect();
        Ok(v2::ListJobsResponse { jobs, next_page_token })
    }

    pub(super) async fn update_job(&self, request: v2::UpdateJobRequest) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::UpdateJobRequest { job, validate_only, allow_missing } = request;
        let Some(message) = job else { return Err(Fault::invalid_field("job", "is needed")) };
        let name = JobName::parse("job.name", &message.name)?;
        let mode = Mode::validate_only(validate_only);
        for _ in 1..TRIES {
            match self.update(&message, &name, mode).await {
                // Its status has changed, or somebody was quicker; what they wrote is read before it is decided again.
                Err(fault) if fault.code == Code::Aborted && !fault.is_stale() => {}
                Err(fault) if fault.code == Code::NotFound && allow_missing => {
                    checked(&name.job)?;
                    return self.create(message, &name, mode).await;
                }
                done => return done,
            }
        }
        self.update(&message, &name, mode).await
    }

    async fn update(&self, message: &v2::Job, name: &JobName, mode: Mode) -> Result<Operation, Fault> {
        let old = self.live_job(name).await?;
        check_etag(&message.etag, &convert::etag(&old.metadata), "job", &name.job)?;
        let wanted = read_job(message.clone(), name, Some(&old)).map_err(|fault| within("job", fault))?;
        let wanted = self.authored(wanted).await?;
        let updated = ops::replace(&self.client, &wanted, mode).await.map_err(refused)?;
        Ok(self.job_operation(Verb::UpdateJob, &updated, &name.place, mode))
    }

    pub(super) async fn delete_job(&self, request: v2::DeleteJobRequest) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::DeleteJobRequest { name, validate_only, etag } = request;
        let name = JobName::parse("name", &name)?;
        let mode = Mode::validate_only(validate_only);
        for _ in 1..TRIES {
            match self.delete_once(&name, &etag, mode).await {
                Err(fault) if fault.code == Code::Aborted && !fault.is_stale() => {}
                done => return done,
            }
        }
        self.delete_once(&name, &etag, mode).await
    }

    async fn delete_once(&self, name: &JobName, etag: &str, mode: Mode) -> Result<Operation, Fault> {
        let job = self.live_job(name).await?;
        check_etag(etag, &convert::etag(&job.metadata), "job", &name.job)?;
        ops::delete_exactly(&self.client, &job, mode).await?;
        let now = (self.clock)();
        let shown = self.packed_job(&job, &name.place, Some(now));
        if mode == Mode::Validate {
            return Ok(Handle::validated(&name.place, shown));
        }
        self.cache.jobs.remove(&job);
        let handle = Handle::of_job(Verb::DeleteJob, &job).at(now);
        Ok(operation(&handle, &name.place, shown.clone(), Some(Outcome::Response(shown))))
    }

    pub(super) async fn run_job(&self, request: v2::RunJobRequest) -> Result<Operation, Fault> {
        self.admit(&request).await?;
        let v2::RunJobRequest { name, validate_only, etag, overrides } = request;
        let name = JobName::parse("name", &name)?;
        let overrides = overrides.map(read_overrides).transpose()?;
        let mode = Mode::validate_only(validate_only);
        let job = self.live_job(&name).await?;
        check_etag(&etag, &convert::etag(&job.metadata), "job", &name.job)?;
        let nonce = self.request_id.nonce(self.user())?;
        let execution = ops::run_with(&self.client, &job, nonce.as_deref(), overrides.as_ref(), mode).await?;
        Ok(self.execution_operation(Verb::Run, &execution, &name.place, mode))
    }

    /// The operation of what was done to a Job, which is now as it says.
    fn job_operation(&self, verb: Verb, job: &Job, place: &Place, mode: Mode) -> Operation {
        if mode == Mode::Validate {
            return Handle::validated(place, self.packed_job(job, place, None));
        }
        self.cache.jobs.put(job);
        self.operation_of_job(&Handle::of_job(verb, job), job, place)
    }

    /// The operation of what was done to an Execution, which is now as it says.
    pub(super) fn execution_operation(
        &self,
        verb: Verb,
        execution: &Execution,
        place: &Place,
        mode: Mode,
    ) -> Operation {
        if mode == Mode::Validate {
            return Handle::validated(place, self.packed_execution(execution, place, None));
        }
        self.cache.executions.put(execution);
        self.operation_of_execution(&Handle::of_execution(verb, execution), execution, place)
    }

    /// A Job as clients see it.
    pub(super) fn shown_job(&self, job: &Job, place: &Place, deleted: Option<Timestamp>) -> v2::Job {
        let latest = job.status.as_ref().and_then(|status| status.latest_created_execution.as_ref());
        let latest = latest.and_then(|latest| self.cache.executions.get(&place.project, &latest.name));
        convert::job(job, place, latest.map(|latest| phase(&latest)), deleted)
    }
}

/// The id of a Job that is to be made.
pub(super) fn checked(id: &str) -> Result<&str, Fault> {
    let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_label = id.chars().all(|letter| inner(letter) || letter == '-')
        && id.starts_with(inner)
        && id.ends_with(inner)
        && id.len() <= MAX_JOB_NAME;
    if is_label {
        return Ok(id);
    }
    let rule = format!(
        "{id:?} is no name of a job: small letters, digits and inner dashes, at most {MAX_JOB_NAME} of them"
    );
    Err(Fault::invalid_field("job_id", rule))
}

/// The same fault about fields of a message within the request.
pub(super) fn within(field: &str, fault: Fault) -> Fault {
    if fault.violations().is_empty() {
        return fault;
    }
    let inner = fault.violations().iter().map(|one| Violation {
        field: format!("{field}.{}", one.field),
        description: one.description.clone(),
    });
    Fault::invalid(inner.collect())
}

/// Why the API server does not take a Job, by the fields of the message.
fn refused(error: ops::Error) -> Fault {
    let mut fault = Fault::from(error);
    if let Detail::Fields(violations) = &mut fault.detail {
        for one in violations.iter_mut().filter(|one| !one.field.is_empty()) {
            one.field = format!("job.{}", convert::of_stored(&one.field));
        }
    }
    fault
}
