//! Who may lead: what a candidate does next, from what it saw of the Lease and when it saw it.
//!
//! The rules are those of client-go's leader election, so that both kinds of clients could share a Lease:
//!
//! - A Lease is held until its duration has passed **since this candidate last saw it change**. The times written in it
//!   are for people; clocks of different machines are never compared.
//! - Every write carries the resourceVersion that was seen, so that of two candidates one succeeds.
//! - Whoever ends in order leaves the Lease without a holder.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use tokio::time::Instant;

/// What a candidate knows.
#[derive(Debug)]
pub(super) struct Candidate {
    name: String,
    identity: String,
    duration: Duration,
    seen: Option<Seen>,
}

/// The Lease as it was when it last changed.
#[derive(Debug)]
struct Seen {
    spec: LeaseSpec,
    at: Instant,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Create this Lease; whoever succeeds leads.
    Create(Lease),
    /// Replace the Lease by this one; whoever succeeds leads.
    Replace(Lease),
    /// Another one leads.
    Wait,
}

impl Candidate {
    /// One that has seen nothing. `identity` must not be anybody else's, not even that of this machine's last process.
    pub(super) fn new(name: &str, identity: &str, duration: Duration) -> Self {
        Self { name: name.to_owned(), identity: identity.to_owned(), duration, seen: None }
    }

