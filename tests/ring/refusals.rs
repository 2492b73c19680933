//! Bad input: each is refused with what is wrong, where, and the way out.

use crate::{printed, printed_of, refused};

/// What Ringhold itself says, with the code 1.
fn says(args: &[&str], expected: &str) {
    assert_eq!(refused(args), (1, format!("ringhold: {expected}\n")), "{args:?}");
}

/// The first lines of what the parser of the command line says, with the code 2.
fn parser_says(args: &[&str], expected: &str) {
    let (code, text) = refused(args);
    assert_eq!((code, text.split("\n\n").next().unwrap()), (2, expected), "{args:?}");
}

#[test]
fn sizes_have_the_resource_s_rules_under_the_flags_names() {
    says(&["shares", "--slots", "100"], "--slots: 100: use a power of two from 2 to 1048576");
    parser_says(
        &["shares", "--slots", "4000000000"],
        "error: invalid value '4000000000' for '--slots <N>': 4000000000 is not in 0..=1048576",
    );
    says(
        &["shares", "--algorithm", "Ketama", "--slots", "64"],
        "--slots: 64: leave it out: only Rendezvous and Maglev have slots",
    );
    says(
        &["moves", "--to-algorithm", "Ketama", "--to-points", "1001"],
        "--to-points: 1001: use a number from 1 to 1000",
    );
    says(&["compare", "--slots", "1000"], "--slots: 1000: use a power of two from 2 to 1048576");
}

#[test]
fn fleets_that_do_not_fit_are_told_the_limit() {
    says(
        &["shares", "--members", "57", "--algorithm", "Polynomial"],
        "--members: 57: a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in --algorithm",
    );
    says(
        &["moves", "--to", "57", "--to-algorithm", "Polynomial"],
        "--to: 57: a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in --to-algorithm",
    );
    says(
        &["shares", "--members", "9", "--algorithm", "Maglev", "--slots", "8"],
        "--members: 9: a Maglev ring needs a slot for each replica; use more in --slots",
    );
}

#[test]
fn the_weight_of_who_has_gone_takes_no_room() {
    let change = ["moves", "--members", "10", "--from-weight", "9=60", "--to", "9", "--to-algorithm", "Polynomial"];
    assert!(printed(&change).contains("to    9 members, Polynomial"));
}

#[test]
fn members_that_are_not_there_are_named() {
    says(&["shares", "--weight", "3=2"], "--weight: 3=2: no such member; use one of the 3 ordinals from 0 to 2");
    says(
        &["moves", "--from-weight", "3=2", "--to", "4"],
        "--from-weight: 3=2: no such member; use one of the 3 ordinals from 0 to 2",
    );
    says(
        &["moves", "--remove", "1", "--weight", "1=2"],
        "--weight: 1=2: no such member; use one of the 2 ordinals from 0 to 2",
    );
    says(
        &["moves", "--remove", "1,1"],
        "--remove: 1: no member, or named twice; use one of the 2 ordinals from 0 to 2",
    );
    says(&["moves", "--remove", "0,1,2"], "--remove: leaves no member; keep one");
    says(&["shares", "--weight", "0=2,0=3"], "--weight: 0=3: member 0 is listed twice; leave one");
}

#[test]
fn the_command_line_is_parsed_strictly() {
    parser_says(
        &["shares", "--weight", "0=x"],
        "error: invalid value '0=x' for '--weight <ORDINAL=WEIGHT>': use an ordinal and a weight from 1 to 1000, such as 0=2",
    );
    parser_says(&["shares", "--members", "0"], "error: invalid value '0' for '--members <N>': 0 is not in 1..=65535");
    parser_says(
        &["shares", "--algorithm", "Modulo"],
        "error: invalid value 'Modulo' for '--algorithm <ALGORITHM>'\n  \
         [possible values: Rendezvous, Ketama, Maglev, Polynomial]",
    );
    parser_says(
        &["shares", "--file", "deploy/samples/web.yaml", "--members", "4"],
        "error: the argument '--file <FILE>' cannot be used with '--members <N>'",
    );
    parser_says(
        &["moves"],
        "error: the following required arguments were not provided:\n  \
         <--to <N>|--remove <ORDINAL>|--weight <ORDINAL=WEIGHT>|--to-algorithm <ALGORITHM>|--to-slots <N>|--to-points <N>>",
    );
}

#[test]
fn manifests_that_do_not_say_which_fleet_are_refused_with_the_choices() {
    let file = "deploy/samples/shared-port.yaml";
    says(
        &["shares", "--file", file],
        "deploy/samples/shared-port.yaml: holds 2 LoadBalancers; choose one with --name: shop or tenants",
    );
    says(
        &["shares", "--file", file, "--name", "web"],
        "--name: web: deploy/samples/shared-port.yaml holds no LoadBalancer of this name; use shop or tenants",
    );
    says(&["shares", "--file", "nowhere.yaml"], "nowhere.yaml: can't be read: No such file or directory (os error 2)");
}

#[test]
fn manifests_are_held_to_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    let name = file.to_str().unwrap();
    let sample = std::fs::read_to_string("deploy/samples/web.yaml").unwrap();
    let cases = [
        (sample.replace("replicas: 3", "replicas: -3"), "web: spec.replicas: -3: use a number from 0 to 65535"),
        (
            sample.replace("replicas: 3", "replicas: 0"),
            "web: spec.replicas: 0: a ring without members shows nothing; use 1 or more",
        ),
        (String::new(), "holds no LoadBalancer; use another file, or --members"),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        says(&["shares", "--file", name], &format!("{name}: {expected}"));
    }
    assert!(printed_of(&sample, &["shares", "--file", "-"]).starts_with("3 members, "), "the sample itself is fine");
}

#[test]
fn pictures_that_can_t_be_written_are_told() {
    says(&["shares", "--svg", "-", "--output", "json"], "--svg: -: standard output has the JSON already; give a file");
    says(
        &["shares", "--svg", "nowhere/ring.svg"],
        "--svg: nowhere/ring.svg: can't be written: No such file or directory (os error 2)",
    );
}
