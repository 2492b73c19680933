//! The planner's decisions, one table row each: given what is there, exactly these actions.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::plan;
use crate::model::{
    Action, ConditionStatus, ConditionType, Container, Desired, FleetId, FleetUid, Health, Incarnation, Limits,
    Listener, NewReplica, Observed, Ordinal, Rejection, Replica, ReplicaName, ReplicaState, ReplicaUid, Retries,
    Rollout, RoutePolicy, TargetProtocol, Template, TemplateHash, Timeouts, Traffic,
};

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    T0 + Duration::from_secs(seconds.unsigned_abs())
}

fn hash(name: &str) -> TemplateHash {
    TemplateHash(name.into())
}

fn desired(replicas: u16) -> Desired {
    let second = Duration::from_secs(1);
    Desired {
        id: FleetId::local("web"),
        uid: FleetUid::default(),
        generation: 1,
        replicas,
        template: mk_template("new"),
        rollout: Rollout {
            max_surge: 1,
            max_unavailable: 0,
            min_ready: Duration::ZERO,
            drain_timeout: 30 * second,
            slow_start: Duration::ZERO,
        },
        health: Health {
            path: Some("/".to_owned()),
            period: second,
            timeout: second,
            failure_threshold: 3,
            replace_after: 60 * second,
            startup: 600 * second,
        },
        route: Arc::new(RoutePolicy {
            listener: Listener { port: 5000, hostnames: Vec::new(), tls: None },
            hash_key: Vec::new(),
            key_hash: Default::default(),
            ring: Default::default(),
            weights: Default::default(),
            bounded_load: None,
            timeouts: Timeouts { connect: second, response_header: second, idle: second },
            retries: Retries { attempts: 2, budget_percent: 20 },
            limits: Limits { max_concurrent_per_replica: 0, max_body_bytes: 0 },
            replica_tls: None,
            target_protocol: TargetProtocol::Http1,
        }),
    }
}

fn mk_template(name: &str) -> Arc<Template> {
    let container = Container {
        name: "server".to_owned(),
        image: String::new(),
        command: vec!["server".to_owned()],
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        working_dir: None,
        port: 8080,
    };
    Arc::new(Template {
        hash: hash(name),
        manifest: serde_json::Value::Null,
        containers: vec![container],
        termination_grace: Duration::from_secs(30),
    })
}

/// A ready replica of the wanted template, since `T0`.
fn ready(ordinal: u16) -> Replica {
    let incarnation = Incarnation(0);
    let mut replica = Replica {
        name: ReplicaName::new(&FleetId::local("web"), Ordinal(ordinal), &hash("new"), incarnation),
        uid: ReplicaUid("".into()),
        ordinal: Ordinal(ordinal),
        incarnation,
        template: hash("new"),
        failures: 0,
        address: Some(([127, 0, 0, 1], 9000 + ordinal).into()),
        state: ReplicaState::Ready { since: T0 },
        created_at: T0,
        draining_since: None,
        remove_first: false,
        trouble: None,
        traffic: Traffic { routed: true, in_flight: 0 },
    };
    replica.uid = uid(&replica);
    replica
}

fn uid(replica: &Replica) -> ReplicaUid {
    ReplicaUid(format!("uid-{}", replica.name).into())
}

fn with(mut replica: Replica, change: impl FnOnce(&mut Replica)) -> Replica {
    change(&mut replica);
    replica.name = ReplicaName::new(&FleetId::local("web"), replica.ordinal, &replica.template, replica.incarnation);
    replica.uid = uid(&replica);
    replica
}

fn starting(ordinal: u16) -> Replica {
    with(ready(ordinal), |replica| replica.state = ReplicaState::Starting)
}

fn unready(ordinal: u16) -> Replica {
    with(ready(ordinal), |replica| replica.state = ReplicaState::Unready { since: T0 })
}

fn old(ordinal: u16) -> Replica {
    with(ready(ordinal), |replica| replica.template = hash("old"))
}

fn dead(ordinal: u16, failures: u32) -> Replica {
    with(ready(ordinal), |replica| {
        replica.failures = failures;
        replica.state = ReplicaState::Dead { since: T0, ready_for: Duration::ZERO, reason: "exit status 1".to_owned() };
    })
}

