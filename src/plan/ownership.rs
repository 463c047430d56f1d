//! Whose an object is: the labels by which our children are selected and the reference that ties them to their
//! Execution, so that they go when it goes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use crate::api::{Execution, LABEL_EXECUTION, LABEL_JOB};

/// The labels that every child of `execution` carries.
pub(super) fn labels(execution: &Execution) -> BTreeMap<String, String> {
    let name = execution.metadata.name.clone().unwrap_or_default();
    BTreeMap::from([
        (LABEL_JOB.to_owned(), execution.spec.job.name.clone()),
        (LABEL_EXECUTION.to_owned(), name),
    ])
}

/// Selects the children of the Execution of that name.
pub fn selector(execution: &str) -> String {
    format!("{LABEL_EXECUTION}={execution}")
}

/// The reference that a child of `execution` carries.
pub(super) fn owner(execution: &Execution) -> OwnerReference {
    OwnerReference {
        api_version: Execution::api_version(&()).into_owned(),
        kind: Execution::kind(&()).into_owned(),
        name: execution.metadata.name.clone().unwrap_or_default(),
        uid: execution.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether the object with that metadata is a child of `execution`, and not another's of the same name.
pub fn owns(execution: &Execution, child: &ObjectMeta) -> bool {
    let uid = execution.metadata.uid.as_deref();
    let mut owners = child.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid)
}

/// Whether that is the child of an earlier Execution of the same name, which is about to go with it.
pub fn is_leftover(execution: &Execution, child: &ObjectMeta) -> bool {
    let name = execution.metadata.name.as_deref();
    let kind = Execution::kind(&());
    let mut owners = child.owner_references.iter().flatten();
    let earlier = owners.any(|owner| owner.kind == kind && Some(owner.name.as_str()) == name);
    !owns(execution, child) && (earlier || child.deletion_timestamp.is_some())
}
