//! A control plane to try things on by hand: runs until it is told to stop, and says how to reach it.

use std::io::{self, Write};

use anyhow::Context;
use ringhold_test_cluster::{Agent, AgentConfig, Binaries, ControlPlane, ControlPlaneConfig, Run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let binaries = Binaries::locate()?;
    let cluster = ControlPlane::start(&binaries, ControlPlaneConfig::default()).await?;
    let kubeconfig = cluster.folder().join("admin.kubeconfig");
    cluster.admin().write_kubeconfig(&kubeconfig)?;

    // Pods run programs that lie where this one does: `ringhold-server`.
    let program = std::env::current_exe()?;
    let folder = program.parent().context("this program lies in no folder")?.to_owned();
    let config = AgentConfig { namespace: None, node: "node".to_owned(), run: Run::Processes(folder) };
    let _agent = Agent::start(cluster.node_agent().client()?, config).await?;

    let path = binaries.folder().display();
    writeln!(io::stdout(), "export KUBECONFIG={} PATH={path}:$PATH", kubeconfig.display())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
