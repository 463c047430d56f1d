//! One part of a process: tasks that are started, watched and stopped together.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Fault};

/// Tasks with a name for messages and a token that asks them to end.
pub(super) struct Stage {
    name: &'static str,
    token: CancellationToken,
    tasks: JoinSet<Result<(), Fault>>,
}

impl Stage {
    /// One without tasks.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, token: CancellationToken::new(), tasks: JoinSet::new() }
    }

    /// Asks the tasks to end.
    pub(super) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task that ends when the token is cancelled, or because it cannot go on.
    pub(super) fn spawn<E: Into<Fault>>(
        &mut self,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { task.await.map_err(Into::into) });
    }

    /// Starts a task that cannot fail, only end.
    pub(super) fn spawn_endless(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            Ok(())
        });
    }

    /// Waits until a task ends although nobody asked it to: a fault that nothing else would show.
    pub(super) async fn ended(&mut self) -> Error {
        let source = match self.tasks.join_next().await {
            Some(Ok(Err(fault))) => Some(fault),
            // A panic has said on standard error what it was.
            Some(Ok(Ok(())) | Err(_)) => None,
            // A part that this process does not have cannot end.
            None => std::future::pending().await,
        };
        Error::Ended { part: self.name, source }
    }

    /// Asks the tasks to end and joins them; what still runs after `within` is dropped.
    pub(super) async fn stop(&mut self, within: Duration) -> Result<(), Error> {
        self.token.cancel();
        let joined = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(within, joined).await.is_ok() {
            return Ok(());
        }
        self.tasks.abort_all();
        Err(Error::Stuck { part: self.name, within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for something that should not come; a bound, not something that is waited for.
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_does_not_end_is_dropped_after_its_time() {
        let mut stage = Stage::new("a part");
        let kept = std::sync::Arc::new(());
        let held = kept.clone();
        stage.spawn_endless(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let stopped = stage.stop(SHORT).await;
        assert!(matches!(stopped, Err(Error::Stuck { part: "a part", .. })), "{stopped:?}");
        while stage.tasks.join_next().await.is_some() {}
        assert_eq!(std::sync::Arc::strong_count(&kept), 1);
    }

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_told() {
        let mut stage = Stage::new("a part");
        stage.spawn_endless(async {});
        assert_eq!(stage.ended().await.to_string(), "a part ended although nobody asked it to");
    }

    #[tokio::test]
    async fn a_part_without_tasks_neither_ends_nor_takes_time_to_stop() {
        let mut stage = Stage::new("nothing");
        assert!(tokio::time::timeout(SHORT, stage.ended()).await.is_err());
        assert!(stage.stop(Duration::ZERO).await.is_ok());
    }
}
