//! Accepting on a port, and stopping without resetting anybody.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::proxy::connection;
use crate::proxy::worker::Worker;

/// After an accept that failed for want of descriptors or memory.
const BREATHER: Duration = Duration::from_millis(50);
/// So many in all while a queue is emptied for the last time.
const MAX_BREATHERS: u32 = 20;

/// A port on which this worker accepts.
pub(super) struct OpenPort {
    stop: CancellationToken,
    /// Seen by the port's connections: their next response is the last.
    withdrawn: Rc<Cell<bool>>,
    accepting: Vec<JoinHandle<()>>,
}

// === impl OpenPort ===

impl OpenPort {
    pub(super) fn open(worker: &Rc<Worker>, port: u16, listeners: Vec<std::net::TcpListener>) -> Self {
        let (stop, withdrawn) = (CancellationToken::new(), Rc::new(Cell::new(false)));
        let accepting = listeners
            .into_iter()
            .map(|listener| {
                let (worker, stop, withdrawn) = (Rc::clone(worker), stop.clone(), Rc::clone(&withdrawn));
                tokio::task::spawn_local(async move {
                    if let Err(error) = accept(&worker, listener, port, &stop, &withdrawn).await {
                        tracing::error!(port, error = &error as &dyn std::error::Error, "can't accept");
                    }
                })
            })
            .collect();
        Self { stop, withdrawn, accepting }
    }

    /// Whether the port has been withdrawn, as its connections see it.
    pub(super) fn withdrawn(&self) -> &Rc<Cell<bool>> {
        &self.withdrawn
    }

    /// Stops accepting; returns when the sockets are closed.
    pub(super) async fn close(self, worker: &Worker) {
        self.withdrawn.set(true);
        self.stop.cancel();
        worker.wake_all();
        for task in self.accepting {
            // One that panicked has closed its socket too.
            let _ = task.await;
        }
    }
}

async fn accept(
    worker: &Rc<Worker>,
    listener: std::net::TcpListener,
    port: u16,
    stop: &CancellationToken,
    withdrawn: &Rc<Cell<bool>>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    while !stop.is_cancelled() {
        if !worker.has_room() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = worker.room() => {}
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let limit = worker.config.max_connections_per_worker;
                    if let Err((stream, load)) = worker.workers.spread(stream, peer.ip(), port, limit) {
                        connection::serve(worker, stream, peer.ip(), port, withdrawn, load);
                    }
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    worker.complaints.on_accept(port, &error);
                    tokio::time::sleep(BREATHER).await;
                }
            },
        }
    }
    // Who is in the queue has been told by the kernel that the connection stands; closing would reset them.
    let listener = listener.into_std()?;
    let accept = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok((tokio::net::TcpStream::from_std(stream)?, peer))
    };
    // They stay here, for the others may have ended already.
    let serve = |(stream, peer): (tokio::net::TcpStream, std::net::SocketAddr)| {
        connection::serve(worker, stream, peer.ip(), port, withdrawn, worker.workers.take());
    };
    empty(accept, serve).await;
    Ok(())
}

/// Serves all that can be accepted. Errors do not end the queue, but too many that concern more than one connection do.
async fn empty<S>(mut accept: impl FnMut() -> io::Result<S>, mut serve: impl FnMut(S)) {
    let mut breathers = 0;
    loop {
        match accept() {
            Ok(accepted) => serve(accepted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if is_about_one_connection(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if breathers < MAX_BREATHERS => {
                breathers += 1;
                tokio::time::sleep(BREATHER).await;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to accept who had come before the end"
                );
                return;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_do_not_end_the_last_look_at_the_queue() {
        let error = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let aborted = error(io::ErrorKind::ConnectionAborted);
        let mut script = vec![
            Ok(1),
            aborted,
            Ok(2),
            error(io::ErrorKind::OutOfMemory),
            Ok(3),
            error(io::ErrorKind::WouldBlock),
            Ok(4),
        ]
        .into_iter();
        let mut served = Vec::new();
        empty(|| script.next().expect("nobody looks behind the end"), |number| served.push(number)).await;
        assert_eq!(served, [1, 2, 3]);
    }
}
