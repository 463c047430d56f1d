//! What the scenarios stand on: waiting for a state with a deadline.
#![allow(dead_code, reason = "each behaviour uses its own part")]

pub(crate) mod cluster;
pub(crate) mod differences;
pub(crate) mod faults;
pub(crate) mod local;
pub(crate) mod process;
pub(crate) mod wire;

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a scenario waits for a state that is reached in milliseconds on an idle machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until `probe` answers `Ok`, and panics with its last answer when that takes too long.
pub(crate) async fn eventually<T, E: Debug>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        match probe().await {
            Ok(found) => return found,
            Err(last) if start.elapsed() > DEADLINE => {
                panic!("{what}: not within {DEADLINE:?}; last: {last:?}")
            }
            Err(_) => {}
        }
    }
}
