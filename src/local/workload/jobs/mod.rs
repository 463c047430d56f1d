//! The controller of batch/v1 Jobs: Indexed and plain completion, retries per index, failure and success policies, suspension,
//! deadlines, and deletion after `ttlSecondsAfterFinished`.
//!
//! | part | files |
//! |---|---|
//! | what a Job asks for | [`terms`], [`policy`], [`names`] |
//! | what its Pods amount to | [`attempt`], [`tally`], [`indexes`], [`backoff`] |
//! | the decision, pure | [`decide`], from [`ending`], [`demand`], [`settle`] |
//! | the Pods it makes | [`template`] |
//! | the shell | [`controller`] with [`cache`] and [`queue`]; [`apply`], [`announce`] |
//!
//! Where it differs from Kubernetes: an index that waits for its retry does not hold up the indexes after it; the last status of a Job
//! is one write instead of two; a status that nobody waits for is written a little later.

mod announce;
mod apply;
mod attempt;
mod backoff;
mod cache;
mod controller;
mod decide;
mod demand;
mod ending;
mod indexes;
mod names;
mod policy;
mod queue;
mod settle;
#[cfg(test)]
mod simulation;
mod tally;
mod template;
mod terms;

pub(super) use controller::Settings;
pub(super) use controller::run;
