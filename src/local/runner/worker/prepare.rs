//! Before the first process: fetching what the Pod refers to, planning, and writing its files.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use crate::local::runner::backoff::Backoff;
use crate::local::runner::launch::{self, Launch, Reference, Refusal, SourceKind, Sources};
use crate::local::runner::materialise;
use crate::local::runner::worker::{Worker, blocking, waiting};

/// Pauses between looks for something missing. The longest is below the kubelet's, as looking is cheap here.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Worker {
    /// Gets everything ready; waits for what is missing. `None`: the Pod is doomed or is to stop.
    pub(super) async fn prepare(&self) -> Option<Launch> {
        let mut stop = self.stopping();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (reason, message) = match self.plan().await {
                Ok(launch) => match self.materialise(launch).await {
                    Ok(launch) => return stop.borrow().is_none().then_some(launch),
                    Err(error) => ("CreateContainerError", format!("cannot write the pod's files: {error}")),
                },
                Err(Refusal::Config(message)) => ("CreateContainerConfigError", message),
                Err(Refusal::Invalid { reason, message }) => {
                    self.doom(reason, &message, false).await;
                    return None;
                }
            };
            self.wait_for(reason, message);
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                stopped = stop.wait_for(Option::is_some) => {
                    drop(stopped);
                    return None;
                }
            }
        }
    }

    /// Shows at the containers that would start next what they wait for.
    fn wait_for(&self, reason: &'static str, message: String) {
        self.state.send_if_modified(|state| {
            let next = if state.init.is_empty() { &mut state.main[..] } else { &mut state.init[..1] };
            let activity = waiting(reason, message);
            let changed = next.iter().any(|container| container.activity != activity);
            for container in next {
                container.activity = activity.clone();
            }
            changed
        });
    }

    async fn plan(&self) -> Result<Launch, Refusal> {
        // What can never work is told without asking for anything.
        let references = self.pod.spec.as_ref().map(launch::references).unwrap_or_default();
        launch::check(&self.pod)?;
        let mut sources = Sources::default();
        for fetched in join_all(references.into_iter().map(|reference| self.fetch(reference))).await {
            match fetched? {
                Some(Fetched::ConfigMap(name, object)) => sources.add_config_map(&name, object),
                Some(Fetched::Secret(name, object)) => sources.add_secret(&name, object),
                None => {}
            }
        }
        launch::plan(&self.pod, &sources, &self.context.host, &self.directory)
    }

    async fn fetch(&self, (kind, name): Reference) -> Result<Option<Fetched>, Refusal> {
        if name.is_empty() {
            return Ok(None);
        }
        let (client, namespace) = (self.context.client.clone(), self.names().0);
        let fetched = match kind {
            SourceKind::ConfigMap => {
                let found = Api::<ConfigMap>::namespaced(client, namespace).get_opt(&name).await;
                found.map(|found| found.map(|object| Fetched::ConfigMap(name.clone(), object)))
            }
            SourceKind::Secret => {
                let found = Api::<Secret>::namespaced(client, namespace).get_opt(&name).await;
                found.map(|found| found.map(|object| Fetched::Secret(name.clone(), object)))
            }
        };
        fetched.map_err(|error| Refusal::Config(format!("cannot read {} {name:?}: {error}", kind.word())))
    }

    async fn materialise(&self, launch: Launch) -> std::io::Result<Launch> {
        let directory = self.directory.clone();
        let launch = blocking(move || materialise::materialise(&launch, &directory).map(|()| launch)).await?;
        // Without it a runner that is started again would not know that this Pod has run, and run it twice.
        self.write_identity().await?;
        Ok(launch)
    }
}

enum Fetched {
    ConfigMap(String, ConfigMap),
    Secret(String, Secret),
}
