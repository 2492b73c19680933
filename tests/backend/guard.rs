//! What is left when Ringhold ends is killed.

use std::io::{self, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use ringhold::backend::process::guard;
use rustix::process::{Pid, Signal};

use crate::fleet::{replica, script};
use crate::harness::{Process, eventually, until_ended};

/// A process in a group of its own, which is killed with this value.
struct Group(Child);

impl Group {
    fn start() -> Self {
        Self(Command::new("sleep").arg("300").process_group(0).spawn().unwrap())
    }

    async fn signal(&mut self) -> Option<i32> {
        eventually("the process ends", || self.0.try_wait().unwrap()).await.signal()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn groups_that_have_begun_and_not_ended_are_killed_at_the_end_of_the_input() {
    let [mut left, mut ended, mut unnamed] = std::array::from_fn(|_| Group::start());
    let commands = format!("+{}\n+{}\n-{}\n", left.0.id(), ended.0.id(), ended.0.id());
    guard::run(commands.as_bytes()).unwrap();
    assert_eq!(left.signal().await, Some(Signal::KILL.as_raw()));
    assert_eq!((ended.0.try_wait().unwrap(), unnamed.0.try_wait().unwrap()), (None, None));
}

#[tokio::test]
async fn lines_that_say_nothing_change_nothing() {
    let mut group = Group::start();
    let commands = format!("\n+\n-\n+x\nö\n+{}\n*1\n-0\n+99999999999\n", group.0.id());
    guard::run(commands.as_bytes()).unwrap();
    assert_eq!(group.signal().await, Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn an_input_that_breaks_is_an_end_too() {
    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }

    let mut group = Group::start();
    let commands = format!("+{}\n", group.0.id());
    let error = guard::run(BufReader::new(commands.as_bytes().chain(Broken))).unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(group.signal().await, Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn replicas_and_their_children_end_with_the_backend() {
    let (send, receive) = tokio::sync::oneshot::channel::<[Pid; 2]>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let harness = Process::new();
            let desired = script("sleep 300 & echo child $!; echo parent $$$$; wait");
            let parent = harness.start(&desired, &replica(&desired, 0, 0), "parent ").await;
            let child = crate::harness::pid(&harness.line("child ").await.1);
            send.send([parent, child]).unwrap();
        });
    });
    for pid in receive.await.unwrap() {
        until_ended(pid).await;
    }
}

/// Group 1 stands for every process of the machine, which is no test to run; a sign is no part of an id.
#[tokio::test]
async fn only_plain_numbers_name_groups() {
    let mut group = Group::start();
    let commands = format!("+-5\n+-{id}\n+0\n++{id}\n+ {id}\n", id = group.0.id());
    guard::run(commands.as_bytes()).unwrap();
    assert_eq!(group.0.try_wait().unwrap(), None);
}
