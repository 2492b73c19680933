//! Which worker serves a connection.
//!
//! The kernel spreads connections over the workers' sockets by a hash of their addresses, blindly: of a few connections that
//! stay for long, as HTTP/2 has them, one worker may get all. So who accepts one looks at how many each has, and hands it to
//! whoever has the fewest, unless the difference is small beside what it has itself; then it is not worth the way.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::proxy::worker::Command;

/// A worker may have so much more than another, as a part of what it has: an eighth.
const SLACK: usize = 8;

/// How many connections each worker has. Only a hint: it may change before anybody acts on it.
#[derive(Debug, Clone)]
pub(super) struct Loads(Arc<[crossbeam_utils::CachePadded<AtomicUsize>]>);

/// One connection's part of its worker's load.
#[derive(Debug)]
pub(super) struct Load {
    loads: Loads,
    worker: usize,
}

/// A worker's view of all, itself among them.
pub(super) struct Workers {
    pub(super) loads: Loads,
    pub(super) own: usize,
    pub(super) inboxes: Vec<mpsc::UnboundedSender<Command>>,
}

/// A connection that has just been accepted.
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: IpAddr,
    pub(super) port: u16,
    pub(super) load: Load,
}

// === impl Loads ===

impl Loads {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| crossbeam_utils::CachePadded::default()).collect())
    }

    pub(super) fn of(&self, worker: usize) -> usize {
        self.0[worker].load(Relaxed)
    }

    /// Whose connection the next one is that this worker has accepted. Nobody gets more than the limit from another.
    fn choose(&self, own: usize, limit: usize) -> usize {
        let mine = self.of(own);
        let least = (0..self.0.len()).map(|worker| (self.of(worker), worker)).min();
        match least {
            Some((load, worker)) if mine > load + mine / SLACK && load < limit => worker,
            _ => own,
        }
    }

    fn add(&self, worker: usize) -> Load {
        self.0[worker].fetch_add(1, Relaxed);
        Load { loads: self.clone(), worker }
    }
}

// === impl Load ===

impl Drop for Load {
    fn drop(&mut self) {
        self.loads.0[self.worker].fetch_sub(1, Relaxed);
    }
}

// === impl Workers ===

impl Workers {
    /// One more for this worker.
    pub(super) fn take(&self) -> Load {
        self.loads.add(self.own)
    }

    /// Hands a connection on, if another worker is to have it. Else it is this one's.
    pub(super) fn spread(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        port: u16,
        limit: usize,
    ) -> Result<(), (TcpStream, Load)> {
        let worker = self.loads.choose(self.own, limit);
        if worker == self.own {
            return Err((stream, self.take()));
        }
        // It leaves this runtime for another one's. Where that fails it is broken, and whoever reads it next will see.
        let Ok(stream) = stream.into_std() else { return Ok(()) };
        let accepted = Accepted { stream, peer, port, load: self.loads.add(worker) };
        match self.inboxes[worker].send(Command::Adopt(accepted)) {
            Ok(()) => Ok(()),
            // That worker has stopped.
            Err(mpsc::error::SendError(Command::Adopt(Accepted { stream, .. }))) => match TcpStream::from_std(stream) {
                Ok(stream) => Err((stream, self.take())),
                Err(_) => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_to_whoever_has_clearly_fewer() {
        let choose = |loads: &[usize], own| {
            let all = Loads::new(loads.len());
            for (worker, load) in loads.iter().enumerate() {
                all.0[worker].store(*load, Relaxed);
            }
            all.choose(own, 1000)
        };
        assert_eq!(choose(&[0, 0], 1), 1, "where it came, if all are alike");
        assert_eq!(choose(&[0, 1], 1), 0, "few are spread exactly");
        assert_eq!(choose(&[3, 2, 4], 2), 1);
        assert_eq!(choose(&[80, 72], 0), 0, "an eighth more is even enough");
        assert_eq!(choose(&[81, 70], 0), 1);
        assert_eq!(choose(&[2000, 1000], 0), 0, "who is full gets no more");
        let loads = Loads::new(2);
        let load = loads.add(1);
        assert_eq!((loads.of(0), loads.of(1)), (0, 1));
        drop(load);
        assert_eq!(loads.of(1), 0);
    }
}
