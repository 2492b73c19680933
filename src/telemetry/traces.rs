//! Exports spans by OTLP, as OpenTelemetry's environment variables say.
//!
//! Whoever ends a span puts it into a bounded queue; a task of the control plane sends batches. What finds no room, or
//! can't be sent, is counted and gone: no request waits for a collector.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tls::{Authorities, ClientConfig};

/// At the end, spans that wait are sent for so long at most.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A collector that takes nothing is complained of so often at most.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Why no spans can be exported, by the variable that says so.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// Another protocol is asked for.
    #[error("{variable}: {value}: use http/protobuf, the one protocol that is spoken here")]
    Protocol {
        /// Which says so.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// There are no certificates to know a collector by.
    #[error(
        "can't verify an https collector: no certificates of authorities were found; name a file in --otlp-certificate"
    )]
    Roots(#[source] std::io::Error),
    /// Those that were named can't be used.
    #[error("--otlp-certificate: {}: {problem}", path.display())]
    Certificate {
        /// Where they should be.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
    },
    /// The exporter can't be made.
    #[error("can't export traces")]
    Exporter(#[from] ExporterBuildError),
}

/// Where spans go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracesConfig {
    /// The collector, as `OTEL_EXPORTER_OTLP_ENDPOINT` names it: the path `v1/traces` is added.
    pub endpoint: Option<String>,
    /// The same for traces alone, as `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` does: taken as it is.
    pub traces_endpoint: Option<String>,
    /// Who vouches for an https collector, as `OTEL_EXPORTER_OTLP_CERTIFICATE` names the file; otherwise whom the system
    /// trusts.
    pub certificate: Option<PathBuf>,
}

/// The running export.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    stats: Stats,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Stats {
    exported: Counter,
    dropped: Family<DropLabels, Counter>,
    no_room: Counter,
    not_sent: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    reason: &'static str,
}

/// Takes spans where they end.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    no_room: Counter,
}

/// Sends them.
struct Export {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    stats: Stats,
    batch: usize,
    delay: Duration,
}

// === impl TracesConfig ===

impl TracesConfig {
    /// The address that spans are sent to; `None`: nobody wants them.
    fn target(&self) -> Option<String> {
        let is_off = |name, value: &str| env::var(name).is_ok_and(|found| found.eq_ignore_ascii_case(value));
        if is_off("OTEL_SDK_DISABLED", "true") || is_off("OTEL_TRACES_EXPORTER", "none") {
            return None;
        }
        let given = |endpoint: &Option<String>| endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        let base = || given(&self.endpoint).map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        given(&self.traces_endpoint).or_else(base)
    }

    fn certificate(&self) -> Option<PathBuf> {
        let of_traces = env::var_os("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE").map(PathBuf::from);
        of_traces.or_else(|| self.certificate.clone()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Starts the export on the calling runtime, if one is configured. Sampler, headers, timeout, queue and resource are
    /// those of `OTEL_*`.
    ///
    /// # Errors
    /// What is configured can't be done.
    pub fn start(&self) -> Result<Option<Traces>, TracesError> {
        let Some(target) = self.target() else { return Ok(None) };
        for variable in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            match env::var(variable) {
                Ok(value) if value == "http/protobuf" => break,
                Ok(value) if !value.is_empty() => return Err(TracesError::Protocol { variable, value }),
                _ => {}
            }
        }
        let builder = SpanExporter::builder().with_http().with_endpoint(target.clone());
        // The exporter has a time limit of its own, from `OTEL_EXPORTER_OTLP_TIMEOUT`; this one is for the client alone.
        let builder = if target.starts_with("https:") {
            let connector = match self.certificate() {
                Some(path) => HttpsConnectorBuilder::new().with_tls_config(trust(&path)?),
                None => HttpsConnectorBuilder::new().with_native_roots().map_err(TracesError::Roots)?,
            };
            builder.with_http_client(HyperClient::new(connector.https_only().enable_http1().build(), timeout(), None))
        } else {
            builder.with_http_client(HyperClient::with_default_connector(timeout(), None))
        };
        let mut exporter = builder.build()?;
        let resource = resource();
        exporter.set_resource(&resource);

        let stats = Stats::new();
        let (queue, spans) = mpsc::channel(number("OTEL_BSP_MAX_QUEUE_SIZE", 2048));
        let queue = Queue { spans: queue, no_room: stats.no_room.clone() };
        let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(queue).build();
        let export = Export {
            exporter,
            spans,
            stats: stats.clone(),
            batch: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            delay: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5000) as u64),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(export.run(stop.clone()));
        Ok(Some(Traces { tracer: provider.tracer("ringhold"), stats, stop, task }))
    }
}

