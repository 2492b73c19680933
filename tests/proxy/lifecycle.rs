//! Stopping in order.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::support::{Client, Fixture, Replica, eventually, read_head};

const LONG: Duration = Duration::from_secs(10);

/// Answers when it is told to.
async fn gated() -> (Replica, Arc<AtomicUsize>, Arc<Notify>) {
    let (arrived, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, wait) = (Arc::clone(&arrived), Arc::clone(&gate));
    let replica = Replica::raw(move |mut stream| {
        let (counter, wait) = (Arc::clone(&counter), Arc::clone(&wait));
        async move {
            while !read_head(&mut stream).await.is_empty() {
                counter.fetch_add(1, SeqCst);
                wait.notified().await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (replica, arrived, gate)
}

#[tokio::test]
async fn running_requests_finish_and_idle_connections_close() {
    let (replica, arrived, gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut idle = Client::connect(fixture.port).await;
    gate.notify_one();
    assert_eq!(idle.get("/", &[]).await.field("connection"), None);
    let mut running = Client::connect(fixture.port).await;
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is there", || arrived.load(SeqCst) == 2).await;

    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    assert!(idle.is_closed_now().await);
    assert!(!shutdown.is_finished());
    gate.notify_one();
    let response = running.response("GET").await.unwrap();
    assert_eq!((response.body.as_str(), response.field("connection")), ("done", Some("close")));
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_in_use_gets_one_more_answer_which_says_that_it_is_the_last() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut client = Client::connect(fixture.port).await;
    assert_eq!(client.get("/", &[]).await.field("connection"), None);
    let port = fixture.port;
    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    eventually("nobody listens any more", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let response = client.response("POST").await.unwrap();
    assert_eq!((response.body.as_str(), response.field("connection")), ("a", Some("close")));
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_whose_response_began_before_the_end_does_not_hold_it_up() {
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let replica = Replica::raw(move |mut stream| {
        let wait = Arc::clone(&wait);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo").await.unwrap();
            wait.notified().await;
            stream.write_all(b"ne").await.unwrap();
            read_head(&mut stream).await;
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut client = Client::connect(fixture.port).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    let port = fixture.port;
    let shutdown = tokio::spawn(fixture.handle.shutdown(Duration::from_secs(60)));
    eventually("nobody listens any more", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    gate.notify_one();
    let ended = tokio::time::timeout(LONG, shutdown).await.expect("long before the deadline");
    assert_eq!(ended.unwrap(), 0, "nothing was cut");
}

#[tokio::test]
async fn what_runs_past_the_deadline_is_cut_and_counted() {
    let (replica, arrived, _gate) = gated().await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut running = Client::connect(fixture.port).await;
    running.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is there", || arrived.load(SeqCst) == 1).await;
    assert_eq!(fixture.handle.shutdown(Duration::from_millis(100)).await, 1);
    assert!(running.is_closed_now().await);
}

#[tokio::test]
async fn nobody_who_got_a_connection_before_the_shutdown_is_reset() {
    let a = Replica::named("a").await;
    let two = NonZeroUsize::new(2).unwrap();
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.workers = two).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Client::connect(fixture.port).await);
    }
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    let shutdown = tokio::spawn(fixture.handle.shutdown(LONG));
    for mut client in clients {
        assert_eq!(client.response("GET").await.unwrap().body, "a");
    }
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_up_the_shutdown() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut silent = Client::connect(fixture.port).await;
    let metrics = fixture.handle.metrics();
    eventually("it is accepted", || metrics.client_connections() == 1).await;
    let started = Instant::now();
    assert_eq!(fixture.handle.shutdown(LONG).await, 0);
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
    assert!(silent.is_closed_now().await);
}

#[tokio::test]
async fn after_a_shutdown_nobody_listens() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let port = fixture.port;
    fixture.handle.shutdown(LONG).await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
    assert_eq!(fixture.listeners.listen(port).await, Err(ringhold::routes::ListenError::ShuttingDown));
}
