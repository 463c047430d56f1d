//! Runs whose end is to be told, on their way from the watch to the courier.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::world::Key;
use crate::api::Execution;
use crate::plan;

/// Each with the lane that its event goes in. The courier takes them at once.
#[derive(Default)]
pub(super) struct Owed {
    runs: Mutex<Vec<(Key, String)>>,
    more: Notify,
}

impl Owed {
    /// Takes in a run as it is now, if its end is to be told.
    pub(super) fn observe(&self, key: &Key, execution: &Execution) {
        if !plan::owes_completion(execution) {
            return;
        }
        let Some(completion) = &execution.spec.completion else { return };
        let lane = plan::lane(&completion.sink, &key.0);
        self.runs.lock().push((key.clone(), lane));
        self.more.notify_one();
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<(Key, String)> {
        std::mem::take(&mut *self.runs.lock())
    }

    /// Waits until there is more.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}