fn again(replica: Replica, incarnation: u32) -> Replica {
    with(replica, |replica| replica.incarnation = Incarnation(incarnation))
}

fn draining(replica: Replica, traffic: Traffic) -> Replica {
    with(replica, |replica| {
        replica.draining_since = Some(T0);
        replica.traffic = traffic;
    })
}

fn observed(replicas: impl Into<Vec<Replica>>) -> Observed {
    Observed { replicas: replicas.into(), ..Observed::default() }
}

fn create(ordinal: u16, incarnation: u32, failures: u32) -> Action {
    let (ordinal, incarnation) = (Ordinal(ordinal), Incarnation(incarnation));
    let name = ReplicaName::new(&FleetId::local("web"), ordinal, &hash("new"), incarnation);
    Action::Create(NewReplica { name, ordinal, incarnation, template: hash("new"), failures })
}

fn drain(replica: &Replica, since: Timestamp) -> Action {
    Action::Drain { name: replica.name.clone(), uid: replica.uid.clone(), since }
}

fn delete(replica: &Replica) -> Action {
    Action::Delete { name: replica.name.clone(), uid: replica.uid.clone() }
}

fn actions(desired: &Desired, replicas: impl Into<Vec<Replica>>, now: Timestamp) -> Vec<Action> {
    plan(desired, &observed(replicas), now).actions
}

fn members(desired: &Desired, replicas: impl Into<Vec<Replica>>) -> Vec<u16> {
    plan(desired, &observed(replicas), T0).members.into_iter().map(|ordinal| ordinal.0).collect()
}

// === scale ===

#[test]
fn missing_ordinals_are_filled_from_the_lowest() {
    assert_eq!(actions(&desired(3), [], T0), [create(0, 0, 0), create(1, 0, 0), create(2, 0, 0)]);
    assert_eq!(actions(&desired(3), [ready(0), ready(2)], T0), [create(1, 0, 0)]);
}

#[test]
fn a_settled_fleet_needs_nothing() {
    let plan = plan(&desired(2), &observed([ready(0), ready(1)]), at(5));
    assert_eq!((plan.actions, plan.next_check), (vec![], None));
    assert_eq!(plan.status.condition(ConditionType::Progressing).unwrap().status, ConditionStatus::False);
    assert_eq!(plan.status.condition(ConditionType::Degraded).unwrap().status, ConditionStatus::False);
    assert_eq!(plan.status.condition(ConditionType::Available).unwrap().status, ConditionStatus::True);
}

#[test]
fn the_highest_ordinals_go_first_when_all_are_alike() {
    let replicas = [ready(0), ready(1), ready(2)];
    assert_eq!(members(&desired(1), replicas.clone()), [0]);
    assert_eq!(actions(&desired(1), replicas.clone(), at(9)), [drain(&replicas[1], at(9)), drain(&replicas[2], at(9))]);
}

#[test]
fn unready_replicas_drain_before_ready_ones() {
    let replicas = [unready(0), ready(1), ready(2)];
    assert_eq!(members(&desired(2), replicas.clone()), [1, 2]);
    assert_eq!(actions(&desired(2), replicas.clone(), T0), [drain(&replicas[0], T0)]);
}

#[test]
fn marked_replicas_drain_before_all_others() {
    let marked = with(ready(0), |replica| replica.remove_first = true);
    let replicas = [marked.clone(), unready(1), ready(2)];
    assert_eq!(members(&desired(2), replicas.clone()), [1, 2]);
    assert_eq!(actions(&desired(2), replicas, T0), [drain(&marked, T0)]);
}

#[test]
fn a_gap_left_by_an_earlier_victim_is_kept_through_a_death() {
    let replicas = [ready(0), ready(2), dead(3, 0)];
    assert_eq!(members(&desired(3), replicas.clone()), [0, 2, 3]);
    assert_eq!(actions(&desired(3), replicas, T0), [create(3, 1, 1)]);
}

// === drain ===

