//! Who made a Job, and who changed it last: kept with it, in the annotations in which v1 shows both.
//!
//! The names are those by which Kubernetes knows callers. Where nobody is asked who he is, nobody is named. What a client
//! sends of this is not believed. Whoever writes Jobs past this API can write there what he likes: it tells people whom to
//! ask, and no decision rests on it.

use super::CloudRun;
use super::convert::{CREATOR, LAST_MODIFIER};
use super::fault::Fault;
use crate::api::Job;

impl CloudRun {
    /// The Job as the caller may have it written, with his name. One that is not stored yet he makes.
    pub(super) async fn authored(&self, mut job: Job) -> Result<Job, Fault> {
        self.allow_account(&job).await?;
        let is_stored = job.metadata.uid.is_some();
        let signed: &[&str] = if is_stored { &[LAST_MODIFIER] } else { &[CREATOR, LAST_MODIFIER] };
        let annotations = job.metadata.annotations.get_or_insert_default();
        for key in signed {
            match self.user() {
                Some(user) => annotations.insert((*key).to_owned(), user.to_owned()),
                None => annotations.remove(*key),
            };
        }
        if annotations.is_empty() {
            job.metadata.annotations = None;
        }
        Ok(job)
    }
}
