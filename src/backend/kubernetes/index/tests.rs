//! Every order in which a write's answer and the watch may arrive.

use super::*;
use crate::backend::kubernetes::life::Life;
use crate::model::{Incarnation, Ordinal, ReplicaState, TemplateHash};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn web() -> FleetId {
    FleetId::local("web")
}

fn owner() -> FleetUid {
    FleetUid("lb-uid".into())
}

fn uid(name: &str) -> ReplicaUid {
    ReplicaUid(name.into())
}

/// The pod of an ordinal, at a version.
fn mk(ordinal: u16, version: u32, life: Life) -> Sighting {
    let (fleet, template, incarnation) = (web(), TemplateHash("0badcafe".into()), Incarnation(0));
    Sighting {
        owner: owner(),
        version: Version::new(&version.to_string()),
        name: ReplicaName::new(&fleet, Ordinal(ordinal), &template, incarnation),
        uid: uid(&ordinal.to_string()),
        ordinal: Ordinal(ordinal),
        incarnation,
        template,
        failures: 0,
        address: None,
        created_at: NOW,
        remove_first: false,
        trouble: None,
        drain_mark: None,
        life,
        fleet,
    }
}

fn starting(ordinal: u16, version: u32) -> Sighting {
    mk(ordinal, version, Life::NotReady { since: NOW, was_ready: false })
}

fn ready(ordinal: u16, version: u32) -> Sighting {
    mk(ordinal, version, Life::Ready { since: NOW })
}

fn terminating(ordinal: u16, version: u32) -> Sighting {
    mk(ordinal, version, Life::Terminating)
}

/// An index whose first list is through, and showed these.
fn mk_index(listed: impl IntoIterator<Item = Sighting>) -> Index {
    let mut index = Index::default();
    index.accept(web(), owner());
    relist(&mut index, listed);
    index
}

fn relist(index: &mut Index, listed: impl IntoIterator<Item = Sighting>) {
    index.begin_list();
    listed.into_iter().for_each(|sighting| index.list(sighting, NOW));
    index.end_list();
}

/// The states of the fleet by ordinal.
fn states(index: &Index) -> Vec<(u16, &'static str)> {
    let replicas = index.replicas(&web()).unwrap();
    let mut states: Vec<_> = replicas.iter().map(|replica| (replica.ordinal.0, replica.state.as_str())).collect();
    states.sort_unstable();
    states
}

/// Nothing that waits for the watch is left over.
fn assert_settled(index: &Index) {
    assert!(index.unconfirmed.is_empty(), "{index:#?}");
    assert_eq!(index.pods.len(), index.fleets.values().map(HashSet::len).sum::<usize>(), "{index:#?}");
}

#[test]
fn a_write_is_seen_before_the_watch_delivers_it() {
    let mut index = mk_index([]);
    index.write(starting(0, 10), NOW);
    assert_eq!(states(&index), [(0, "Starting")]);
    index.apply(starting(0, 10), NOW);
    assert_eq!(states(&index), [(0, "Starting")]);
    assert_settled(&index);
}

#[test]
fn an_answer_that_comes_after_the_watch_changes_nothing() {
    let mut index = mk_index([]);
    index.apply(ready(0, 12), NOW);
    index.write(starting(0, 10), NOW);
    assert_eq!(states(&index), [(0, "Ready")]);
    index.remove(&uid("0"), &Version::new("15"));
    index.write(starting(0, 10), NOW);
    index.write(starting(0, 15), NOW);
    assert_eq!(states(&index), [], "it is gone, and does not come back");
    assert_settled(&index);
}