    /// Notes what the Lease is like at `now`.
    pub(super) fn look(&mut self, lease: &Lease, now: Instant) {
        let spec = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|seen| seen.spec != spec) {
            self.seen = Some(Seen { spec, at: now });
        }
    }

    /// What follows from the Lease as it is at `now`. `wall` is only written down.
    pub(super) fn step(&mut self, lease: Option<Lease>, now: Instant, wall: Timestamp) -> Step {
        if let Some(lease) = &lease {
            self.look(lease, now);
        }
        // Also where the Lease is gone: it may have been deleted while its holder still leads.
        if self.is_held(now) {
            return Step::Wait;
        }
        let Some(lease) = lease else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            return Step::Create(Lease { metadata, spec: Some(self.mine(LeaseSpec::default(), wall)) });
        };
        let spec = lease.spec.unwrap_or_default();
        Step::Replace(Lease { metadata: lease.metadata, spec: Some(self.mine(spec, wall)) })
    }

    /// Whether another one may lead at `now`.
    fn is_held(&self, now: Instant) -> bool {
        let Some(Seen { spec, at }) = &self.seen else { return false };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        !holder.is_empty() && holder != self.identity && now < *at + self.duration_of(spec)
    }

    /// How long a Lease holds that nobody renews: what its holder counts on.
    fn duration_of(&self, spec: &LeaseSpec) -> Duration {
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.filter(|seconds| *seconds > 0).map_or(self.duration, Duration::from_secs)
    }

    /// `spec` with us as the holder.
    fn mine(&self, spec: LeaseSpec, wall: Timestamp) -> LeaseSpec {
        let before = spec.holder_identity.as_deref();
        let is_ours = before == Some(self.identity.as_str());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            renew_time: Some(MicroTime(wall)),
            acquire_time: spec.acquire_time.filter(|_| is_ours).or(Some(MicroTime(wall))),
            lease_transitions: Some(
                spec.lease_transitions.unwrap_or(0) + i32::from(before.is_some() && !is_ours),
            ),
            preferred_holder: spec.preferred_holder,
            strategy: spec.strategy,
        }
    }

    /// `lease` without a holder, if it is ours.
    pub(super) fn released(&self, lease: Lease, wall: Timestamp) -> Option<Lease> {
        let spec =
            lease.spec.filter(|spec| spec.holder_identity.as_deref() == Some(self.identity.as_str()))?;
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            // For those that look at the duration alone.
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(wall)),
            acquire_time: Some(MicroTime(wall)),
            ..spec
        };
        Some(Lease { metadata: lease.metadata, spec: Some(spec) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);
    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn lease(holder: &str, renewal: i64, version: &str) -> Lease {
        let metadata = ObjectMeta {
            name: Some("l".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewal).unwrap())),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    fn candidate() -> Candidate {
        Candidate::new("l", "us", DURATION)
    }

    fn replaced(step: Step) -> (String, LeaseSpec) {
        let Step::Replace(lease) = step else { panic!("{step:?}") };
        (lease.metadata.resource_version.unwrap(), lease.spec.unwrap())
    }

    #[tokio::test]
    async fn a_lease_that_is_not_there_is_made() {
        let Step::Create(lease) = candidate().step(None, Instant::now(), WALL) else { panic!("no create") };
        let spec = lease.spec.unwrap();
        assert_eq!(lease.metadata.name.as_deref(), Some("l"));
        assert_eq!(spec.holder_identity.as_deref(), Some("us"));
        assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(15), Some(0)));
        assert_eq!(spec.acquire_time, Some(MicroTime(WALL)));
    }

    #[tokio::test]
    async fn a_lease_is_held_for_its_duration_after_it_was_seen_to_change() {
        let (mut us, start) = (candidate(), Instant::now());
        // Its times say nothing: far past and far future are the same.
        for (second, renewal) in [(0, 0), (14, 4_000_000_000), (28, 1), (42, -5_000_000_000)] {
            let now = start + Duration::from_secs(second);
            assert_eq!(us.step(Some(lease("other", renewal, "1")), now, WALL), Step::Wait, "{second}");
        }
        let last = lease("other", -5_000_000_000, "7");
        let now = start + Duration::from_secs(42) + DURATION;
        assert_eq!(us.step(Some(last.clone()), now - Duration::from_millis(1), WALL), Step::Wait);
        let (version, spec) = replaced(us.step(Some(last), now, WALL));
        assert_eq!((version.as_str(), spec.lease_transitions), ("7", Some(4)));
    }

    #[tokio::test]
    async fn the_holders_duration_counts_not_ours() {
        let (mut us, now) = (candidate(), Instant::now());
        let mut long = lease("other", 0, "1");
        long.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
        assert_eq!(us.step(Some(long.clone()), now, WALL), Step::Wait);
        assert_eq!(us.step(Some(long.clone()), now + Duration::from_secs(59), WALL), Step::Wait);
        replaced(us.step(Some(long), now + Duration::from_secs(60), WALL));
    }

    #[tokio::test]
    async fn what_does_not_concern_the_holder_prolongs_nothing() {
        let (mut us, now) = (candidate(), Instant::now());
        assert_eq!(us.step(Some(lease("other", 0, "1")), now, WALL), Step::Wait);
        let mut labelled = lease("other", 0, "2");
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        replaced(us.step(Some(labelled), now + DURATION, WALL));
    }

    #[tokio::test]
    async fn our_own_lease_is_renewed_at_any_time() {
        let (mut us, now) = (candidate(), Instant::now());
        let (version, spec) = replaced(us.step(Some(lease("us", 5, "9")), now, Timestamp::MAX));
        assert_eq!(version, "9");
        assert_eq!((spec.lease_transitions, spec.renew_time), (Some(3), Some(MicroTime(Timestamp::MAX))));
    }

    #[tokio::test]
    async fn a_lease_that_vanished_is_still_somebodys() {
        let (mut us, now) = (candidate(), Instant::now());
        assert_eq!(us.step(Some(lease("other", 0, "1")), now, WALL), Step::Wait);
        assert_eq!(us.step(None, now + Duration::from_secs(14), WALL), Step::Wait);
        assert!(matches!(us.step(None, now + DURATION, WALL), Step::Create(_)));
    }

    #[tokio::test]
    async fn what_was_released_is_free_at_once_and_only_ones_own_can_be() {
        let (mut other, now) = (Candidate::new("l", "other", DURATION), Instant::now());
        other.look(&lease("other", 0, "1"), now);
        assert_eq!(other.released(lease("us", 0, "1"), WALL), None);
        let free = other.released(lease("other", 0, "1"), WALL).unwrap();
        let mut us = candidate();
        assert_eq!(us.step(Some(lease("other", 0, "1")), now, WALL), Step::Wait);
        let (_, spec) = replaced(us.step(Some(free), now, WALL));
        assert_eq!((spec.lease_duration_seconds, spec.lease_transitions), (Some(15), Some(4)));
    }
}