#[test]
fn a_draining_replica_is_deleted_only_once_no_table_names_it_and_it_is_idle() {
    let busy = Traffic { routed: false, in_flight: 2 };
    let still_routed = Traffic { routed: true, in_flight: 0 };
    let idle = Traffic { routed: false, in_flight: 0 };
    let leaving = |traffic| draining(ready(1), traffic);
    assert_eq!(actions(&desired(1), [ready(0), leaving(still_routed)], at(1)), []);
    assert_eq!(actions(&desired(1), [ready(0), leaving(busy)], at(1)), []);
    assert_eq!(actions(&desired(1), [ready(0), leaving(idle)], at(1)), [delete(&leaving(idle))]);
    assert_eq!(actions(&desired(1), [ready(0), leaving(busy)], at(30)), [delete(&leaving(busy))]);
    let waits = plan(&desired(1), &observed([ready(0), leaving(busy)]), at(1));
    assert_eq!(waits.next_check, Some(at(30)));
}

#[test]
fn who_only_follows_does_not_look_again_and_again_past_a_drains_deadline() {
    let leaving = draining(ready(1), Traffic { routed: false, in_flight: 1 });
    let check = |now| plan(&desired(1), &observed([ready(0), leaving.clone()]), now).next_check;
    assert_eq!(check(at(29)), Some(at(30)));
    assert_eq!(check(at(31)), None, "it is the leader's turn");
}

#[test]
fn an_ordinal_that_comes_back_does_not_wait_for_its_draining_predecessor() {
    let leaving = draining(ready(1), Traffic { routed: false, in_flight: 1 });
    assert_eq!(actions(&desired(2), [ready(0), leaving], at(1)), [create(1, 1, 0)]);
}

// === replace ===

#[test]
fn the_first_death_is_replaced_at_once_and_the_dead_one_forgotten_after() {
    assert_eq!(actions(&desired(1), [dead(0, 0)], T0), [create(0, 1, 1)]);
    let replaced = again(starting(0), 1);
    assert_eq!(actions(&desired(1), [dead(0, 0), replaced], T0), [delete(&dead(0, 0))]);
}

#[test]
fn repeated_deaths_are_replaced_ever_more_slowly() {
    for (failures, delay) in [(1, 1), (2, 2), (3, 4), (8, 128), (20, 300)] {
        let early = plan(&desired(1), &observed([dead(0, failures)]), at(delay - 1));
        assert_eq!((early.actions, early.next_check), (vec![], Some(at(delay))), "after {failures} failures");
        assert_eq!(actions(&desired(1), [dead(0, failures)], at(delay)), [create(0, 1, failures + 1)]);
    }
}

#[test]
fn a_death_after_a_stable_life_counts_as_the_first() {
    let stable = with(dead(0, 7), |replica| {
        let reason = "killed by signal 9".to_owned();
        replica.state = ReplicaState::Dead { since: T0, ready_for: Duration::from_secs(60), reason };
    });
    assert_eq!(actions(&desired(1), [stable], T0), [create(0, 1, 1)]);
}

#[test]
fn a_changed_template_does_not_wait_for_the_old_ones_backoff() {
    let failed = with(dead(0, 9), |replica| replica.template = hash("old"));
    assert_eq!(actions(&desired(1), [failed.clone()], T0), [create(0, 1, 0), delete(&failed)]);
}

#[test]
fn a_replica_deleted_by_others_is_replaced_while_it_terminates() {
    let leaving = with(ready(0), |replica| replica.state = ReplicaState::Terminating);
    assert_eq!(actions(&desired(1), [leaving], T0), [create(0, 1, 0)]);
}

#[test]
fn a_replica_that_stays_unready_is_replaced_one_at_a_time() {
    let replicas = [unready(0), unready(1), ready(2)];
    let early = plan(&desired(3), &observed(replicas.clone()), at(59));
    assert_eq!((early.actions, early.next_check), (vec![], Some(at(60))));
    assert_eq!(actions(&desired(3), replicas.clone(), at(60)), [drain(&replicas[0], at(60))]);
    let under_way = [
        with(again(starting(0), 1), |replica| (replica.created_at, replica.failures) = (at(61), 1)),
        unready(1),
        ready(2),
    ];
    assert_eq!(actions(&desired(3), under_way, at(62)), []);
}

