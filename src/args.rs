//! The command line. Every flag has a unit and help; those of commands that run long have an environment variable, too.

mod ring;
mod seeing;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args as ClapArgs, Parser, Subcommand};
use ipnet::IpNet;

use crate::backend::process::guard;
use crate::proxy::ProxyConfig;
use crate::telemetry::LogFormat;

pub use ring::{
    Algorithm, AlgorithmArgs, AnswerArgs, ChangeArgs, CompareArgs, FleetArgs, MemberWeight, MovesArgs, Output,
    RingArgs, RingCommand, SharesArgs, SizeArgs,
};
pub use seeing::{AccessLogArgs, TracesArgs};

/// A fleet of replicas and the consistent-hash ring in front of it.
///
/// Requests with equal keys reach the same replica, and no key moves that need not while the fleet grows, shrinks, rolls
/// out and dies.
#[derive(Debug, Parser)]
#[command(name = "ringhold", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What Ringhold can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run fleets on this machine, without a cluster
    ///
    /// Reads LoadBalancers from files, starts their replicas as processes and serves them. An edited file is
    /// reconciled; a broken edit is reported and changes nothing that runs; removing a file drains and stops its fleet.
    /// Ctrl-C lets running requests finish and stops everything; a second one stops at once.
    Local(Box<LocalArgs>),
    /// Run fleets in a Kubernetes cluster
    ///
    /// Watches LoadBalancers at the API server, keeps their pods and routes requests to them. Several may run: all route,
    /// and one of them, elected by a Lease, acts. SIGTERM hands over at once and lets running requests finish.
    Operator(Box<OperatorArgs>),
    /// Print the definition of the resource LoadBalancer, for a cluster
    ///
    /// To install or update it: ringhold crd | kubectl apply --server-side -f -
    Crd,
    /// Show what a ring does, before you choose one
    ///
    /// How evenly it spreads the keys, what a change would move, and how the algorithms compare. Nothing has to run.
    Ring(Box<RingArgs>),
    /// Becomes a replica's program, tied to Ringhold's life
    #[command(name = guard::EXEC, hide = true)]
    ExecReplica {
        /// Ringhold's process id.
        parent: u32,
        /// The program.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Ends the replicas' process groups when Ringhold has ended
    #[command(name = guard::GUARD, hide = true)]
    GuardReplicas,
}

/// `ringhold local`.
#[derive(Debug, ClapArgs)]
pub struct LocalArgs {
    /// File or folder with LoadBalancers in YAML; may be repeated
    #[arg(short, long = "file", value_name = "FILE", required = true, env = "RINGHOLD_FILE", value_delimiter = ',')]
    pub files: Vec<PathBuf>,

    /// Where replicas run
    #[arg(long, value_enum, default_value_t = BackendKind::Process, env = "RINGHOLD_BACKEND")]
    pub backend: BackendKind,

    /// Shows what the replicas write, each line under the replica's name
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL", env = "RINGHOLD_SHOW_OUTPUT")]
    pub show_output: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub proxy: ProxyArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub process: ProcessArgs,
}

/// `ringhold operator`.
#[derive(Debug, ClapArgs)]
pub struct OperatorArgs {
    /// What this process does
    #[arg(long, value_enum, default_value_t = Role::All, env = "RINGHOLD_ROLE")]
    pub role: Role,

    /// Only LoadBalancers of this namespace [default: all namespaces]
    #[arg(long, value_name = "NAMESPACE", env = "RINGHOLD_NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,

    /// Name of this process's pod, unique among the operators [default: the hostname]
    #[arg(long, value_name = "NAME", env = "POD_NAME", value_parser = NonEmptyStringValueParser::new())]
    pub pod_name: Option<String>,

    /// Namespace of the operators: of the Lease and of the proxies' pods
    #[arg(long, value_name = "NAMESPACE", default_value = "default", env = "POD_NAMESPACE")]
    pub pod_namespace: String,

    /// Labels of the pods that route, such as `app=ringhold`: Services lead to them, and they are asked what a draining
    /// replica still has [default: this process is the only one, and no Service leads to it]
    #[arg(long, value_name = "LABELS", env = "RINGHOLD_PROXY_SELECTOR", value_parser = NonEmptyStringValueParser::new())]
    pub proxy_selector: Option<String>,

    /// Name of the Lease that says who acts
    #[arg(long, value_name = "NAME", default_value = "ringhold", env = "RINGHOLD_LEASE_NAME")]
    pub lease_name: String,

    /// After so many seconds without a sign of the one that acts, another takes over; from 3
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = lease_seconds, env = "RINGHOLD_LEASE_SECONDS")]
    pub lease_seconds: Duration,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub proxy: ProxyArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub process: ProcessArgs,
}

/// What a process of the operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Routes, and acts when it is elected.
    All,
    /// Acts when it is elected; routes nothing.
    Controller,
    /// Routes; never acts.
    Proxy,
}

/// Where replicas run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendKind {
    /// As processes of this machine.
    Process,
}

/// The proxy's part of the command line.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Proxy")]
pub struct ProxyArgs {
    /// Address that every listener is opened on; may be repeated [default: 127.0.0.1, in a cluster every address]
    #[arg(long = "address", value_name = "IP", env = "RINGHOLD_ADDRESS", value_delimiter = ',')]
    pub addresses: Vec<IpAddr>,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", env = "RINGHOLD_WORKERS")]
    pub workers: Option<NonZeroUsize>,

