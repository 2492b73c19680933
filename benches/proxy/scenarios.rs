//! What is asked of each proxy.

use clap::ValueEnum;
use serde::Serialize;

use crate::cores::Cores;
use crate::peers::{Front, Key, Kind, Peer};

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Scenario {
    /// GET, an empty answer
    Small,
    /// GET, 1 KiB
    #[value(name = "1k")]
    OneKib,
    /// GET, 64 KiB
    #[value(name = "64k")]
    Large,
    /// POST, 10 KiB
    Post,
    /// A connection for each request
    Churn,
    /// GET beside a thousand idle connections; memory, too
    Idle,
    /// HTTP/1.1 over TLS
    Tls,
    /// HTTP/2 without TLS
    H2,
    /// GET while the fleet grows and shrinks; Ringhold alone
    Fleet,
    /// One worker and two, on both cores
    Workers,
    /// How long answers take at fixed rates
    Latency,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) front: Front,
    pub(crate) path: &'static str,
    pub(crate) body_bytes: usize,
    /// The least that an answer has, in bytes.
    pub(crate) answer_bytes: f64,
    /// After each request the connection is closed.
    pub(crate) closes: bool,
    pub(crate) key: Key,
    /// What the proxy has; one has a core for itself.
    pub(crate) cores: Cores,
    /// Connections that do nothing meanwhile.
    pub(crate) idle: usize,
    /// What the fleet's size becomes meanwhile, one after the other.
    pub(crate) sizes: &'static [usize],
}

/// Behind the name of one that is measured with two.
pub(crate) const TWO_WORKERS: &str = ", 2 workers";

// === impl Scenario ===

impl Scenario {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "Small GET: an empty answer",
            Self::OneKib => "GET, 1 KiB",
            Self::Large => "GET, 64 KiB",
            Self::Post => "POST of 10 KiB, an empty answer",
            Self::Churn => "Small GET, a connection for each request",
            Self::Idle => "Small GET beside 1000 idle connections",
            Self::Tls => "Small GET over TLS",
            Self::Fleet => {
                "Small GET while the fleet goes from 3 replicas to 6 and to 2: one request that is lost makes it void"
            }
            Self::H2 => "Small GET over HTTP/2 without TLS",
            Self::Workers => "Small GET, one worker and two, on both cores, which they share with the load",
            Self::Latency => "Small GET at fixed rates",
        }
    }

    /// Who has turns, with how many workers.
    pub(crate) fn subjects(self, peers: &[Peer]) -> Vec<(Peer, u8)> {
        let mut subjects = Vec::new();
        if self == Self::Fleet {
            // The others' fleets are as they are.
            subjects.extend(peers.iter().filter(|peer| peer.kind == Kind::Ringhold).map(|peer| (peer.clone(), 1)));
            return subjects;
        }
        // Replicas speak HTTP/1.1 without TLS.
        if self.load().front == Front::Http1 {
            subjects.push((Peer::direct(), 1));
        }
        for peer in peers {
            subjects.push((peer.clone(), 1));
            if self == Self::Workers {
                subjects.push((peer.renamed(TWO_WORKERS), 2));
            }
            if self == Self::Small && peer.kind == Kind::Ringhold {
                subjects.push((peer.bounded(), 1));
            }
        }
        subjects
    }

    pub(crate) fn load(self) -> Load {
        let small = Load {
            front: Front::Http1,
            path: "/",
            body_bytes: 0,
            answer_bytes: 0.0,
            closes: false,
            key: Key::Header,
            cores: Cores::Proxy,
            idle: 0,
            sizes: &[],
        };
        match self {
            Self::Small | Self::Latency => small,
            Self::OneKib => Load { path: "/1k", answer_bytes: 1024.0, ..small },
            Self::Large => Load { path: "/64k", answer_bytes: 65536.0, ..small },
            Self::Post => Load { body_bytes: 10 << 10, ..small },
            Self::Churn => Load { closes: true, ..small },
            Self::Idle => Load { idle: 1000, ..small },
            Self::Tls => Load { front: Front::Tls, ..small },
            Self::H2 => Load { front: Front::Http2, key: Key::Path, ..small },
            Self::Fleet => Load { sizes: &[6, 2], ..small },
            Self::Workers => Load { cores: Cores::Both, ..small },
        }
    }
}
