//! Warnings on standard error: enough to find the cause, few enough for any load.

use crate::harness::{Manifest, Ringhold, free_port};

#[tokio::test]
async fn a_fleet_that_serves_nobody_is_warned_of_once_and_not_by_every_request() {
    let manifest = Manifest { replicas: 0, ..Manifest::new(free_port()) };
    let ringhold = Ringhold::start(&manifest).await;
    let mut client = ringhold.client();
    for _ in 0..300 {
        assert_eq!(client.get("/home", &[]).await.unwrap().0, 503);
    }
    ringhold.says("no replica can take requests").await;
    let story = ringhold.story();
    let warnings: Vec<&str> = story.lines().filter(|line| line.contains("no replica can take requests")).collect();
    assert!(warnings.len() <= 2, "300 requests within one or two intervals:\n{story}");
    assert!(warnings[0].contains("fleet=web") && warnings[0].contains("NoReplica"), "{story}");
}
