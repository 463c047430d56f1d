//! Which Jobs led to an event that tells the end of a run, so that no Job runs because of itself.
//!
//! Such an event names them in the extension `kakehichain`: those that its own event named, and the Job of the run. The
//! guard is where events are taken: one that names the Job that it would run is taken and starts nothing, so that a
//! circle ends after one turn, however many Jobs and Brokers are in it. A Job that wants its own ends says `allowLoop`.

use crate::api::{EXTENSION_CHAIN, Execution, ExtensionValue, Job};
use crate::event::Event;

/// Jobs that a chain names at most; what has come through as many runs nothing more. At 110 bytes each they stay far
/// below what headers can hold.
const MAX_CHAIN: usize = 32;

/// The chain of the event that tells the end of `execution`.
pub(super) fn chain(execution: &Execution) -> Option<String> {
    let this = link(execution.metadata.namespace.as_deref(), &execution.spec.job.name)?;
    let before = execution.spec.events.first().and_then(|event| event.extensions.get(EXTENSION_CHAIN));
    let before = match before {
        Some(ExtensionValue::String(before)) => before.as_str(),
        _ => "",
    };
    // A Job that lets its own ends in is named once, or its chain would soon be too long.
    let mut links: Vec<&str> = links(before).filter(|link| *link != this).collect();
    links.push(&this);
    Some(links.join(","))
}

/// Whether `event` must not run `job`, because a run of that Job led to it.
pub(super) fn is_loop(job: &Job, event: &Event) -> bool {
    let chain = event.extensions().find(|(name, _)| *name == EXTENSION_CHAIN);
    let Some((_, value)) = chain else { return false };
    if job.spec.event.as_ref().is_some_and(|rules| rules.allow_loop) {
        return false;
    }
    let this = link(job.metadata.namespace.as_deref(), job.metadata.name.as_deref().unwrap_or_default());
    let chain = value.as_ref().text();
    links(&chain).count() >= MAX_CHAIN || links(&chain).any(|link| Some(link) == this.as_deref())
}

/// How a chain names a Job. A name that no Job can have is not named.
fn link(namespace: Option<&str>, name: &str) -> Option<String> {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'/')
    };
    let namespace = namespace.unwrap_or_default();
    (plain(namespace) && plain(name)).then(|| format!("{namespace}/{name}"))
}

fn links(chain: &str) -> impl Iterator<Item = &str> {
    chain.split(',').map(str::trim).filter(|link| !link.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EventRecord, EventRules, ExecutionSpec, JobReference, JobSpec};

    fn run(job: &str, chain: Option<&str>) -> Execution {
        let extensions =
            chain.map(|chain| (EXTENSION_CHAIN.to_owned(), ExtensionValue::String(chain.to_owned())));
        let event = EventRecord { extensions: extensions.into_iter().collect(), ..EventRecord::default() };
        let spec = ExecutionSpec {
            job: JobReference { name: job.to_owned(), ..JobReference::default() },
            events: vec![event],
            ..ExecutionSpec::default()
        };
        let mut run = Execution::new("x", spec);
        run.metadata.namespace = Some("shop".to_owned());
        run
    }

    fn job(name: &str, allow_loop: bool) -> Job {
        let event = Some(EventRules { allow_loop, ..EventRules::default() });
        let mut job = Job::new(name, JobSpec { event, ..JobSpec::default() });
        job.metadata.namespace = Some("shop".to_owned());
        job
    }

    fn event(chain: Option<&str>) -> Event {
        let builder = Event::builder().required("1", "/s", "t");
        let builder = if let Some(chain) = chain { builder.set(EXTENSION_CHAIN, chain) } else { builder };
        builder.build().unwrap()
    }

    #[test]
    fn a_chain_grows_by_the_job_of_each_run() {
        assert_eq!(chain(&run("a", None)).as_deref(), Some("shop/a"));
        assert_eq!(chain(&run("b", Some("shop/a"))).as_deref(), Some("shop/a,shop/b"));
        assert_eq!(
            chain(&run("a", Some("shop/a, shop/b"))).as_deref(),
            Some("shop/b,shop/a"),
            "it stays finite"
        );
        assert_eq!(chain(&run("a\nb", None)), None);
    }

    #[test]
    fn a_job_does_not_run_because_of_itself_however_long_the_way() {
        assert!(!is_loop(&job("a", false), &event(None)));
        assert!(is_loop(&job("a", false), &event(Some("shop/a"))));
        assert!(is_loop(&job("a", false), &event(Some("shop/a,shop/b"))));
        assert!(!is_loop(&job("c", false), &event(Some("shop/a,shop/b"))));
        assert!(!is_loop(&job("a", false), &event(Some("other/a,shop/aa"))));
        assert!(!is_loop(&job("a", true), &event(Some("shop/a"))), "a Job may want its own ends");
    }

    #[test]
    fn a_chain_without_end_ends() {
        let long = vec!["other/x"; MAX_CHAIN].join(",");
        assert!(is_loop(&job("a", false), &event(Some(&long))));
        let nearly = vec!["other/x"; MAX_CHAIN - 1].join(",");
        assert!(!is_loop(&job("a", false), &event(Some(&nearly))));
    }
}
