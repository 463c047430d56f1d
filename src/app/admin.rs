//! The port for whoever runs the process: does it live, is it ready and if not why, and what has it counted.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// Says what is amiss, in words for people; nothing if all is well. Asked at every request, so it must be quick.
pub(super) type Probe = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What the port tells.
#[derive(Default)]
pub(super) struct Admin {
    /// What keeps the process from its work.
    pub(super) ready: Vec<Probe>,
    /// What only a restart can mend.
    pub(super) alive: Vec<Probe>,
    /// What was counted.
    pub(super) counted: Registry,
}

impl Admin {
    /// The routes.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(async |State(admin): State<Arc<Admin>>| answer(&admin.alive)))
            .route("/readyz", get(async |State(admin): State<Arc<Admin>>| answer(&admin.ready)))
            .route("/metrics", get(async |State(admin): State<Arc<Admin>>| metrics(&admin.counted)))
            .with_state(Arc::new(self))
    }
}

/// 200 if nothing is amiss, else 503 with a line for each thing that is.
fn answer(probes: &[Probe]) -> (StatusCode, String) {
    let mut amiss: Vec<String> = Vec::new();
    for reason in probes.iter().filter_map(|probe| probe()) {
        // Two roles often wait for the same thing.
        if !amiss.contains(&reason) {
            amiss.push(reason);
        }
    }
    if amiss.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, amiss.join("\n") + "\n")
    }
}

/// Everything that was counted, in the `OpenMetrics` text format.
fn metrics(counted: &Registry) -> Result<impl IntoResponse + use<>, StatusCode> {
    let mut text = String::new();
    encode(&mut text, counted).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_amiss_is_told() {
        let amiss = |words: &'static str| -> Probe { Box::new(move || Some(words.to_owned())) };
        let well: Probe = Box::new(|| None);
        assert_eq!(answer(&[]), (StatusCode::OK, "ok\n".to_owned()));
        let (status, text) = answer(&[amiss("cold"), well, amiss("stopping"), amiss("cold")]);
        assert_eq!((status.as_u16(), text.as_str()), (503, "cold\nstopping\n"));
    }
}
