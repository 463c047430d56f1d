//! Whole runs, from the event at the sink to the recorded end, while the API server fails in every way it can.
//!
//! The sink and the controllers each have a wire of their own to the API server ([`crate::support::wire`]), with faults on
//! it; the Job controller and the runner are left alone. What really happened is counted beyond the faults.

mod cost;
mod directed;
mod steady;
mod storm;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use axum::Router;
use http::Method;
use k8s_openapi::NamespaceResourceScope;
use kakehi::api::{Execution, Job};
use kakehi::ops;
use kakehi::plan::{self, Phase};
use kakehi::sink::{Options, Sink};
use kakehi::triggers::Triggers;
use kube::Resource;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::runs::House;
use crate::sink::event;
use crate::support::wire::Wire;
use crate::support::{DEADLINE, eventually};

/// A machine that runs Jobs, and a sink, both behind a bad network.
struct Machine {
    house: House,
    sink: Router,
    /// Between the sink and the API server.
    wire: Wire,
    _running: DropGuard,
}

impl Machine {
    /// Everything runs but the controllers.
    async fn start() -> Self {
        let (house, wire, shutdown) =
            (House::without_controllers().await, Wire::default(), CancellationToken::new());
        let upstream = wire.over(&house.client);
        let triggers = Triggers::new(upstream.clone()).within(&house.namespace);
        let sink = Sink::new(upstream, triggers.clone(), Options::default(), shutdown.clone());
        let token = shutdown.clone();
        tokio::spawn(async move { triggers.run(token).await });
        Self { house, sink: sink.router(), wire, _running: shutdown.drop_guard() }
    }

    async fn count<K>(&self) -> usize
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        self.house.api::<K>().list(&ListParams::default()).await.unwrap().items.len()
    }

    /// Sends an event to a Job as a sender does that never gives up, and returns the run's name. Whatever is not an
    /// acceptance must be one of the answers after which every sender tries again, and say when.
    async fn send(&self, job: &str, id: &str) -> String {
        let path = format!("/namespaces/{}/jobs/{job}", self.house.namespace);
        eventually(&format!("event {id} is accepted"), async || {
            let answer = self.sink.clone().oneshot(event(&path, id)).await.unwrap();
            let code = answer.status().as_u16();
            if code == 202 {
                let location = answer.headers()["location"].to_str().unwrap();
                return Ok(location.rsplit('/').next().unwrap().to_owned());
            }
            assert!([429, 503].contains(&code), "a sender would drop event {id}: {code}");
            assert!(answer.headers().contains_key("retry-after"), "{code}");
            Err(code)
        })
        .await
    }

    /// Waits for the end of a run, which must be a good one.
    async fn succeeds(&self, run: &str) -> Execution {
        let ended = self.house.ended(run).await;
        assert_eq!(plan::phase(&ended), Phase::Succeeded, "{:#?}", ended.status);
        ended
    }

    /// How many task sets were ever made by the controllers.
    fn task_sets_made(&self) -> usize {
        self.house.wire.writes("POST /apis/batch/v1/").len()
    }
}