#[test]
fn an_ordinal_that_keeps_dying_does_not_keep_an_unready_one_from_being_replaced() {
    let replicas = [dead(0, 9), unready(1), ready(2)];
    assert_eq!(actions(&desired(3), replicas.clone(), at(60)), [drain(&replicas[1], at(60))]);
    let grows = [ready(0), unready(1), starting(2)];
    assert_eq!(actions(&desired(3), grows.clone(), at(60)), [drain(&grows[1], at(60))]);
}

#[test]
fn a_replica_that_never_turns_ready_is_replaced_and_counts_as_a_failure() {
    assert_eq!(actions(&desired(1), [starting(0)], at(599)), []);
    assert_eq!(actions(&desired(1), [starting(0)], at(600)), [drain(&starting(0), at(600))]);
    let given_up = draining(starting(0), Traffic::default());
    assert_eq!(actions(&desired(1), [given_up.clone()], at(600)), [create(0, 1, 1), delete(&given_up)]);
    let fifth = with(starting(0), |replica| replica.failures = 4);
    assert_eq!(actions(&desired(1), [fifth.clone()], at(607)), []);
    assert_eq!(actions(&desired(1), [fifth.clone()], at(608)), [drain(&fifth, at(608))]);
    let degraded = plan(&desired(1), &observed([fifth]), at(1)).status;
    assert_eq!(degraded.condition(ConditionType::Degraded).unwrap().reason, "ReplicaFailing");
}

#[test]
fn a_replica_that_starts_for_long_says_what_is_waited_for() {
    let reason = |now| plan(&desired(1), &observed([starting(0)]), now).status.members[0].reason.clone();
    assert_eq!(reason(at(14)), None);
    assert_eq!(plan(&desired(1), &observed([starting(0)]), at(1)).next_check, Some(at(15)));
    assert_eq!(reason(at(15)).unwrap(), "GET / has not been answered with 200 to 399 yet");
}

#[test]
fn a_refused_create_is_tried_again_with_backoff_and_degrades_the_fleet() {
    let rejection = Rejection {
        ordinal: Ordinal(0),
        template: hash("new"),
        count: 2,
        at: T0,
        reason: "CommandNotFound",
        message: "no such program".to_owned(),
    };
    let observed = Observed { rejections: vec![rejection], ..Observed::default() };
    let waits = plan(&desired(1), &observed, at(1));
    assert_eq!((waits.actions, waits.next_check), (vec![], Some(at(2))));
    let degraded = waits.status.condition(ConditionType::Degraded).unwrap().clone();
    assert_eq!((degraded.status, degraded.reason), (ConditionStatus::True, "CommandNotFound"));
    assert_eq!(degraded.message, "web-0 can't be created: no such program; the next try comes 2 s after the last");
    assert_eq!(plan(&desired(1), &observed, at(2)).actions, [create(0, 0, 0)]);
}

// === rollout ===

#[test]
fn a_rollout_makes_before_it_breaks_one_ordinal_at_a_time() {
    let fleet = desired(3);
    assert_eq!(actions(&fleet, [old(0), old(1), old(2)], T0), [create(0, 1, 0)]);
    assert_eq!(actions(&fleet, [old(0), again(starting(0), 1), old(1), old(2)], T0), []);
    let arrived = [old(0), again(ready(0), 1), old(1), old(2)];
    assert_eq!(actions(&fleet, arrived, T0), [drain(&old(0), T0)]);
    let next = [draining(old(0), Traffic { routed: false, in_flight: 1 }), again(ready(0), 1), old(1), old(2)];
    assert_eq!(actions(&fleet, next, T0), [create(1, 1, 0)]);
}

#[test]
fn a_rollout_changes_no_member() {
    assert_eq!(members(&desired(3), [old(0), again(starting(0), 1), old(2), old(5)]), [0, 2, 5]);
}

#[test]
fn without_surge_a_rollout_breaks_before_it_makes() {
    let mut fleet = desired(3);
    (fleet.rollout.max_surge, fleet.rollout.max_unavailable) = (0, 1);
    assert_eq!(actions(&fleet, [old(0), old(1), old(2)], T0), [drain(&old(0), T0)]);
    let leaving = draining(old(0), Traffic { routed: false, in_flight: 1 });
    assert_eq!(actions(&fleet, [leaving.clone(), old(1), old(2)], T0), [create(0, 1, 0)]);
    assert_eq!(actions(&fleet, [leaving.clone(), again(starting(0), 1), old(1), old(2)], T0), []);
    assert_eq!(actions(&fleet, [leaving, again(ready(0), 1), old(1), old(2)], T0), [drain(&old(1), T0)]);
}

