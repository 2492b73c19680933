//! What kubectl says of the fleet, to people who read no logs.

use crate::fleet::{Fleet, uids};

/// A template that can't start is told of everywhere, and mended; meanwhile what runs goes on.
pub(crate) async fn kubectl_tells_of_a_template_that_cannot_start(fleet: &Fleet<'_>) {
    let before = uids(&fleet.pods().await);
    let container = |image: &str, policy: &str| {
        format!(
            r#"[{{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "{image}"}},
                {{"op": "add", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "{policy}"}}]"#
        )
    };
    let broken = fleet.under_load("rolls out an image that is not there", async {
        fleet.patch("json", &container("ringhold-server:nowhere", "Never")).await;
        let told = fleet.cluster.eventually("the failure is told", async || {
            let list = fleet.cluster.kubectl("get lb web").await;
            if list.contains("ReplicaFailing") { Ok(()) } else { Err(list) }
        });
        told.await;
    });
    broken.await.lost_no_post_either().moved_no_key();

    let list = fleet.cluster.kubectl("get lb web").await;
    let shows = |line: Option<&str>| line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        shows(list.lines().next()),
        ["NAME", "DESIRED", "READY", "UPDATED", "PORT", "ACCEPTED", "STATE", "HEALTH", "AGE"]
    );
    assert_eq!(
        shows(list.lines().nth(1))[1..8],
        ["3", "3", "1", "5000", "True", "RollingOut", "ReplicaFailing"],
        "{list}"
    );
    let cause = "can't get ready: container server: ErrImageNeverPull";
    let description = fleet.cluster.eventually("the Events are told", async || {
        let text = fleet.cluster.kubectl("describe lb web").await;
        let (conditions, events) = text.split_once("\nEvents:").unwrap_or((&text, ""));
        if conditions.contains(cause) && events.contains(cause) { Ok(text) } else { Err(text) }
    });
    description.await;
    assert!(before.is_subset(&uids(&fleet.pods().await)), "a replica was given up for one that can't start");

    fleet.cluster.say("takes it back");
    fleet.patch("json", &container("ringhold-server:0.1.0", "IfNotPresent")).await;
    fleet.is_as_at_first().await;
    let list = fleet.cluster.kubectl("get lb web").await;
    assert!(list.contains("Settled") && list.contains("AsExpected"), "{list}");
}

/// Every field has words of its own, by which `kubectl explain` reads well.
pub(crate) async fn kubectl_explains_the_resource(fleet: &Fleet<'_>) {
    let text = fleet.cluster.kubectl("explain lb.spec").await;
    let (_, fields) = text.split_once("FIELDS:\n").expect("kubectl lists the fields");
    // A field stands two columns in, and its words four, right below it.
    // Between them may be what it can be.
    let lines: Vec<&str> = fields.lines().filter(|line| !line.starts_with("  enum: ")).collect();
    for field in lines.windows(2).filter(|lines| lines[0].starts_with("  ") && !lines[0].starts_with("   ")) {
        let words = field[1].strip_prefix("    ").unwrap_or_default();
        assert!(!words.is_empty() && words != "<no description>", "`{}` is not explained", field[0].trim());
    }
    let health = fleet.cluster.kubectl("explain lb.spec.health.startupSeconds").await;
    assert!(health.contains("DESCRIPTION"), "{health}");
}
