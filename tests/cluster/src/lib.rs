//! A real Kubernetes control plane for tests and benchmarks, and a stand-in for its nodes. In reading order:
//!
//! - [`Binaries`]: where Kubernetes' own programs lie (`make test-cluster` puts them there), and what a test does that
//!   finds none: [`binaries_or_skip`], which is to [`leave_out()`] that test.
//! - [`ControlPlane`]: etcd, the API server and, if asked, the controllers, with an audit log of every request.
//! - [`Access`]: who talks to the API server and which way, as a client or a kubeconfig file.
//! - [`Gate`]: a way to the API server that a test can close.
//! - [`Agent`]: binds pods, runs them as local processes and reports about them as a kubelet does.
//! - [`Port`]: a port that no other test has meanwhile.
//! - [`eventually()`]: waits for a condition.
//!
//! Nothing of it outlives the test process, however that ends, and parallel test processes don't get in each other's way.
//!
//! # Example
//!
//! ```no_run
//! use ringhold_test_cluster::{Agent, AgentConfig, ControlPlane, ControlPlaneConfig, binaries_or_skip};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let Some(binaries) = binaries_or_skip() else { return Ok(()) };
//! let cluster = ControlPlane::start(&binaries, ControlPlaneConfig::default()).await?;
//! let namespace = cluster.namespace().await?;
//! let agent = Agent::start(cluster.node_agent().client()?, AgentConfig::processes(&namespace, "target/debug")).await?;
//! // … let the operator create pods in the namespace; each runs as a process with an address of its own.
//! # drop(agent);
//! # Ok(())
//! # }
//! ```

mod access;
mod agent;
mod audit;
mod binaries;
mod certificates;
mod claims;
mod control_plane;
mod eventually;
mod gate;
mod guard;
mod leave_out;
mod program;
mod request;

pub use access::Access;
pub use agent::{Agent, AgentConfig, Run};
pub use audit::AuditEvent;
pub use binaries::{Binaries, Missing, binaries_or_skip};
pub use claims::Port;
pub use control_plane::{ControlPlane, ControlPlaneConfig};
pub use eventually::{eventually, eventually_ok};
pub use gate::Gate;
pub use leave_out::leave_out;
