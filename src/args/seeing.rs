//! What the proxy shows of single requests.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::proxy::{AccessLog, AccessLogFormat, LogTarget, Sample};
use crate::telemetry::traces::TracesConfig;

/// The access log.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Access log")]
pub struct AccessLogArgs {
    /// File that gets a line for each request, or - for standard output (then `ringhold local` tells its story on standard
    /// error); SIGUSR1 has it opened anew, for whoever rotates it [default: no access log]
    #[arg(long = "access-log", value_name = "FILE", env = "RINGHOLD_ACCESS_LOG")]
    pub file: Option<PathBuf>,

    /// How a line is written
    #[arg(
        long = "access-log-format",
        value_enum,
        value_name = "FORMAT",
        default_value_t = AccessLogFormat::Text,
        env = "RINGHOLD_ACCESS_LOG_FORMAT"
    )]
    pub format: AccessLogFormat,

    /// Percentage of the requests that are logged, chosen at random
    #[arg(
        long = "access-log-sample",
        value_name = "PERCENT",
        default_value = "100",
        value_parser = sample,
        env = "RINGHOLD_ACCESS_LOG_SAMPLE"
    )]
    pub sample: Sample,

    /// Whether requests that failed (500 and above, or broken off by the replica) are logged though they are not among them
    #[arg(
        long = "access-log-all-errors",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL",
        env = "RINGHOLD_ACCESS_LOG_ALL_ERRORS"
    )]
    pub all_errors: bool,

    /// Whether lines show the keys of requests, which may be secrets: session cookies, say
    #[arg(
        long = "access-log-keys",
        default_value_t = false,
        action = clap::ArgAction::Set,
        value_name = "BOOL",
        env = "RINGHOLD_ACCESS_LOG_KEYS"
    )]
    pub keys: bool,
}

/// Where traces go. What else there is to say, the environment variables of OpenTelemetry say.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Traces")]
pub struct TracesArgs {
    /// URL of a collector that takes OTLP over HTTP: requests and their tries are sent there as spans. The other variables
    /// of OpenTelemetry are understood, too: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, …
    /// [default: no traces]
    #[arg(long = "otlp-endpoint", value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub endpoint: Option<String>,

    /// The same for traces alone, with its path
    #[arg(long = "otlp-traces-endpoint", value_name = "URL", env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub traces_endpoint: Option<String>,

    /// File with the certificates, in PEM form, of the authorities that vouch for an https collector
    /// [default: those of the system]
    #[arg(long = "otlp-certificate", value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    pub certificate: Option<PathBuf>,
}

// === impl AccessLogArgs, TracesArgs ===

impl AccessLogArgs {
    /// Whether lines go to standard output.
    #[must_use]
    pub fn is_on_stdout(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.as_os_str() == "-")
    }

    /// What the proxy takes; `None`: no access log.
    #[must_use]
    pub fn config(&self) -> Option<AccessLog> {
        let Self { file, format, sample, all_errors, keys } = self;
        let target = match file.as_ref()? {
            _ if self.is_on_stdout() => LogTarget::Stdout,
            file if file.as_os_str().is_empty() => return None,
            file => LogTarget::File(file.clone()),
        };
        Some(AccessLog { target, format: *format, sample: *sample, all_errors: *all_errors, keys: *keys })
    }
}

impl TracesArgs {
    /// What the export takes.
    #[must_use]
    pub fn config(&self) -> TracesConfig {
        let Self { endpoint, traces_endpoint, certificate } = self.clone();
        TracesConfig { endpoint, traces_endpoint, certificate }
    }
}

fn sample(text: &str) -> Result<Sample, &'static str> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent.and_then(Sample::percent).ok_or("use a percentage from 0 to 100, such as 0.5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_percentage() {
        assert_eq!(sample("100"), Ok(Sample::ALL));
        assert_eq!(sample("0.5%"), Ok(Sample::percent(0.5).unwrap()));
        for wrong in ["", "-1", "101", "NaN", "half"] {
            assert!(sample(wrong).is_err(), "{wrong}");
        }
    }
}
