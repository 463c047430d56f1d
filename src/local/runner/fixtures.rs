//! Objects for the tests of the runner's pure parts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use crate::local::runner::launch::{Host, Sources};
use crate::local::runner::node::NodeFacts;

/// A Pod from the YAML that a test is about.
pub(super) fn pod(yaml: &str) -> Pod {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

pub(super) fn node() -> NodeFacts {
    NodeFacts { name: "laptop".to_owned(), address: "127.0.0.1".to_owned(), cpus: 8, memory: 16 << 30 }
}

pub(super) fn host() -> Host {
    let inherited = [("PATH", "/usr/bin:/bin"), ("HOME", "/home/me")];
    Host {
        node: node(),
        inherited: inherited.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
    }
}

/// The `ConfigMap` `cm` and the Secret `sec`.
pub(super) fn sources() -> Sources {
    let mut sources = Sources::default();
    let config_map = serde_json::json!({
        "data": {"key": "value", "both": "from-config", "reference": "$(key)"},
        "binaryData": {"binary": "/w=="},
    });
    sources.add_config_map("cm", serde_json::from_value(config_map).unwrap());
    let data: BTreeMap<_, _> =
        [("password", "aHVudGVyMg=="), ("both", "ZnJvbS1zZWNyZXQ="), ("raw", "//4=")].into();
    sources.add_secret("sec", serde_json::from_value(serde_json::json!({ "data": data })).unwrap());
    sources
}
