//! A way to the API server that a test can close, so that one operator loses it while everybody else goes on.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A relay for TCP connections. It ends when it is dropped, or with the runtime that it was started in.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    state: watch::Sender<State>,
    _listener: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Connections stay, and nothing comes through, either way.
    Paused,
    /// Connections are cut, and new ones as soon as they come.
    Closed,
}

// === impl Gate ===

impl Gate {
    /// An open one.
    pub(crate) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (state, changes) = watch::channel(State::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Ended with this task.
            let mut relays = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                relays.spawn(relay(client, target, changes.clone()));
                while relays.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, state, _listener: tasks })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// Cuts all connections, and new ones as soon as they come, as when the API server has died.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Lets nothing through, and cuts nothing, as when a network swallows packets.
    pub fn pause(&self) {
        self.state.send_replace(State::Paused);
    }
}

/// Ends when either side does, or when the gate is closed.
async fn relay(mut client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    let relayed = async {
        passable(&mut state.clone()).await?;
        let mut server = TcpStream::connect(target).await?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::try_join!(
            pump(&mut from_client, &mut to_server, state.clone()),
            pump(&mut from_server, &mut to_client, state.clone()),
        )?;
        anyhow::Ok(())
    };
    let mut closing = state.clone();
    tokio::select! {
        // Whoever was cut off notices by itself.
        _ = relayed => {}
        _ = closing.wait_for(|state| *state == State::Closed) => {}
    }
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut state: watch::Receiver<State>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        passable(&mut state).await?;
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits while the gate is paused.
async fn passable(state: &mut watch::Receiver<State>) -> anyhow::Result<()> {
    state.wait_for(|state| *state == State::Open).await.context("the gate is gone")?;
    Ok(())
}
