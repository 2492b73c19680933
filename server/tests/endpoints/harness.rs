//! The binary on a free port, and just enough of a client. Everything waits for conditions, with one generous limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// As sent: with its chunks, where it is chunked.
    pub(crate) raw_body: Vec<u8>,
}

pub(crate) fn command(env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold-server"));
    command.env_clear().env("HOST", "127.0.0.1").env("PORT", "0").envs(env.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// Waits until a process has ended.
pub(crate) fn exit_status(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "still running");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        let mut child = command(env).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse();
        Self { child, address: address.unwrap_or_else(|_| panic!("said {line:?}")), stdout }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end; returns how, and what was said after the first line.
    pub(crate) fn finish(&mut self) -> (ExitStatus, String) {
        let status = exit_status(&mut self.child);
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// Waits until no connection is accepted any more.
    pub(crate) fn wait_until_refusing(&self) {
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < deadline, "still accepts");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    pub(crate) fn request(&self, method: &str, target: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Sends a whole request that asks to close, and reads all that comes.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(&mut BufReader::new(stream))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// === impl Answer ===

impl Answer {
    /// Reads an answer's head.
    pub(crate) fn read_head(stream: &mut impl BufRead) -> Self {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0, "ended within the head: {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &String| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self { status, headers: lines[1..].iter().map(header).collect(), raw_body: Vec::new() }
    }

    fn read(stream: &mut impl BufRead) -> Self {
        let mut answer = Self::read_head(stream);
        stream.read_to_end(&mut answer.raw_body).unwrap();
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The sizes of a chunked body's chunks, and the body without them.
    pub(crate) fn chunks(&self) -> (Vec<usize>, String) {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"));
        let (mut rest, mut sizes, mut body) = (&self.raw_body[..], Vec::new(), String::new());
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's size");
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            if size == 0 {
                return (sizes, body);
            }
            sizes.push(size);
            body.push_str(std::str::from_utf8(&rest[end + 2..][..size]).unwrap());
            rest = &rest[end + 2 + size + 2..];
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.raw_body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.raw_body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}
