//! Closed loops: so many connections, each of which asks again once it has its answer. wrk asks, and over HTTP/2 h2load.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cores::Cores;
use crate::peers::{Front, find};
use crate::process::bound;
use crate::scenarios::Load;

/// Requests of a closed loop, all of them answered as they should.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
}

/// What a tool may take beyond its time.
const GRACE: Duration = Duration::from_secs(10);
/// Different keys; fewer where requests are large.
const KEYS: usize = 10_000;
const KEYS_WITH_BODY: usize = 500;
/// Streams of an HTTP/2 connection at one time.
const STREAMS: u16 = 8;

/// All proxies are asked for the same cipher.
const OPENSSL: &str = "openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = one
[one]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
";

/// Runs one. Any answer but 2xx, any broken connection and any answer that is too short is an error.
pub(crate) fn run(folder: &Path, port: u16, load: &Load, connections: u16, seconds: f64) -> anyhow::Result<Done> {
    match load.front {
        Front::Http2 => h2load(folder, port, connections, seconds),
        Front::Http1 | Front::Tls => wrk(folder, port, load, connections, seconds),
    }
}

fn wrk(folder: &Path, port: u16, load: &Load, connections: u16, seconds: f64) -> anyhow::Result<Done> {
    let script = folder.join("wrk.lua");
    std::fs::write(&script, include_str!("wrk.lua"))?;
    let scheme = if load.front == Front::Tls { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{port}{}", load.path);
    let (method, keys) = if load.body_bytes > 0 { ("POST", KEYS_WITH_BODY) } else { ("GET", KEYS) };
    let mut command = bound(Cores::Load, &find("wrk").context("wrk is missing: run benches/proxy/prepare.sh")?)?;
    // wrk counts in whole seconds.
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{}", seconds.ceil()), "--timeout", "5s", "-s"]);
    command.arg(script).args([&url, "--", method, &load.body_bytes.to_string(), &keys.to_string()]);
    command.arg(if load.closes { "close" } else { "keep" });
    if load.front == Front::Tls {
        let configuration = folder.join("openssl.cnf");
        std::fs::write(&configuration, OPENSSL)?;
        command.env("OPENSSL_CONF", configuration);
    }
    let said = output(command, seconds)?;
    let figures = said.lines().find_map(|line| line.strip_prefix("figures ")).context("wrk has counted nothing")?;
    let figures: Vec<f64> = figures.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[requests, microseconds, bytes, refused, broken] = figures.as_slice() else { bail!("wrk said {figures:?}") };
    ensure!(requests > 0.0, "nothing was answered");
    ensure!(refused == 0.0, "{refused} answers of {requests} are no 2xx");
    ensure!(broken == 0.0, "{broken} connections broke or timed out, beside {requests} answers");
    ensure!(bytes >= requests * load.answer_bytes, "answers are too short: {bytes} bytes for {requests}");
    Ok(Done { requests, seconds: microseconds / 1e6 })
}

fn h2load(folder: &Path, port: u16, connections: u16, seconds: f64) -> anyhow::Result<Done> {
    let urls: String = (0..KEYS).map(|key| format!("http://127.0.0.1:{port}/key/user-{key:06}\n")).collect();
    let file = folder.join("urls");
    std::fs::write(&file, urls)?;
    let mut command = bound(Cores::Load, &find("h2load").context("h2load is missing: run benches/proxy/prepare.sh")?)?;
    let clients = (connections / STREAMS).max(1);
    command.args([
        "-t1",
        "-c",
        &clients.to_string(),
        "-m",
        &STREAMS.to_string(),
        "-D",
        &seconds.ceil().to_string(),
        "-i",
    ]);
    let said = output(
        {
            command.arg(file);
            command
        },
        seconds,
    )?;
    let number = |line: &str, before: &str, after: &str| {
        let line =
            said.lines().find_map(|said| said.trim().strip_prefix(line)).with_context(|| format!("no {line}"))?;
        let text = line.split_once(before).map_or("", |(_, text)| text);
        text.split(after).next().unwrap_or_default().trim().parse::<f64>().with_context(|| format!("{line}: {text:?}"))
    };
    let requests = number("status codes:", "", " 2xx")?;
    let (refused, total) = (number("requests:", "succeeded, ", " failed")?, number("requests:", "", " total")?);
    ensure!(total > 0.0, "nothing was answered");
    ensure!(refused == 0.0, "{refused} requests of {total} failed");
    ensure!(requests == total, "{} answers of {total} are no 2xx", total - requests);
    Ok(Done { requests, seconds: number("finished in", "", "s,")? })
}

/// What the command writes within its time.
fn output(mut command: Command, seconds: f64) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + Duration::from_secs_f64(seconds) + GRACE;
    // What they write fits into the pipe.
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                bail!("{command:?} did not end in time");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut said = String::new();
    child.stdout.take().context("no output")?.read_to_string(&mut said)?;
    ensure!(status.success(), "{command:?} failed: {said}");
    Ok(said)
}
