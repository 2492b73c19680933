//! The tests' own stand-in for scheduler and kubelet: pods that nobody has placed go to its node, run as local processes,
//! each with a loopback address of its own, and are reported about as a kubelet does it.
//!
//! What it leaves out: all but a pod's first container, init containers, volumes, hooks, liveness and startup probes,
//! resources, taints and affinities.

mod command;
mod container;
mod context;
mod life;
mod node;
mod probe;
mod watch;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use tokio::task::JoinSet;

use context::{Context, Controls};

/// What an agent takes care of, and how.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Whose pods; all namespaces' if there is none.
    pub namespace: Option<String>,
    /// The name of its node, which it creates.
    pub node: String,
    /// What a pod becomes.
    pub run: Run,
}

/// What a pod becomes.
#[derive(Clone, Debug)]
pub enum Run {
    /// A process: the image `registry/name:tag` is the program `name` in this folder; the tag can be anything. An image
    /// without a program there can't be pulled. The process gets `HOST`, its pod's address, to listen on.
    Processes(PathBuf),
    /// A listener within the test, on the first port of the pod, which answers every request with its pod's name. It is
    /// always ready: its probes are not asked. For fleets that are too large for processes.
    InProcess,
}

/// A running node agent. When it is dropped, its processes are killed, and its pods stay as they were last reported.
pub struct Agent {
    context: Arc<Context>,
    _tasks: JoinSet<()>,
}

// === impl AgentConfig ===

impl AgentConfig {
    /// Processes for the pods of one namespace, with programs from this folder: `target/debug`.
    pub fn processes(namespace: &str, folder: impl AsRef<Path>) -> Self {
        Self::new(namespace, Run::Processes(folder.as_ref().to_owned()))
    }

    /// Listeners within the test for the pods of one namespace.
    #[must_use]
    pub fn in_process(namespace: &str) -> Self {
        Self::new(namespace, Run::InProcess)
    }

    fn new(namespace: &str, run: Run) -> Self {
        Self { namespace: Some(namespace.to_owned()), node: format!("node-of-{namespace}"), run }
    }
}

// === impl Agent ===

impl Agent {
    /// Creates its node and begins.
    ///
    /// # Errors
    /// The node can't be created.
    pub async fn start(client: Client, config: AgentConfig) -> anyhow::Result<Self> {
        let context = Arc::new(Context::new(client, config)?);
        node::create(&context).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(node::heartbeat(context.clone()));
        tasks.spawn(watch::run(context.clone()));
        Ok(Self { context, _tasks: tasks })
    }

    /// How many pods run right now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.context.count(|seen| seen.is_running)
    }

    /// The process of a pod, by `name` or `namespace/name`; `None` while it has none.
    #[must_use]
    pub fn process_id(&self, pod: &str) -> Option<u32> {
        self.context.find(pod)?.seen.borrow().process
    }

    /// What the pod's processes have said so far.
    #[must_use]
    pub fn log(&self, pod: &str) -> String {
        let log = self.context.find(pod).map(|known| known.log);
        log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default()
    }

    /// Kills the pod's process, as when it has crashed. Says whether there is such a pod.
    pub fn kill(&self, pod: &str) -> bool {
        self.control(pod, |controls| controls.kills += 1)
    }

    /// Kills all processes. With [`pause`](Self::pause) before it, the node has lost its power.
    pub fn kill_all(&self) {
        for known in self.context.pods() {
            known.controls.send_modify(|controls| controls.kills += 1);
        }
    }

    /// Lets the pod be unready, whatever its probe says, until [`unforce`](Self::unforce).
    pub fn force_unready(&self, pod: &str) -> bool {
        self.control(pod, |controls| controls.is_forced_unready = true)
    }

    /// Lets the pod be as ready as its probe says.
    pub fn unforce(&self, pod: &str) -> bool {
        self.control(pod, |controls| controls.is_forced_unready = false)
    }

    /// Evicts the pod, as a kubelet does under pressure: its process is killed, and the pod has failed, but stays.
    pub fn evict(&self, pod: &str) -> bool {
        self.control(pod, |controls| controls.is_evicted = true)
    }

    /// Stops acting, as when the node has lost its network: processes go on, whatever becomes of their pods, nothing is
    /// started, and nobody hears of the node. With controllers, its pods count as not ready after `ControlPlaneConfig::node_grace`.
    pub fn pause(&self) {
        self.context.acting.send_replace(false);
    }

    /// Acts again.
    pub fn resume(&self) {
        self.context.acting.send_replace(true);
    }

    fn control(&self, pod: &str, change: impl FnOnce(&mut Controls)) -> bool {
        let known = self.context.find(pod);
        known.map(|known| known.controls.send_modify(change)).is_some()
    }
}
