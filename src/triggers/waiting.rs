//! A run that is about to be accepted, counted among those that wait.
//!
//! The status of a Job is some time behind. What this process accepts meanwhile is added to it, from before the create on,
//! so that a thousand requests at the same time do not all find the same place free.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

/// A run that is about to be accepted. It counts until it is dropped, or for good once it [was accepted](Self::accepted).
#[derive(Debug, Default)]
#[must_use]
pub struct Waiting(Option<Arc<AtomicI64>>);

impl Waiting {
    /// One more; and how many were counted before it.
    pub(super) fn after(counter: Arc<AtomicI64>) -> (Self, i64) {
        let before = counter.fetch_add(1, Ordering::Relaxed);
        (Self(Some(counter)), before.max(0))
    }

    /// It exists now, and the Job's status will say so.
    pub fn accepted(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(counter) = self.0.take() {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_accepted_goes_on_counting() {
        let counter = Arc::new(AtomicI64::new(0));
        let (first, none) = Waiting::after(counter.clone());
        let (second, one) = Waiting::after(counter.clone());
        assert_eq!((none, one), (0, 1));
        first.accepted();
        drop(second);
        assert_eq!(counter.load(Ordering::Relaxed), 1);
    }
}
