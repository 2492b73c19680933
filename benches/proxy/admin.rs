//! Ringhold's admin API: where its replicas are, and how many there are to be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

/// So long may a change take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// The fleet that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin {
    pub(crate) port: u16,
}

/// What matters here of what is said about it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fleet {
    desired_replicas: usize,
    ready_replicas: usize,
    /// Those that drain are among them.
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    address: Option<SocketAddr>,
}

// === impl Admin ===

impl Admin {
    /// Their ports.
    pub(crate) fn replicas(self) -> anyhow::Result<Vec<u16>> {
        let ports = self.fleet()?.replicas.iter().filter_map(|replica| Some(replica.address?.port())).collect();
        Ok(ports)
    }

    /// Returns once so many are ready, and all others gone.
    pub(crate) fn scale(self, replicas: usize) -> anyhow::Result<()> {
        self.ask("PUT", "/scale", &format!("{{\"replicas\": {replicas}}}"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fleet = self.fleet()?;
            if [fleet.desired_replicas, fleet.ready_replicas, fleet.replicas.len()].iter().all(|is| *is == replicas) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{replicas} replicas were wanted, there is {fleet:?}");
            std::thread::sleep(PAUSE);
        }
    }

    fn fleet(self) -> anyhow::Result<Fleet> {
        let said = self.ask("GET", "", "")?;
        serde_json::from_str(&said).with_context(|| format!("the admin API said {said:?}"))
    }

    fn ask(self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} /api/v1/loadbalancers/bench{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        let (head, body) = said.split_once("\r\n\r\n").with_context(|| format!("the admin API said {said:?}"))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "the admin API said {head}: {body}");
        Ok(body.to_owned())
    }
}
