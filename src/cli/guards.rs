//! Bounds on what is under way at the same time, as flags.

use crate::plan::Guards;

/// Bounds on what is under way at the same time, over all Jobs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GuardFlags {
    /// Runs under way at a time, of all jobs together; the others wait, and namespaces take turns. 0 for no bound
    #[arg(long, value_name = "N", env = "KAKEHI_MAX_LIVE_JOBS", default_value_t = 5000)]
    max_live_jobs: u32,
    /// The same for each namespace; 0 for no bound
    #[arg(long, value_name = "N", env = "KAKEHI_MAX_LIVE_JOBS_PER_NAMESPACE", default_value_t = 0)]
    max_live_jobs_per_namespace: u32,
}

impl GuardFlags {
    /// The bounds that they stand for.
    pub(crate) fn guards(&self) -> Guards {
        let Self { max_live_jobs, max_live_jobs_per_namespace } = self;
        let bound = |number: u32| usize::try_from(number).ok().filter(|number| *number > 0);
        Guards { live: bound(*max_live_jobs), live_per_namespace: bound(*max_live_jobs_per_namespace) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        guards: GuardFlags,
    }

    #[test]
    fn zero_is_no_bound() {
        let guards = |line: &str| Line::parse_from(line.split(' ')).guards.guards();
        assert_eq!(guards("serve"), Guards { live: Some(5000), live_per_namespace: None });
        let given = "serve --max-live-jobs 0 --max-live-jobs-per-namespace 7";
        assert_eq!(guards(given), Guards { live: None, live_per_namespace: Some(7) });
    }
}