// === impl Traces ===

impl Traces {
    /// Makes spans that are exported here.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.tracer.clone()
    }

    /// Shows what became of the spans.
    pub fn register(&self, registry: &mut Registry) {
        let Stats { exported, dropped, .. } = &self.stats;
        registry.register("ringhold_spans_exported", "Spans that a collector has taken", exported.clone());
        registry.register("ringhold_spans_dropped", "Spans that no collector has got, by reason", dropped.clone());
    }

    /// Returns when the spans that have ended are sent, or that takes too long.
    pub async fn finish(self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_WORDS, self.task).await.is_err() {
            tracing::warn!("the last spans were not taken in time");
        }
    }
}

// === impl Stats ===

impl Stats {
    fn new() -> Self {
        let dropped = Family::<DropLabels, Counter>::default();
        let of = |reason| dropped.get_or_create(&DropLabels { reason }).clone();
        let (no_room, not_sent) = (of("QueueFull"), of("ExportFailed"));
        Self { exported: Counter::default(), dropped, no_room, not_sent }
    }
}

// === impl Queue ===

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.no_room.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

// === impl Export ===

impl Export {
    async fn run(mut self, stop: CancellationToken) {
        let mut complained: Option<tokio::time::Instant> = None;
        while let Some(batch) = self.next(&stop).await {
            let count = batch.len() as u64;
            match self.exporter.export(batch).await {
                Ok(()) => drop(self.stats.exported.inc_by(count)),
                Err(error) => {
                    self.stats.not_sent.inc_by(count);
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAINT) {
                        complained = Some(tokio::time::Instant::now());
                        tracing::warn!(error = &error as &dyn std::error::Error, "can't export traces");
                    }
                }
            }
        }
    }

    /// The next spans: a whole batch, or those that have come within the delay. `None`: no more will come.
    async fn next(&mut self, stop: &CancellationToken) -> Option<Vec<SpanData>> {
        let mut batch = Vec::with_capacity(self.batch);
        tokio::select! {
            _ = self.spans.recv_many(&mut batch, self.batch) => {}
            () = stop.cancelled() => {}
        }
        let due = tokio::time::Instant::now() + self.delay;
        while batch.len() < self.batch && !stop.is_cancelled() {
            let room = self.batch - batch.len();
            tokio::select! {
                received = self.spans.recv_many(&mut batch, room) => if received == 0 { break },
                () = tokio::time::sleep_until(due) => break,
                () = stop.cancelled() => {}
            }
        }
        if stop.is_cancelled() {
            self.spans.close();
            while batch.len() < self.batch
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// Trusts whom the authorities in this file vouch for.
fn trust(path: &Path) -> Result<ClientConfig, TracesError> {
    let unusable = |problem: String| TracesError::Certificate { path: path.to_owned(), problem };
    let text = fs::read(path).map_err(|error| unusable(format!("can't be read: {error}")))?;
    let authorities = Authorities::from_pem(&text).map_err(|error| unusable(error.to_string()))?;
    authorities.config().map_err(|error| unusable(error.to_string()))
}

/// Of the process: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say, and who it is unless they do.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().build();
    let is_named = |name: &'static str| {
        found.get(&Key::new(name)).is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let builder = Resource::builder();
    let builder = if is_named("service.name") { builder } else { builder.with_service_name("ringhold") };
    let builder = if is_named("service.version") { builder } else { builder.with_attribute(version) };
    builder.build()
}

fn timeout() -> Duration {
    let variables = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let millis = variables.iter().find_map(|name| env::var(name).ok()?.parse().ok());
    Duration::from_millis(millis.unwrap_or(10_000))
}

/// At least 1.
fn number(name: &str, otherwise: usize) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).filter(|number| *number > 0).unwrap_or(otherwise)
}
