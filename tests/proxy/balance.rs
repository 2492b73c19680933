//! How connections are spread over the workers.

use std::num::NonZeroUsize;

use crate::support::{Client, Fixture, Replica, eventually};

fn has(fixture: &Fixture, worker: usize, connections: usize) -> bool {
    fixture.metrics().contains(&format!("ringhold_worker_connections{{worker=\"{worker}\"}} {connections}\n"))
}

#[tokio::test]
async fn few_connections_are_spread_evenly_wherever_the_kernel_puts_them() {
    let a = Replica::named("a").await;
    let three = NonZeroUsize::new(3).unwrap();
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.workers = three).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = Client::connect(fixture.port).await;
        assert_eq!(client.get("/", &[]).await.body, "a");
        clients.push(client);
    }
    for worker in 0..3 {
        assert!(has(&fixture, worker, 4), "{}", fixture.metrics());
    }
    for client in &mut clients {
        assert_eq!(client.get("/", &[]).await.field("connection"), None, "it stays where it is");
    }
    drop(clients);
    eventually("all have gone", || (0..3).all(|worker| has(&fixture, worker, 0))).await;
}