    /// Secret of the key hash, 32 hexadecimal digits; equal on all processes that shall agree. Choose one where clients
    /// are not trusted: who knows it can aim many keys at one replica
    #[arg(
        long,
        value_name = "HEX",
        default_value = "00000000000000000000000000000000",
        env = "RINGHOLD_HASH_SECRET",
        hide_env_values = true
    )]
    pub hash_secret: HashSecret,

    /// Ranges of the proxies before this one, such as `10.0.0.0/8,2001:db8::/32`. What one of them says of whoever asked is
    /// believed: X-Forwarded-For gets its address appended, the other X-Forwarded fields stay, and the key `sourceIp` is
    /// the last address in X-Forwarded-For that is in no such range [default: none]
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = address_range,
        env = "RINGHOLD_TRUSTED_PROXIES"
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Tells replicas of whoever asked in the field Forwarded (RFC 7239), too
    #[arg(long, env = "RINGHOLD_FORWARDED")]
    pub forwarded: bool,

    /// Connections of one client address that a worker serves at one time, an IPv6 network of 64 bits being one address;
    /// more are closed at once. Trusted proxies have as many as they like; 0: everybody has
    #[arg(long, value_name = "N", default_value_t = 0, env = "RINGHOLD_MAX_CONNECTIONS_PER_CLIENT")]
    pub max_connections_per_client: usize,

    /// Requests that a worker has at one time; more are answered with 503 Overloaded. 0: any number
    #[arg(long, value_name = "N", default_value_t = 0, env = "RINGHOLD_MAX_REQUESTS_PER_WORKER")]
    pub max_requests_per_worker: usize,

    /// Requests on one HTTP/1 connection, after which it is closed in order; so that clients which stay for ever come to
    /// know proxies that were added. 0: any number
    #[arg(long, value_name = "N", default_value_t = 0, env = "RINGHOLD_MAX_REQUESTS_PER_CONNECTION")]
    pub max_requests_per_connection: u64,

    /// Bytes a second that a client has to send or take, averaged over a minute, while nothing else is waited for; who is
    /// slower is cut off. 0: any number
    #[arg(long, value_name = "BYTES", default_value_t = 16, env = "RINGHOLD_MIN_CLIENT_RATE")]
    pub min_client_rate: u32,

    /// Requests that a client may have open at one time on one connection of HTTP/2
    #[arg(
        long,
        value_name = "N",
        default_value_t = ProxyConfig::DEFAULT_MAX_CONCURRENT_STREAMS,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        env = "RINGHOLD_MAX_CONCURRENT_STREAMS"
    )]
    pub max_concurrent_streams: u32,

    /// How long running requests may take to finish at the end, in seconds; then they are cut
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, env = "RINGHOLD_SHUTDOWN_SECONDS")]
    pub shutdown_seconds: Duration,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub access_log: AccessLogArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened into the help")]
    pub traces: TracesArgs,
}

/// What every long-running command has.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Address of the admin server: health, metrics and API. It has no authentication
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001", env = "RINGHOLD_ADMIN_ADDRESS")]
    pub admin_address: SocketAddr,

    /// What the log contains: error, warn, info, debug, trace, or a filter by module
    #[arg(long, value_name = "LEVEL", default_value = "warn", env = "RINGHOLD_LOG_LEVEL")]
    pub log_level: String,

    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "RINGHOLD_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// The 128-bit secret of the key hash.
#[derive(Debug, Clone, Copy)]
pub struct HashSecret(pub [u8; 16]);

// === impl OperatorArgs, ProxyArgs ===

impl OperatorArgs {
    /// This process among the operators.
    #[must_use]
    pub fn identity(&self) -> String {
        let hostname = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = self.pod_name.clone().or_else(hostname);
        name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "ringhold".to_owned())
    }
}

impl ProxyArgs {
    /// The addresses that were given, or else the command's own.
    #[must_use]
    pub fn addresses_or(&self, otherwise: impl FnOnce() -> Vec<IpAddr>) -> Vec<IpAddr> {
        if self.addresses.is_empty() { otherwise() } else { self.addresses.clone() }
    }
}

// === impl HashSecret ===

impl FromStr for HashSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
        bits.map(|bits| Self(bits.to_be_bytes()))
            .ok_or("use exactly 32 hexadecimal digits, such as `openssl rand -hex 16` prints")
    }
}

fn address_range(text: &str) -> Result<IpNet, &'static str> {
    let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    range.map_err(|_| "use an address or a range such as 10.0.0.0/8 or 2001:db8::/32")
}

fn lease_seconds(text: &str) -> Result<Duration, &'static str> {
    let whole = text.parse::<u64>().ok().filter(|seconds| (3..=3_600).contains(seconds));
    whole.map(Duration::from_secs).ok_or("use whole seconds, from 3 to 3600")
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let whole = text.parse::<u64>().ok().filter(|seconds| *seconds <= 86_400);
    whole.map(Duration::from_secs).ok_or("use whole seconds, from 0 to 86400")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn ranges_are_networks_or_single_addresses() {
        for (text, range) in [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.7", "10.0.0.7/32"), ("::1", "::1/128")] {
            assert_eq!(address_range(text).map(|range| range.to_string()), Ok(range.to_owned()));
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0", "a", "10.0.0.0/8 ", "::/129"] {
            assert!(address_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_secret_is_exactly_128_bits() {
        let secret: HashSecret = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        assert_eq!(secret.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        for wrong in ["", "12", "+00102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f00", "zz"] {
            assert!(wrong.parse::<HashSecret>().is_err(), "{wrong}");
        }
    }
}
