//! Whether the runs of a Job may use the `ServiceAccount` that it names, where somebody has to have said so.
//!
//! Kubernetes does not record who wrote a Job, and what an object says of its author anybody can write. So it is not the
//! author who is asked about here but the Jobs of a namespace together: they are a user, `kakehi:jobs:NAMESPACE`, and who
//! gives him the right to `use` or `impersonate` an account, by RBAC, lets runs use it. Nobody has credentials of such a
//! user, so the right is good for nothing else, and who may write Jobs but not role bindings gains none. There is no right
//! of a single Job: whoever may write Executions could name it. The account `default` is what every Pod has.

use std::collections::BTreeMap;

use kube::Client;

use crate::api::ExecutionTemplate;
use crate::auth::{self, Identity, Reviews, Right, Unavailable, Verb};
use crate::ops;

/// The account of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// Asks, if it is to be asked.
pub(super) struct Accounts {
    reviews: Option<Reviews>,
}

impl Accounts {
    pub(super) fn new(client: &Client, must_be_granted: bool) -> Self {
        Self { reviews: must_be_granted.then(|| Reviews::new(client.clone())) }
    }

    /// Whether that template asks for something that is to be asked about.
    pub(super) fn asks(&self, template: &ExecutionTemplate) -> bool {
        self.reviews.is_some() && account(template).is_some()
    }

    /// Why runs in that namespace may not use the account of that template; none if they may. Where it cannot be found
    /// out, that is an error that passes.
    pub(super) async fn refusal(
        &self,
        namespace: &str,
        template: &ExecutionTemplate,
    ) -> Result<Option<String>, ops::Error> {
        let (Some(reviews), Some(account)) = (&self.reviews, account(template)) else { return Ok(None) };
        let identity = Identity {
            user: format!("kakehi:jobs:{namespace}"),
            uid: None,
            groups: Vec::new(),
            extra: BTreeMap::new(),
            audiences: Vec::new(),
        };
        let to = |verb| Right::to_core(verb, "serviceaccounts", namespace).named(account);
        match reviews.allow(&identity, &[to(Verb::Use), to(Verb::Impersonate)]).await {
            Ok(()) => Ok(None),
            Err(auth::Error::Forbidden(message)) => Ok(Some(message)),
            Err(error) => Err(passing(error)),
        }
    }
}

/// The account that has to be allowed.
fn account(template: &ExecutionTemplate) -> Option<&str> {
    let account = template.spec.template.spec.service_account_name.as_deref();
    account.filter(|name| !name.is_empty() && *name != DEFAULT_ACCOUNT)
}

/// Nobody could say.
fn passing(error: auth::Error) -> ops::Error {
    match error {
        auth::Error::Unavailable(Unavailable::Server(source)) => ops::Error::Unavailable(source),
        auth::Error::Unavailable(Unavailable::TimedOut(after)) => {
            ops::Error::TimedOut { seconds: after.as_secs() }
        }
        auth::Error::Unavailable(_)
        | auth::Error::Forbidden(_)
        | auth::Error::Missing
        | auth::Error::Unauthenticated => {
            ops::Error::Nothing("it cannot be found out who may use a service account".to_owned())
        }
    }
}
