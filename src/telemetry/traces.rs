//! Traces: where spans go besides the log, and what is kept of them.

use std::time::Duration;

use clap::Args;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// What this program is called where traces are shown.
const SERVICE: &str = "kakehi";
/// Time for one batch of spans. Spans that wait meanwhile are few; what does not fit is dropped, never waited for.
const EXPORT: Duration = Duration::from_secs(5);
/// Time for the last batch, at the end of the process.
const FLUSH: Duration = Duration::from_secs(2);

/// Flags of the traces.
#[derive(Debug, Clone, Default, Args)]
pub struct TraceOptions {
    /// Where traces are sent by OTLP over gRPC, such as `http://collector:4317`; nowhere without it. With `https`, the
    /// system's roots of trust are believed
    #[arg(long, value_name = "URL", env = "KAKEHI_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// Sends spans in batches from a thread of its own.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Nothing is sent yet. Must be called inside a runtime.
    pub(super) fn to(endpoint: &str) -> Result<Self, ExporterBuildError> {
        let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT);
        if endpoint.starts_with("https:") {
            // Without this no certificate would be trusted.
            exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
        }
        let exporter = exporter.build()?;
        let resource = Resource::builder().with_service_name(SERVICE).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider })
    }

    /// What makes spans.
    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer(SERVICE)
    }

    /// Sends what is left.
    pub(super) async fn finish(self) {
        let flushing = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        match flushing.await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last traces were not sent");
            }
        }
    }
}