#[test]
fn the_answer_to_a_delete_does_not_bring_back_what_the_watch_has_taken_away() {
    let mut index = mk_index([ready(0, 5), ready(1, 6)]);
    index.remove(&uid("0"), &Version::new("20"));
    // Whatever its version says, or if there is none.
    for version in ["7", "20", "21", "99", ""] {
        index.rewrite(Sighting { version: Version::new(version), ..terminating(0, 0) }, NOW);
        assert_eq!(states(&index), [(1, "Ready")]);
        assert_settled(&index);
    }
    index.rewrite(terminating(1, 21), NOW);
    assert_eq!(states(&index), [(1, "Terminating")]);
}

#[test]
fn what_the_watch_delivers_late_does_not_undo_a_write() {
    let mut index = mk_index([ready(0, 5)]);
    index.write(terminating(0, 20), NOW);
    index.apply(ready(0, 12), NOW);
    assert_eq!(states(&index), [(0, "Terminating")]);
    index.apply(terminating(0, 20), NOW);
    assert_settled(&index);
    index.remove(&uid("0"), &Version::new("21"));
    assert_eq!(states(&index), []);
    assert_settled(&index);
}

#[test]
fn a_write_that_the_watch_has_passed_by_is_gone() {
    let mut index = mk_index([ready(1, 5)]);
    index.write(starting(0, 10), NOW);
    index.apply(ready(1, 9), NOW);
    assert_eq!(states(&index), [(0, "Starting"), (1, "Ready")], "the watch is not there yet");
    index.apply(ready(1, 11), NOW);
    assert_eq!(states(&index), [(1, "Ready")]);
    assert_settled(&index);
}

#[test]
fn a_list_that_began_after_a_write_decides() {
    let mut index = mk_index([]);
    index.write(starting(0, 10), NOW);
    index.write(starting(1, 11), NOW);
    relist(&mut index, [starting(1, 11)]);
    assert_eq!(states(&index), [(1, "Starting")]);
    assert_settled(&index);
}

#[test]
fn what_is_written_while_a_list_runs_outlives_it() {
    let mut index = mk_index([ready(1, 5), ready(2, 6)]);
    index.begin_list();
    index.list(ready(1, 5), NOW);
    index.write(starting(0, 10), NOW);
    index.write(terminating(1, 11), NOW);
    index.end_list();
    assert_eq!(states(&index), [(0, "Starting"), (1, "Terminating")], "2 was not listed");
    relist(&mut index, []);
    assert_eq!(states(&index), []);
    assert_settled(&index);
}

#[test]
fn a_list_that_is_begun_again_forgets_what_it_has_shown() {
    let mut index = mk_index([ready(0, 5), ready(1, 6)]);
    index.begin_list();
    index.list(ready(0, 5), NOW);
    relist(&mut index, [ready(1, 6)]);
    assert_eq!(states(&index), [(1, "Ready")]);
}

#[test]
fn an_answer_that_changes_nothing_waits_for_nothing() {
    let mut index = mk_index([]);
    index.begin_list();
    index.list(ready(0, 5), NOW);
    index.write(ready(0, 5), NOW);
    index.end_list();
    assert_settled(&index);
    index.write(ready(0, 5), NOW);
    assert_settled(&index);
}

#[test]
fn who_finds_a_pod_gone_may_say_so() {
    let mut index = mk_index([ready(0, 5)]);
    index.write(starting(1, 10), NOW);
    index.forget(&uid("0"));
    index.forget(&uid("1"));
    index.forget(&uid("2"));
    assert_eq!(states(&index), []);
    assert_settled(&index);
}

#[test]
fn versions_that_do_not_compare_are_taken_as_they_come() {
    let odd = |sighting: Sighting, version: &str| Sighting { version: Version::new(version), ..sighting };
    let mut index = mk_index([odd(ready(0, 0), "a")]);
    index.write(odd(terminating(0, 0), "c"), NOW);
    index.write(odd(starting(1, 0), "d"), NOW);
    index.apply(odd(ready(0, 0), "b"), NOW);
    assert_eq!(states(&index), [(0, "Ready"), (1, "Starting")]);
    index.remove(&uid("0"), &Version::new("e"));
    relist(&mut index, []);
    assert_eq!(states(&index), []);
    assert_settled(&index);
}

