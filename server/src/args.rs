//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;
use clap::builder::FalseyValueParser;

/// A sample replica: says who it is, echoes, waits, streams and fails on demand.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// TCP port to listen on; 0 picks a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,

    /// Address to listen on
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) address: IpAddr,

    /// Name to answer with [default: --name, else the hostname]
    #[arg(long, env = "ID")]
    id: Option<String>,

    /// Name that whoever started this replica gave it
    #[arg(long, env = "RINGHOLD_NAME")]
    name: Option<String>,

    /// This replica's place in its fleet
    #[arg(long, env = "RINGHOLD_ORDINAL")]
    pub(crate) ordinal: Option<u16>,

    /// Milliseconds to wait before listening
    #[arg(long, env = "START_DELAY_MS", default_value_t = 0)]
    pub(crate) start_delay_ms: u64,

    /// File that gets a line for each request that `/load` counts, before it is answered: name, method and target; may be
    /// a pipe, and many replicas may share it
    #[arg(long, env = "REQUEST_LOG", value_name = "FILE")]
    pub(crate) request_log: Option<PathBuf>,

    /// Exit with status 1 at once
    #[arg(long, env = "FAIL", value_parser = FalseyValueParser::new())]
    pub(crate) fail: bool,
}

// === impl Args ===

impl Args {
    /// The name to answer with; a name that is set but empty counts as not set.
    pub(crate) fn name(&self) -> String {
        let Self { port: _, address: _, id, name, ordinal: _, start_delay_ms: _, request_log: _, fail: _ } = self;
        let given = [id.clone(), name.clone(), std::env::var("HOSTNAME").ok(), kernel_hostname()];
        given.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or_else(|| "server".to_owned())
    }
}

/// What Linux calls this machine; other systems have no such file.
fn kernel_hostname() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned())
}
