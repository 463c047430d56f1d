//! Whether the controllers know the world yet, for whoever asks if the process is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The caches of the controllers, as seen from outside. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Caches {
    cold: Arc<AtomicBool>,
}

impl Caches {
    /// Whether the controllers have begun and do not know every object yet: nothing is decided meanwhile. Controllers that
    /// have not begun, because another process leads, keep nobody waiting.
    pub fn are_cold(&self) -> bool {
        self.cold.load(Ordering::Acquire)
    }

    /// They are being filled.
    pub(super) fn fill(&self) -> Filling {
        self.cold.store(true, Ordering::Release);
        Filling(self.clone())
    }
}

/// Caches that are being filled, until this is dropped.
pub(super) struct Filling(Caches);

impl Drop for Filling {
    fn drop(&mut self) {
        self.0.cold.store(false, Ordering::Release);
    }
}