#[test]
fn another_owners_pods_are_not_observed_and_not_found() {
    let earlier = Sighting { owner: FleetUid("an-earlier-uid".into()), ..ready(0, 5) };
    let mut index = mk_index([earlier.clone(), ready(1, 6)]);
    assert_eq!(states(&index), [(1, "Ready")]);
    assert_eq!(index.find(&web(), &earlier.name, &earlier.uid), None);
    while index.take_touched().is_some() {}
    index.remove(&earlier.uid, &Version::new("7"));
    assert_eq!(index.take_touched(), Some(web()), "its name is free now");
}

#[test]
fn nobody_is_told_of_a_fleet_that_was_not_accepted() {
    let theirs = FleetId::new("other", "web");
    let pod = Sighting { fleet: theirs.clone(), ..ready(0, 5) };
    let mut index = mk_index([pod]);
    assert_eq!((index.replicas(&theirs), index.take_changed(), index.take_touched()), (None, false, None));
    index.accept(theirs.clone(), owner());
    assert_eq!(index.replicas(&theirs).map(|replicas| replicas.len()), Some(1));
    index.remove(&uid("0"), &Version::new("6"));
    index.dismiss(&theirs, &FleetUid("another".into()));
    assert_eq!(index.replicas(&theirs), Some(Vec::new()), "that was another of its name");
    index.dismiss(&theirs, &owner());
    assert_eq!((index.replicas(&theirs), index.take_touched()), (None, None));
}

#[test]
fn only_the_copy_that_is_meant_is_found() {
    let index = mk_index([ready(0, 5)]);
    let Sighting { name, .. } = ready(0, 5);
    assert_eq!(index.find(&web(), &name, &uid("0")), Some(&ready(0, 5)));
    assert_eq!(index.find(&web(), &ready(1, 5).name, &uid("0")), None);
    assert_eq!(index.find(&web(), &name, &uid("1")), None);
    assert_eq!(index.find(&FleetId::new("other", "web"), &name, &uid("0")), None);
}

#[test]
fn a_fleet_is_touched_once_for_all_that_has_changed_and_not_for_what_has_not() {
    let mut index = mk_index([]);
    assert!(!index.take_changed(), "nothing is there, as before");
    relist(&mut index, [ready(0, 5), ready(1, 6)]);
    assert!(index.take_changed() && !index.take_changed());
    assert_eq!((index.take_touched(), index.take_touched()), (Some(web()), None));

    index.apply(ready(0, 9), NOW);
    assert!(!index.take_changed(), "a new version of the same replica");
    assert_eq!(index.take_touched(), None);

    index.apply(terminating(0, 10), NOW);
    index.remove(&uid("1"), &Version::new("11"));
    assert!(index.take_changed());
    assert_eq!((index.take_touched(), index.take_touched()), (Some(web()), None));
}

#[test]
fn a_pod_that_somebody_gives_to_another_fleet_leaves_its_own() {
    let mut index = mk_index([ready(0, 5)]);
    while index.take_touched().is_some() {}
    let theirs = FleetId::new("default", "theirs");
    index.accept(theirs.clone(), owner());
    index.apply(Sighting { fleet: theirs.clone(), ..ready(0, 6) }, NOW);
    assert_eq!((states(&index), index.replicas(&theirs).unwrap().len()), (vec![], 1));
    assert_eq!((index.take_touched(), index.take_touched()), (Some(theirs), Some(web())));
    assert_settled(&index);
}

#[test]
fn what_was_seen_of_a_pod_outlives_a_list() {
    let mut index = mk_index([ready(0, 5)]);
    relist(&mut index, [starting(0, 6)]);
    let replicas = index.replicas(&web()).unwrap();
    assert_eq!(replicas[0].state, ReplicaState::Unready { since: NOW });
}