#[test]
fn a_template_that_does_not_come_up_stops_the_rollout_at_one_ordinal() {
    let failed = again(dead(0, 3), 1);
    assert_eq!(actions(&desired(3), [old(0), failed.clone(), old(1), old(2)], at(3)), []);
    assert_eq!(actions(&desired(3), [old(0), failed, old(1), old(2)], at(4)), [create(0, 2, 4)]);
}

#[test]
fn a_rollout_waits_for_min_ready_seconds_and_keeps_the_old_replica_until_then() {
    let mut fleet = desired(1);
    fleet.rollout.min_ready = Duration::from_secs(10);
    let waits = plan(&fleet, &observed([old(0), again(ready(0), 1)]), at(9));
    assert_eq!((waits.actions, waits.next_check), (vec![], Some(at(10))));
    assert_eq!(actions(&fleet, [old(0), again(ready(0), 1)], at(10)), [drain(&old(0), at(10))]);
}

#[test]
fn replicas_that_serve_nobody_are_updated_at_once() {
    let broken = |ordinal| with(starting(ordinal), |replica| replica.template = hash("old"));
    assert_eq!(actions(&desired(2), [broken(0), broken(1)], T0), [drain(&broken(0), T0), drain(&broken(1), T0)]);
}

#[test]
fn a_template_changed_twice_keeps_one_replica_of_the_first_two() {
    let second = again(with(ready(0), |replica| replica.template = hash("second")), 1);
    let replicas = [old(0), second.clone()];
    assert_eq!(actions(&desired(1), replicas, T0), [drain(&old(0), T0)]);
    assert_eq!(actions(&desired(1), [second], T0), [create(0, 2, 0)]);
}

#[test]
fn a_rollback_keeps_the_replica_that_is_still_there() {
    let newer = again(old(0), 1);
    assert_eq!(actions(&desired(1), [ready(0), newer.clone()], T0), [drain(&newer, T0)]);
}

#[test]
fn of_two_replicas_at_one_ordinal_the_better_stays() {
    let twin = again(starting(0), 1);
    assert_eq!(actions(&desired(1), [ready(0), twin.clone()], T0), [drain(&twin, T0)]);
}

// === status ===

#[test]
fn conditions_keep_the_time_of_their_last_transition() {
    let first = plan(&desired(1), &observed([ready(0)]), at(1)).status;
    let observed = Observed { conditions: first.conditions.clone(), ..observed([ready(0)]) };
    assert_eq!(plan(&desired(1), &observed, at(50)).status.conditions, first.conditions);
    let lost = Observed { conditions: first.conditions, ..Observed::default() };
    let lost = plan(&desired(1), &lost, at(60)).status;
    assert_eq!(lost.condition(ConditionType::Available).unwrap().last_transition_time, at(60));
}

#[test]
fn a_replica_that_keeps_failing_degrades_the_fleet_with_its_cause() {
    let status = plan(&desired(2), &observed([ready(0), dead(1, 1)]), T0).status;
    let degraded = status.condition(ConditionType::Degraded).unwrap();
    assert_eq!((degraded.status, degraded.reason), (ConditionStatus::True, "ReplicaFailing"));
    assert_eq!(
        degraded.message,
        "web-1 failed 2 times in a row, last with exit status 1; the next try comes 1 s after that"
    );
}

#[test]
fn a_replica_whose_trouble_is_known_degrades_the_fleet_at_once() {
    let stuck = with(starting(1), |replica| replica.trouble = Some("no node takes it".to_owned()));
    let status = plan(&desired(2), &observed([ready(0), stuck]), T0).status;
    let degraded = status.condition(ConditionType::Degraded).unwrap();
    assert_eq!((degraded.status, degraded.reason), (ConditionStatus::True, "ReplicaFailing"));
    assert_eq!(degraded.message, "web-1 (web-1-new-0) can't get ready: no node takes it");
    assert_eq!(status.members[1].reason.as_deref(), Some("no node takes it"));
}
