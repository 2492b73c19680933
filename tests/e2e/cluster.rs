//! The cluster of a run, and the programs that users drive it with.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longest time for anything that a chapter waits for; what comes true ends the wait at once.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(300);

/// Where Ringhold is installed.
pub(crate) const SYSTEM: &str = "ringhold-system";

/// Two real nodes. Dropping it ends them; so does the end of this process, however it ends.
pub(crate) struct Cluster {
    folder: PathBuf,
    started: Instant,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        assert!(
            std::env::var_os("RINGHOLD_E2E").is_some(),
            "this needs images and a cluster's programs: run `make e2e`"
        );
        let process = std::process::id();
        let cluster =
            Self { folder: std::env::temp_dir().join(format!("ringhold-e2e-{process}")), started: Instant::now() };
        let status = Command::new(root("tests/cluster/node/up.sh"))
            .args(["--owner", &process.to_string(), "--seconds", "2400"])
            .args(["--image", "target/images/ringhold.tar", "--image", "target/images/ringhold-server.tar"])
            .arg(&cluster.folder)
            .current_dir(root(""))
            .status()
            .await
            .unwrap();
        assert!(status.success(), "the cluster does not come up");
        cluster
    }

    pub(crate) fn say(&self, what: impl Display) {
        println!("e2e: {:4}s {what}", self.started.elapsed().as_secs());
    }

    /// Where the cluster lies; it goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the API server writes what service accounts asked it for.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("log/audit.log")
    }

    /// Runs kubectl and returns what it says; a failure fails the test.
    pub(crate) async fn kubectl(&self, args: &str) -> String {
        self.run("kubectl", &words(args), "").await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same with arguments that hold spaces, text to read, and the failure as a value.
    pub(crate) async fn try_kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        self.run("kubectl", args, input).await
    }

    pub(crate) async fn helm(&self, args: &str) -> String {
        self.run("helm", &words(args), "").await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// `kubectl get … --output json`.
    pub(crate) async fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {what} --output json")).await).unwrap()
    }

    /// The `items` of a list.
    pub(crate) async fn list(&self, what: &str) -> Vec<Value> {
        self.get(what).await["items"].as_array().unwrap().clone()
    }

    /// Waits until the check finds something. What it said last is shown if it never does.
    pub(crate) async fn eventually<T>(
        &self,
        what: impl Display,
        mut check: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            match check().await {
                Ok(found) => return found,
                Err(still) => assert!(Instant::now() < end, "{what}: not after {PATIENCE:?}: {still}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn run(&self, program: &str, args: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(root(""))
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            // Helm's own folders, and kubectl's cache.
            .env("HOME", self.folder.join("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} can't be started: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let shown = format!("{program} {}", args.join(" "));
        let output = tokio::time::timeout(2 * PATIENCE, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("`{shown}` does not end")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("`{shown}` failed: {}{}", text(&output.stdout), text(&output.stderr)))
        }
    }

    /// What is needed to find out what went wrong goes to `target/e2e`, and the gist of it to the terminal.
    fn keep_traces(&self) {
        let kept = root("target/e2e");
        let script = "rm -rf \"$1\"; mkdir -p \"$1\"; cp -r \"$2\"/log \"$1\"
            export KUBECONFIG=$2/kubeconfig
            kubectl get loadbalancers,pods,services,endpointslices --all-namespaces --output wide 2>&1 | tee \"$1/overview.txt\"
            kubectl get loadbalancers --all-namespaces --output yaml >\"$1/loadbalancers.yaml\" 2>&1
            kubectl get events --all-namespaces --sort-by .lastTimestamp 2>&1 | tee \"$1/events.txt\" | tail -n 30
            kubectl --namespace ringhold-system describe pods >\"$1/pods.txt\" 2>&1
            for pod in $(kubectl --namespace ringhold-system get pods --output name); do
                kubectl --namespace ringhold-system logs \"$pod\" >\"$1/${pod#pod/}.log\" 2>&1
                kubectl --namespace ringhold-system logs --previous \"$pod\" >\"$1/${pod#pod/}.previous.log\" 2>/dev/null
                echo \"$pod:\"; grep -v DEBUG \"$1/${pod#pod/}.log\" | tail -n 15
            done";
        drop(
            BlockingCommand::new("timeout")
                .args(["60", "bash", "-c", script, "-"])
                .args([&kept, &self.folder])
                .status(),
        );
        println!("e2e: more is in {}", kept.display());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && self.folder.join("kubeconfig").exists() {
            self.keep_traces();
        }
        drop(BlockingCommand::new(root("tests/cluster/node/down.sh")).arg(&self.folder).status());
    }
}

/// A place in the checkout.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
