//! Before the work begins: can everything be read that it needs? What is missing is told in words that say what to do,
//! once, instead of in the warnings of many watches. Somebody may still be installing it, so it is waited for.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use parking_lot::Mutex;

use super::admin::Probe;
use crate::api::{Execution, GROUP, Job, Trigger};

/// Time for one question.
const ANSWER: Duration = Duration::from_secs(5);
/// Pauses between two rounds: they double from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What the event sink reads.
pub(super) fn of_sink() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Trigger>(&()),
        ApiResource::erase::<Namespace>(&()),
    ]
}

/// What the API of Cloud Run reads.
pub(super) fn of_api() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Execution>(&()),
        ApiResource::erase::<batchv1::Job>(&()),
        ApiResource::erase::<Pod>(&()),
    ]
}

/// What the controllers read.
pub(super) fn of_controllers() -> Vec<ApiResource> {
    vec![
        ApiResource::erase::<Job>(&()),
        ApiResource::erase::<Trigger>(&()),
        ApiResource::erase::<Execution>(&()),
        ApiResource::erase::<batchv1::Job>(&()),
        ApiResource::erase::<Pod>(&()),
    ]
}

/// What is waited for, if anything. Cheap to clone.
#[derive(Clone)]
pub(super) struct Waiting(Arc<Mutex<Option<String>>>);

impl Waiting {
    /// Waiting for the first answer.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some("the API server has not answered yet".to_owned()))))
    }

    /// Tells it.
    pub(super) fn probe(&self) -> Probe {
        let waiting = self.clone();
        Box::new(move || waiting.0.lock().clone())
    }
}

/// Waits until all of that can be read: in that namespace, or in all.
pub(super) async fn pass(client: &Client, needs: &[ApiResource], namespace: Option<&str>, waiting: &Waiting) {
    let mut pause = PAUSE.0;
    loop {
        let missing = missing(client, needs, namespace).await;
        let before = std::mem::replace(&mut *waiting.0.lock(), missing.clone());
        let Some(missing) = missing else { return };
        if before.as_ref() != Some(&missing) {
            tracing::warn!(reason = missing, "waiting for the API server");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// The first thing that cannot be read, and what to do about it.
async fn missing(client: &Client, needs: &[ApiResource], namespace: Option<&str>) -> Option<String> {
    for resource in needs {
        match tokio::time::timeout(ANSWER, read(client, resource, namespace)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Some(explain(&error, resource)),
            Err(_) => return Some(format!("the API server did not answer within {} s", ANSWER.as_secs())),
        }
    }
    None
}

/// Reads a little of it.
async fn read(client: &Client, resource: &ApiResource, namespace: Option<&str>) -> Result<(), kube::Error> {
    let all: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let api = match namespace {
        None => all,
        // It belongs to no namespace; but to get it takes a right in itself only.
        Some(name) if *resource == ApiResource::erase::<Namespace>(&()) => {
            return all.get_metadata(name).await.map(drop);
        }
        Some(name) => Api::namespaced_with(client.clone(), name, resource),
    };
    api.list_metadata(&ListParams::default().limit(1)).await.map(drop)
}

fn explain(error: &kube::Error, resource: &ApiResource) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 && resource.group == GROUP => format!(
            "the API server does not know {}.{GROUP}; install the definitions: kakehi crd | kubectl apply -f -",
            resource.plural
        ),
        // Only the namespace itself is asked for by name.
        kube::Error::Api(status) if status.code == 404 && resource.group.is_empty() => {
            format!("there is nothing to look after: {}", status.message)
        }
        // In the API server's words, which name who may not do what.
        kube::Error::Api(status) if status.code == 403 => format!("a right is missing: {}", status.message),
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not accept our credentials".to_owned()
        }
        error => {
            let mut text = format!("the API server cannot be asked for {}", resource.plural);
            let mut cause: Option<&dyn std::error::Error> = Some(error);
            while let Some(error) = cause {
                // Transport errors like to repeat the words of what they wrap.
                let words = error.to_string();
                if !text.contains(&words) {
                    text.push_str(": ");
                    text.push_str(&words);
                }
                cause = error.source();
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "Reason").with_code(code).boxed())
    }

    #[test]
    fn what_to_do_is_said() {
        let ours = ApiResource::erase::<Trigger>(&());
        let words = explain(&refused(404, "404 page not found"), &ours);
        assert!(
            words.contains("triggers.run.kakehi.dev") && words.contains("kakehi crd | kubectl"),
            "{words}"
        );
        let denied = "jobs.batch is forbidden: User \"x\" cannot list resource \"jobs\" in API group \"batch\" at the cluster scope";
        let words = explain(&refused(403, denied), &ApiResource::erase::<batchv1::Job>(&()));
        assert_eq!(words, format!("a right is missing: {denied}"));
        let nowhere =
            explain(&refused(404, "namespaces \"shop\" not found"), &ApiResource::erase::<Namespace>(&()));
        assert_eq!(nowhere, "there is nothing to look after: namespaces \"shop\" not found");
        let words = explain(&refused(503, "starting"), &ApiResource::erase::<Pod>(&()));
        assert!(words.starts_with("the API server cannot be asked for pods: "), "{words}");
    }
}
