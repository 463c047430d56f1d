//! The containers of a Pod in their order, each as often as the Pod's restart policy wants.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::local::runner::backoff::Backoff;
use crate::local::runner::launch::ContainerLaunch;
use crate::local::runner::state::{Activity, ContainerState, Exit, PodState, restarts};
use crate::local::runner::worker::{Worker, waiting};

/// The longest pause before a container is started again, and how long it must have run for the pauses to start over: the kubelet's.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const FORGIVEN: Duration = Duration::from_secs(600);

/// Which of a Pod's containers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Init(usize),
    Main(usize),
}

impl Slot {
    fn of(self, state: &mut PodState) -> Option<&mut ContainerState> {
        match self {
            Self::Init(at) => state.init.get_mut(at),
            Self::Main(at) => state.main.get_mut(at),
        }
    }

    fn is_init(self) -> bool {
        matches!(self, Self::Init(_))
    }
}

impl Worker {
    /// Runs all containers; returns when none of them runs and none will.
    pub(super) async fn containers(&self) {
        let Some(launch) = self.prepare().await else { return };
        for (at, container) in launch.init.iter().enumerate() {
            if !self.supervise(Slot::Init(at), container).await {
                return;
            }
        }
        let main = launch.main.iter().enumerate();
        join_all(main.map(|(at, container)| self.supervise(Slot::Main(at), container))).await;
    }

    /// Runs one container until it has ended for good; tells whether it succeeded.
    async fn supervise(&self, slot: Slot, launch: &ContainerLaunch) -> bool {
        let policy = self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let mut stop = self.stopping();
        let first = self.context.options.restart_backoff;
        let mut backoff = Backoff::new(first, LONGEST_PAUSE);
        let mut number = 0;
        loop {
            if stop.borrow().is_some() {
                return false;
            }
            let started = Instant::now();
            let exit = self.attempt(slot, launch, number).await;
            let code = exit.code;
            if stop.borrow().is_some() || !restarts(policy, code, slot.is_init()) {
                self.show(slot, |container| container.activity = Activity::Terminated(exit));
                return code == 0;
            }
            if started.elapsed() >= FORGIVEN {
                backoff.reset();
            }
            let pause = backoff.next();
            self.show_backoff(slot, &launch.name, exit, pause);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                stopped = stop.wait_for(Option::is_some) => {
                    drop(stopped);
                    self.show_last(slot);
                    return false;
                }
            }
            number += 1;
        }
    }

    pub(super) fn show(&self, slot: Slot, change: impl FnOnce(&mut ContainerState)) {
        self.state.send_modify(|state| {
            if let Some(container) = slot.of(state) {
                change(container);
            }
        });
    }

    pub(super) fn show_running(&self, slot: Slot, number: u32, since: Timestamp) {
        self.show(slot, |container| {
            container.activity = Activity::Running { since };
            container.restarts = number;
        });
    }

    fn show_backoff(&self, slot: Slot, name: &str, exit: Exit, pause: Duration) {
        let (namespace, pod) = self.names();
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        let message = format!(
            "back-off {}s restarting failed container={name} pod={pod}_{namespace}({uid})",
            pause.as_secs()
        );
        self.show(slot, |container| {
            container.activity = waiting("CrashLoopBackOff", message);
            container.last = Some(exit);
        });
    }

    /// A container that will not be restarted after all ended as it ended last.
    fn show_last(&self, slot: Slot) {
        self.show(slot, |container| {
            if let Some(exit) = container.last.take() {
                container.activity = Activity::Terminated(exit);
            }
        });
    }
}
