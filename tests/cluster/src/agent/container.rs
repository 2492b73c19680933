//! What runs for a pod: a process, or a listener within the test.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use kube::ResourceExt;
use rustix::process::{Pid, Signal};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::task::JoinSet;

use super::Run;
use super::command::Command;
use super::life::Waiting;
use crate::guard::{Guarded, guard};

/// Killed when dropped.
#[derive(Debug)]
pub(super) enum Container {
    Process { child: Child, guarded: Guarded },
    Listener { tasks: JoinSet<()>, is_told: tokio::sync::watch::Sender<Option<Exit>> },
}

/// How it ended, as a shell would say it: 128 + the signal, for one that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
}

// === impl Container ===

impl Container {
    pub(super) async fn start(run: &Run, pod: &Pod, address: Ipv4Addr, log: &Path) -> Result<Self, Waiting> {
        let first = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let spec = first.ok_or_else(|| failed("the pod has no container"))?;
        match run {
            Run::Processes(folder) => {
                let command = Command::new(pod, spec, address, folder)?;
                Self::process(&command, log).map_err(|error| failed(&format!("{error:#}")))
            }
            Run::InProcess => Self::listener(spec, pod, address).await.map_err(|error| failed(&error.to_string())),
        }
    }

    fn process(command: &Command, log: &Path) -> anyhow::Result<Self> {
        let Command { program, arguments, environment } = command;
        let output = File::options().create(true).append(true).open(log)?;
        let mut process = tokio::process::Command::new(program);
        process.args(arguments).env_clear().envs(environment).process_group(0).kill_on_drop(true);
        process.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        process.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = process.spawn()?;
        let guarded = guard()?.watch(child.id().unwrap_or_default())?;
        Ok(Self::Process { child, guarded })
    }

    async fn listener(spec: &Spec, pod: &Pod, address: Ipv4Addr) -> std::io::Result<Self> {
        let port = spec.ports.iter().flatten().next().map_or(8080, |port| port.container_port);
        let listener = TcpListener::bind((address, u16::try_from(port).unwrap_or_default())).await?;
        let name = Bytes::from(pod.name_any());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let name = name.clone();
                let answer = service_fn(move |_| {
                    let answer = Response::new(Full::new(name.clone()));
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move {
                    // How a client leaves is its own affair.
                    drop(connection.serve_connection(TokioIo::new(stream), answer).await);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self::Listener { tasks, is_told: tokio::sync::watch::Sender::new(None) })
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Process { child, .. } => child.id(),
            Self::Listener { .. } => None,
        }
    }

    /// Asks it to end: a process may take its time.
    pub(super) fn terminate(&self) {
        match self {
            Self::Process { child, .. } => {
                let process = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                // One that has ended already is what we want.
                let _ = process.map(|process| rustix::process::kill_process(process, Signal::TERM));
            }
            Self::Listener { is_told, .. } => drop(is_told.send_replace(Some(Exit { code: 0, signal: None }))),
        }
    }

    /// Ends it at once, with all of its children.
    pub(super) fn kill(&self) {
        match self {
            Self::Process { guarded, .. } => guarded.kill(),
            Self::Listener { is_told, .. } => drop(is_told.send_replace(Some(Exit { code: 137, signal: Some(9) }))),
        }
    }

    /// Waits for its end. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> Exit {
        match self {
            Self::Process { child, .. } => match child.wait().await {
                Ok(status) => {
                    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                    Exit { code, signal: status.signal() }
                }
                Err(_) => Exit { code: 255, signal: None },
            },
            Self::Listener { tasks, is_told } => {
                let mut told = is_told.subscribe();
                // Fails only without a sender, which is here.
                let exit = told.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
                let exit = exit.unwrap_or(Exit { code: 0, signal: None });
                tasks.shutdown().await;
                exit
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A process that was waited for has no id any more, and its group may be another's by now.
        if self.process_id().is_some() {
            self.kill();
        }
    }
}

fn failed(message: &str) -> Waiting {
    Waiting { reason: "RunContainerError", message: message.to_owned() }
}
