//! What people read.

use std::process::Stdio;

use crate::{command, printed, printed_of};

const KETAMA: &str = "
apiVersion: ringhold.dev/v1alpha1
kind: LoadBalancer
metadata: {name: web, namespace: shop, uid: 5a2b0f8e, resourceVersion: '12'}
spec:
  replicas: 2
  ring: {algorithm: Ketama, points: 40, members: [{ordinal: 0, weight: 3, name: '10.0.0.1:8080'}]}
  template: {spec: {containers: [{name: server, image: x, ports: [{containerPort: 8080}]}]}}
status: {replicas: 2}
";

#[test]
fn the_classic_ring_shows_how_uneven_it_is() {
    let expected = "\
3 members, Polynomial with 27 virtual servers
The busiest of 3 members gets 2.53 times its fair share

member      share  share/fair
0          84.4 %       2.531
1           4.7 %       0.141
2          10.9 %       0.328

peak       84.4 %       2.531
mean       33.3 %       1.000
minimum     4.7 %       0.141
deviation  36.2 %       1.085
";
    assert_eq!(printed(&["shares", "--members", "3", "--algorithm", "Polynomial"]), expected);
    assert_eq!(printed(&["shares", "--algorithm", "polynomial"]), expected, "three members are the default");
}

#[test]
fn a_fourth_member_gets_a_quarter_and_rendezvous_moves_no_more() {
    let expected = "\
from  3 members, Rendezvous with 65,536 slots
to    4 members, Rendezvous with 65,536 slots

25.1 % of the keys move, none beyond need
The least for these shares is 25.1 %, for perfectly even ones 25 %.

member   before    after    lost  gained  beyond need
0        33.3 %   25.1 %   8.2 %       0            0
1        33.3 %   24.9 %   8.3 %       0            0
2        33.4 %   24.9 %   8.5 %       0            0
3             0   25.1 %       0  25.1 %            0

all     100.0 %  100.0 %  25.1 %  25.1 %            0
";
    assert_eq!(printed(&["moves", "--members", "3", "--to", "4"]), expected);
}

#[test]
fn a_fourth_member_moves_more_of_maglev_than_need_be() {
    let expected = "\
from  3 members, Maglev with 65,537 slots
to    4 members, Maglev with 65,537 slots

25 % of the keys move, 0.0366 % beyond need
The least for these shares is 25 %, for perfectly even ones 25 %.

member   before    after    lost   gained  beyond need
0        33.3 %   25.0 %   8.3 %  < 0.1 %     0.0153 %
1        33.3 %   25.0 %   8.3 %  < 0.1 %     0.0107 %
2        33.3 %   25.0 %   8.3 %  < 0.1 %     0.0107 %
3             0   25.0 %       0   25.0 %            0

all     100.0 %  100.0 %  25.0 %   25.0 %     0.0366 %
";
    assert_eq!(printed(&["moves", "--members", "3", "--to", "4", "--algorithm", "Maglev"]), expected);
}

#[test]
fn changes_combine() {
    let args = ["moves", "--members", "4", "--from-weight", "1=2", "--slots", "256"];
    let change = ["--to", "5", "--remove", "2", "--weight", "0=3", "--to-algorithm", "Maglev", "--to-slots", "100"];
    let text = printed(&[&args[..], &change].concat());
    let expected = "from  4 members, Rendezvous with 256 slots\nto    4 members, Maglev with 101 slots\n";
    assert_eq!(&text[..expected.len()], expected);
    let members: Vec<&str> =
        text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
    let [_, zero, _, two, _, four] = members[..] else { panic!("{text}") };
    // 3 of 3 + 2 + 1 + 1, as even as 101 slots can be; gone; new.
    assert!(zero.split("  ").any(|cell| cell.trim() == "41.6 %"), "{zero}");
    assert!(two.contains(" 0  "), "{two}");
    assert!(four.starts_with("4             0"), "{four}");
}

#[test]
fn a_ring_whose_keys_are_hashed_otherwise_says_so() {
    let text = printed(&["moves", "--to-algorithm", "Ketama"]);
    assert!(text.contains("66.7 % of the keys move"), "{text}");
    assert!(text.contains("The key hash changes, too"), "{text}");
}

#[test]
fn a_manifest_s_ring_has_its_size_weights_and_names() {
    let expected = "\
2 members, Ketama with 160 points
The busiest of 2 members gets 3.7 % more than its fair share

member           weight   share  share/fair
0 10.0.0.1:8080       3  77.8 %       1.037
1                     1  22.2 %       0.888

peak                     77.8 %       1.037
mean                     50.0 %       0.963
minimum                  22.2 %       0.888
deviation                27.8 %       0.075
";
    assert_eq!(printed_of(KETAMA, &["shares", "--file", "-"]), expected);
    assert_eq!(printed_of(KETAMA, &["shares", "--file", "-", "--name", "shop/web"]), expected);
}

#[test]
fn one_of_several_loadbalancers_is_chosen_by_name() {
    let text = printed(&["shares", "--file", "deploy/samples/shared-port.yaml", "--name", "shop"]);
    assert!(text.starts_with("2 members, Rendezvous with 65,536 slots\n"), "{text}");
}

#[test]
fn a_large_fleet_shows_both_ends() {
    let text = printed(&["shares", "--members", "100", "--slots", "512"]);
    let rows: Vec<&str> = text.split("\n\n").nth(1).unwrap().lines().skip(1).collect();
    assert_eq!((rows.len(), rows[10]), (21, "… 80 between"));
    let ratios: Vec<f64> = rows.iter().filter_map(|row| row.split_whitespace().last()?.parse().ok()).collect();
    assert!(ratios.len() == 20 && ratios.is_sorted_by(|a, b| a >= b), "{ratios:?}");
}

#[test]
fn all_algorithms_stand_side_by_side() {
    let text = printed(&["compare", "--members", "57", "--slots", "512"]);
    let names: Vec<&str> = text.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(names, ["Rendezvous", "Ketama", "Maglev"]);
    let beyond: Vec<&str> = text.lines().filter(|line| line.starts_with("  beyond need")).collect();
    for line in &beyond {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[..3], ["beyond need", "0", "0"]);
        assert!(cells[3].ends_with(" %"), "{line}");
    }
    assert_eq!(beyond.len(), 2);
    let left_out = "\nLeft out: a Polynomial ring seats at most 56 replicas, counted by weight.\n";
    assert!(text.ends_with(left_out), "{text}");
}

#[test]
fn who_has_no_room_for_one_more_is_not_praised_for_moving_none() {
    let text = printed(&["compare", "--members", "56", "--slots", "256", "--points", "10"]);
    let praised = "; Rendezvous and Ketama move no key beyond need when the last member comes or goes";
    assert!(text.lines().nth(1).unwrap().ends_with(praised), "{text}");
}

#[test]
fn whoever_stops_reading_is_not_told_of_an_error() {
    let mut child = command(&["shares"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}
