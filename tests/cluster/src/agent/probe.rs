//! A pod's readiness probe.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Request;
use k8s_openapi::api::core::v1::{Container, HTTPHeader, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Until a pod is ready for the first time it is asked more often than it says, so that tests are quick: at first after
/// this, then after ever longer pauses.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What is asked, how often, and what the answers have come to.
#[derive(Debug)]
pub(super) struct Probe {
    target: Target,
    period: Duration,
    timeout: Duration,
    failure_threshold: i32,
    success_threshold: i32,

    pub(super) next: Instant,
    pub(super) is_ready: bool,
    was_ready: bool,
    pause: Duration,
    /// Answers in a row that speak against what counts.
    against: i32,
}

#[derive(Clone, Debug)]
enum Target {
    /// Nothing is asked: ready is who runs.
    Nothing,
    Http {
        address: SocketAddr,
        path: String,
        headers: Vec<HTTPHeader>,
    },
    Tcp(SocketAddr),
}

// === impl Probe ===

impl Probe {
    /// The probe of the first container; `is_asked` says whether it is asked at all.
    pub(super) fn new(pod: &Pod, address: Ipv4Addr, is_asked: bool) -> Self {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let probe = container.and_then(|container| container.readiness_probe.clone()).filter(|_| is_asked);
        let probe = probe.unwrap_or_default();
        let at = |port: &IntOrString| SocketAddr::from((address, number(port, container)));
        let target = match (&probe.http_get, &probe.tcp_socket) {
            (Some(get), _) => Target::Http {
                address: at(&get.port),
                path: get.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
                headers: get.http_headers.clone().unwrap_or_default(),
            },
            (None, Some(tcp)) => Target::Tcp(at(&tcp.port)),
            (None, None) => Target::Nothing,
        };
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default),
            )
        };
        Self {
            target,
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
            success_threshold: probe.success_threshold.unwrap_or(1).max(1),
            next: Instant::now(),
            is_ready: false,
            was_ready: false,
            pause: FIRST_PAUSE,
            against: 0,
        }
    }

    /// What runs was started anew.
    pub(super) fn restart(&mut self) {
        (self.is_ready, self.was_ready) = (matches!(self.target, Target::Nothing), false);
        (self.next, self.pause, self.against) = (Instant::now(), FIRST_PAUSE, 0);
    }

    /// Waits for the next time and asks. May be dropped and asked again.
    pub(super) async fn ask(&self) -> bool {
        tokio::time::sleep_until(self.next).await;
        let asked = match &self.target {
            Target::Nothing => return std::future::pending().await,
            Target::Tcp(address) => {
                let address = *address;
                tokio::time::timeout(self.timeout, async move { TcpStream::connect(address).await.is_ok() }).await
            }
            Target::Http { address, path, headers } => {
                tokio::time::timeout(self.timeout, async move { get(*address, path, headers).await.is_ok_and(|ok| ok) })
                    .await
            }
        };
        asked.unwrap_or(false)
    }

    /// Takes an answer into account.
    pub(super) fn answered(&mut self, is_success: bool) {
        self.against = if is_success == self.is_ready { 0 } else { self.against + 1 };
        let threshold = if self.is_ready { self.failure_threshold } else { self.success_threshold };
        if self.against >= threshold {
            (self.is_ready, self.against) = (is_success, 0);
        }
        self.was_ready |= self.is_ready;
        if self.was_ready {
            self.next = Instant::now() + self.period;
        } else {
            self.next = Instant::now() + self.pause.min(self.period);
            self.pause = (self.pause * 3 / 2).min(LONGEST_FIRST_PAUSE);
        }
    }
}

async fn get(address: SocketAddr, path: &str, headers: &[HTTPHeader]) -> anyhow::Result<bool> {
    let mut request = Request::get(path).header("user-agent", "kube-probe/1.36");
    if !headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for HTTPHeader { name, value } in headers {
        request = request.header(name, value);
    }
    let status = crate::request::send(address, request.body(Default::default())?).await?.status();
    Ok(status.is_success() || status.is_redirection())
}

/// A port's number; a name is looked up in the container.
fn number(port: &IntOrString, container: Option<&Container>) -> u16 {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.iter().flat_map(|container| container.ports.iter().flatten());
            ports.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or_default()
}
