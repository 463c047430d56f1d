//! The controller of batch/v1 Jobs: Indexed and plain completion, retries per index, failure and success policies, suspension,
//! deadlines, and deletion after `ttlSecondsAfterFinished`.
//!
//! | part | files |
//! |---|---|
//! | what a Job asks for | [`terms`], [`policy`], [`names`] |
//! | what its Pods amount to | [`attempt`], [`tally`], [`indexes`], [`backoff`] |
//! | the decision, pure | [`decide`], from [`ending`], [`demand`], [`settle`] |
//! | the Pods it makes | [`template`] |

mod attempt;
mod backoff;
mod decide;
mod demand;
mod ending;
mod indexes;
mod names;
mod policy;
mod settle;
#[cfg(test)]
mod simulation;
mod tally;
mod template;
mod terms;
