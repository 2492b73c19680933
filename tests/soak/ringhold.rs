//! The real Ringhold: its process as the kernel sees it, its admin server, and the replicas that it has started.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longest time for anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running one.
pub(crate) struct Ringhold {
    child: Child,
    admin: u16,
    /// All that it has written.
    log: PathBuf,
}

/// What its process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Has {
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// A replica that it has started.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) pid: Pid,
}

/// A page of metrics: by name, and labels as they are written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Metrics(BTreeMap<(String, String), f64>);

// === impl Ringhold ===

impl Ringhold {
    pub(crate) fn start(manifests: &Path, access_log: &Path, admin: u16, log: PathBuf) -> anyhow::Result<Self> {
        let program = Path::new(env!("CARGO_BIN_EXE_ringhold"));
        let programs = program.parent().context("it lies in a folder")?;
        let server = programs.join("ringhold-server");
        ensure!(server.exists(), "{} is missing: build the whole workspace first", server.display());
        let path = [programs.as_os_str(), &std::env::var_os("PATH").unwrap_or_default()].join(OsStr::new(":"));
        let file = File::create(&log)?;
        let mut command = Command::new(program);
        command.args(["local", "--workers", "2", "--access-log-format", "json"]);
        command.arg("--admin-address").arg(format!("127.0.0.1:{admin}"));
        command.arg("--access-log").arg(access_log).arg("--file").arg(manifests).env("PATH", path);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn()?, admin, log })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn has(&self) -> anyhow::Result<Has> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(process.join("status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Ok(Has {
            memory: of("VmRSS").context("no VmRSS")?,
            descriptors: std::fs::read_dir(process.join("fd"))?.count(),
            threads: usize::try_from(of("Threads").context("no Threads")?)?,
        })
    }

    /// Ends it as a user does, and waits for the end.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        kill_process(self.pid(), Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "it does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Lines of its log that tell of what must not be.
    pub(crate) fn errors(&self) -> anyhow::Result<Vec<String>> {
        let text = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
        let is_wrong = |line: &&str| line.contains("ERROR") || line.contains("panicked");
        Ok(text.lines().filter(is_wrong).map(str::to_owned).collect())
    }

    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics::parse(&ask(self.admin, "GET", "/metrics").await?.1))
    }

    /// What the admin API says of a LoadBalancer; `None` if it knows none.
    pub(crate) async fn show(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let (status, body) = ask(self.admin, "GET", &format!("/api/v1/loadbalancers/{name}")).await?;
        Ok(if status == 200 { Some(serde_json::from_str(&body)?) } else { None })
    }

    /// Waits until this holds of what the admin API says of a LoadBalancer.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(Option<&Value>) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // At first nobody answers.
            let shown = self.show(name).await;
            if let Ok(shown) = &shown
                && holds(shown.as_ref())
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{name} is never {what}: {shown:?}\n{}", self.last_words());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A LoadBalancer's replicas that are ready, by the processes that this Ringhold has started and no others.
    pub(crate) async fn replicas(&self, name: &str) -> anyhow::Result<Vec<Replica>> {
        let shown = self.show(name).await?.context("no such LoadBalancer")?;
        let children = self.children()?;
        let ready = shown["replicas"].as_array().into_iter().flatten().filter(|shown| shown["state"] == "Ready");
        let replicas = ready.filter_map(|shown| {
            let name = shown["name"].as_str()?;
            let port = shown["address"].as_str()?.rsplit_once(':')?.1.parse().ok()?;
            Some(Replica { name: name.to_owned(), port, pid: *children.get(name)? })
        });
        Ok(replicas.collect())
    }

    /// By the names that it has given them.
    fn children(&self) -> anyhow::Result<BTreeMap<String, Pid>> {
        let mut children = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread or a child may end at any time.
            let ids = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            for id in ids.split_whitespace() {
                let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
                let name = environment.split(|byte| *byte == 0).find_map(|line| line.strip_prefix(b"RINGHOLD_NAME="));
                if let (Some(name), Some(pid)) = (name, Pid::from_raw(id.parse()?)) {
                    children.insert(String::from_utf8_lossy(name).into_owned(), pid);
                }
            }
        }
        Ok(children)
    }
}

impl Drop for Ringhold {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether nothing is left to do for a LoadBalancer.
pub(crate) fn is_settled(shown: Option<&Value>) -> bool {
    let holds = |kind: &str, status: &str| {
        let conditions = shown.and_then(|shown| shown["conditions"].as_array()).into_iter().flatten();
        conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == status)
    };
    holds("Progressing", "False") && holds("Available", "True")
}

/// One question on a connection of its own.
pub(crate) async fn ask(port: u16, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let head = format!("{method} {path} HTTP/1.0\r\nHost: soak\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, asked).await.with_context(|| format!("{method} {path} is not answered"))??;
    let (Some((_, body)), Some(status)) = (answer.split_once("\r\n\r\n"), answer.get(9..12)) else {
        bail!("{method} {path} is answered with {answer:?}")
    };
    Ok((status.parse()?, body.to_owned()))
}

// === impl Metrics ===

impl Metrics {
    fn parse(page: &str) -> Self {
        let samples = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some(((name.to_owned(), labels.trim_end_matches('}').to_owned()), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// Labels and values of what has this name.
    pub(crate) fn of<'m>(&'m self, name: &'m str) -> impl Iterator<Item = (&'m str, u64)> {
        let of = self.0.range((name.to_owned(), String::new())..).take_while(move |((own, _), _)| own == name);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters, far below 2⁵³")]
        of.map(|((_, labels), value)| (labels.as_str(), *value as u64))
    }

    /// The sum over all whose labels fulfil the condition.
    pub(crate) fn sum(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> u64 {
        self.of(name).filter(|(labels, _)| is_meant(labels)).map(|(_, value)| value).sum()
    }

    /// Only what is said of this LoadBalancer.
    pub(crate) fn only(&self, load_balancer: &str) -> Self {
        let is_meant = |labels: &str| label(labels, "loadbalancer") == Some(load_balancer);
        Self(
            self.0
                .iter()
                .filter(|((_, labels), _)| is_meant(labels))
                .map(|(key, value)| (key.clone(), *value))
                .collect(),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, value) in &other.0 {
            *self.0.entry(key.clone()).or_default() += value;
        }
    }
}

/// The value of a label.
pub(crate) fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}
