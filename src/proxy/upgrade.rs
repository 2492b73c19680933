//! After a 101: a tunnel that copies bytes both ways until one side ends, nothing moves for too long, or we stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::try_join;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use crate::proxy::connection::Client;
use crate::proxy::watch::Phase;
use crate::routes::Lease;

/// Starts a tunnel. The replica is leased until it ends.
pub(super) fn start(client: &Rc<Client>, to_client: OnUpgrade, to_replica: OnUpgrade, lease: Lease, idle: Duration) {
    let watch = Arc::clone(&client.watch);
    watch.enter(Phase::Tunnel, idle);
    let tunnel = async move {
        let _lease = lease;
        // Bytes are seen where they pass the client's socket, which the upgraded connection still goes through.
        let Ok((client, replica)) = try_join(to_client, to_replica).await else { return };
        let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
        watch.adopt().await;
        {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut replica));
            poll_fn(|cx| if watch.is_expired() { Poll::Ready(()) } else { copying.as_mut().poll(cx).map(drop) }).await;
        }
        // Both sides learn that it is over before the sockets go. They may be gone already.
        let _ = client.shutdown().await;
        let _ = replica.shutdown().await;
    };
    client.worker.spawn(client, tunnel);
}
