//! What programs read: the library's own numbers, to the last digit.

use ringhold::ring::{KetamaSpec, Member, MemberMoves, Polynomials, Ring, RingSpec};
use serde_json::{Value, json};

use crate::printed;

fn answer(args: &[&str]) -> Value {
    serde_json::from_str(&printed(&[args, &["--output", "json"]].concat())).unwrap()
}

/// As it is read once it has been written: the parser of these tests may be off by the last bit, what is written is not.
fn written(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn ring(spec: RingSpec, weights: &[u16]) -> Ring {
    let members: Vec<Member> = (0..).zip(weights).map(|(id, weight)| Member { id, weight: *weight }).collect();
    Ring::build(spec, &members).unwrap()
}

fn shape(ring: &Ring, unit: &str) -> Value {
    json!({
        "algorithm": ring.spec().algorithm(),
        "members": ring.members().len(),
        "size": ring.size(),
        "unit": unit,
        "bytes": ring.bytes(),
        "fingerprint": ring.fingerprint().to_string(),
    })
}

#[test]
fn shares_are_the_library_s() {
    let ring = ring(RingSpec::Maglev { slots: 1000 }, &[1, 2, 1]);
    let shares = ring.shares();
    let fair = [0.25, 0.5, 0.25];
    let answer = answer(&["shares", "--algorithm", "Maglev", "--slots", "1000", "--weight", "1=2"]);
    assert_eq!(answer["ring"], shape(&ring, "slot"));
    let members = (0..3).map(|id| {
        let (share, fair) = (shares[id], fair[id]);
        let weight = if id == 1 { 2 } else { 1 };
        json!({"ordinal": id, "weight": weight, "share": share, "fairShare": fair, "shareToFair": share / fair})
    });
    assert_eq!(answer["members"], written(&members.collect()));
    assert_eq!(answer["share"]["peak"], written(&json!(shares[1])));
    assert_eq!(answer["share"]["minimum"], written(&json!(shares[0].min(shares[2]))));
    let most = shares.iter().zip(fair).map(|(share, fair)| share / fair).fold(0.0, f64::max);
    assert_eq!(answer["shareToFair"]["peak"], written(&json!(most)));
    for spread in ["share", "shareToFair"] {
        let names: Vec<&String> = answer[spread].as_object().unwrap().keys().collect();
        assert_eq!(names, ["deviation", "mean", "minimum", "peak"]);
    }
}

#[test]
fn moves_are_the_library_s() {
    let spec = |points| RingSpec::Ketama(KetamaSpec { points, ..KetamaSpec::default() });
    let (before, after) = (ring(spec(160), &[1; 5]), ring(spec(100), &[2, 1, 1, 1]));
    let moves = before.moves(&after);
    let args = ["moves", "--algorithm", "Ketama", "--members", "5"];
    let answer = answer(&[&args[..], &["--to", "4", "--weight", "0=2", "--to-points", "100"]].concat());
    let members = moves.members.iter().map(|of| {
        let MemberMoves { id, before, after, lost, gained } = *of;
        let beyond_need = lost.min(gained);
        json!({"ordinal": id, "before": before, "after": after, "lost": lost, "gained": gained, "beyondNeed": beyond_need})
    });
    let expected = json!({
        "before": shape(&before, "point"),
        "after": shape(&after, "point"),
        "rehashed": false,
        "moved": moves.moved,
        "needed": moves.needed,
        "beyondNeed": moves.moved - moves.needed,
        "neededIfEven": 0.4 - 0.2,
        "members": members.collect::<Value>(),
    });
    assert_eq!(answer, written(&expected));
}

#[test]
fn a_comparison_counts_as_the_library_does() {
    let answer = answer(&["compare", "--members", "12", "--slots", "256", "--points", "20"]);
    let specs = [
        (RingSpec::Rendezvous { slots: 256 }, "slot", "SipHash"),
        (RingSpec::Ketama(KetamaSpec { points: 20, ..KetamaSpec::default() }), "point", "Crc32"),
        (RingSpec::Maglev { slots: 256 }, "slot", "SipHash"),
        (RingSpec::Polynomial(Polynomials::CLASSIC), "virtual server", "SipHash"),
    ];
    assert_eq!(answer["members"], 12);
    assert_eq!(answer["algorithms"].as_array().unwrap().len(), specs.len());
    for (found, (spec, unit, key_hash)) in answer["algorithms"].as_array().unwrap().iter().zip(specs) {
        let of = |count: usize| ring(spec.clone(), &vec![1; count]);
        let peak = |ring: &Ring| {
            let fair = 1.0 / ring.members().len() as f64;
            ring.shares().into_iter().map(|share| share / fair).fold(0.0, f64::max)
        };
        let now = of(12);
        assert_eq!((&found["algorithm"], &found["keyHash"]), (&json!(spec.algorithm()), &json!(key_hash)));
        assert_eq!(found["ring"], shape(&now, unit));
        assert_eq!(found["peakToFair"], written(&json!(peak(&now))));
        for (name, next) in [("adding", of(13)), ("removing", of(11))] {
            let moves = now.moves(&next);
            let counted = [moves.moved, moves.needed, moves.moved - moves.needed].map(|share| written(&json!(share)));
            assert_eq!(["moved", "needed", "beyondNeed"].map(|of| found[name][of].clone()), counted, "{name}");
        }
        let by_members = found["byMembers"].as_array().unwrap();
        let counts: Vec<u64> = by_members.iter().map(|at| at["members"].as_u64().unwrap()).collect();
        let last = if spec.algorithm() == "Polynomial" { 56 } else { 100 };
        assert!(counts.contains(&12) && counts.first() == Some(&2) && counts.last() == Some(&last), "{counts:?}");
        for at in by_members {
            let members = usize::try_from(at["members"].as_u64().unwrap()).unwrap();
            assert_eq!(at["peakToFair"], written(&json!(peak(&of(members)))), "{members} members");
        }
    }
}

#[test]
fn an_algorithm_without_room_says_why() {
    let answer = answer(&["compare", "--members", "60", "--slots", "256"]);
    let refused = json!({
        "algorithm": "Polynomial",
        "refused": "a Polynomial ring seats at most 56 replicas, counted by weight",
    });
    assert_eq!(answer["algorithms"][3], refused);
}

#[test]
fn what_is_exact_is_not_rounded_below_nothing() {
    for to in ["3", "50"] {
        let answer =
            answer(&["moves", "--members", "1", "--algorithm", "Ketama", "--to", to, "--to-algorithm", "Maglev"]);
        assert_eq!(answer["beyondNeed"], 0.0, "{to}");
    }
}
