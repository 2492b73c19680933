//! slowhttptest: clients that take their time. Others are served meanwhile, and the slow ones are cut off.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::harness::PATIENCE;
use crate::programs::{program, run};
use crate::served::Served;

const CONNECTIONS: u32 = 100;
/// Longest time for an answer to others; a busy machine has its pauses, but none like an attack that works.
const PROBE: Duration = Duration::from_secs(10);

/// Attacks until no connection is left; after how many seconds that was, and all that it said.
async fn attack(served: &Served, options: &[&str], path: &str) -> (u32, String) {
    let (connections, url) = (CONNECTIONS.to_string(), served.url(path));
    // All connections at once, and a probe beside them.
    let args = [
        "-c",
        &connections,
        "-r",
        &connections,
        "-p",
        &PROBE.as_secs().to_string(),
        "-l",
        "100",
        "-v",
        "1",
        "-u",
        &url,
    ];
    let said = plain(&run("slowhttptest", options.iter().chain(&args)).await.well());
    assert!(said.contains("Exit status: No open connections left"), "{said}");
    let seconds = said.split("Test ended on ").nth(1).expect(&said);
    (seconds.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap(), said)
}

/// Each of its looks said so.
fn is_available(said: &str) -> bool {
    let looks: Vec<_> = said.lines().filter(|line| line.starts_with("service available:")).collect();
    !looks.is_empty() && looks.iter().all(|line| line.ends_with("YES"))
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(['m', 'J', 'H']).map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn slow_heads_are_cut_off_after_half_a_minute() {
    let served = Served::clear().await;
    // A field each second, so that no connection is ever idle.
    let (seconds, said) = attack(&served, &["-H", "-i", "1"], "/whoami").await;
    assert!((29..=35).contains(&seconds) && is_available(&said), "{said}");
}

#[tokio::test]
async fn slow_bodies_are_cut_off_when_their_idle_time_is_over() {
    let served = Served::with("timeouts: {idleSeconds: 3}", &[]).await;
    let (seconds, said) = attack(&served, &["-B", "-i", "10"], "/echo").await;
    assert!((3..=8).contains(&seconds) && is_available(&said), "{said}");
}

#[tokio::test]
async fn bodies_that_trickle_are_cut_off_when_they_have_used_up_their_minute() {
    let served = Served::with("", &["--min-client-rate", "1000"]).await;
    // A few bytes each second, of a megabyte, before there is an answer: who has one already may let the replica wait.
    let options = ["-B", "-i", "1", "-x", "2", "-s", "1000000"];
    let mut attack = pin!(attack(&served, &options, "/slow?ms=100000"));
    // Its own probe would wait as long for its answer.
    let mut client = served.ringhold.client();
    let seconds = loop {
        tokio::select! {
            (seconds, _) = &mut attack => break seconds,
            () = sleep(Duration::from_millis(500)) => {}
        }
        let asked = timeout(PROBE, client.get("/home", &[])).await.expect("available");
        assert_eq!(asked.unwrap().0, 200);
    };
    assert!((50..=90).contains(&seconds), "{seconds} s");
}

#[tokio::test]
async fn slow_readers_are_cut_off() {
    let served = Served::with("timeouts: {idleSeconds: 5}", &[]).await;
    let (connections, url) = (CONNECTIONS.to_string(), served.url("/bytes?n=10000000"));
    let mut command = program("slowhttptest");
    command.args(["-X", "-c", &connections, "-r", &connections, "-w", "10", "-y", "20", "-n", "1", "-z", "5"]);
    let mut attack = command.args(["-p", &PROBE.as_secs().to_string(), "-l", "100", "-u", &url]).spawn().unwrap();
    let held = async |holds: &dyn Fn(f64) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !holds(served.counted("ringhold_client_connections").await) {
            assert!(Instant::now() < deadline, "never");
            sleep(Duration::from_millis(50)).await;
        }
    };
    held(&|connections| connections >= f64::from(CONNECTIONS)).await;
    // It does not see the end itself, as it still reads what its system has taken in.
    assert_eq!(served.ringhold.client().get("/home", &[]).await.unwrap().0, 200);
    held(&|connections| connections < 10.0).await;
    assert!(attack.try_wait().unwrap().is_none(), "it would still go on");
}
