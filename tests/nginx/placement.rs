//! Where each key is, by nginx's `hash … consistent` and by our ring.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::ask::{Answer, keyed};
use crate::harness::free_port;
use crate::keys::keys;
use crate::nginx::{Nginx, nginx_or_skip};
use crate::upstream::Upstream;

const KEYS: usize = 10_000;

/// Keys so little before a point are its own: a part of 32,768 of the circle.
const NEAR: u32 = 1 << 17;

#[tokio::test]
async fn every_key_is_on_the_server_where_nginx_has_it() {
    let Some(program) = nginx_or_skip() else { return };
    let servers: Vec<String> = (0..10).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let upstreams: Vec<Upstream> = [3, 7, 10]
        .into_iter()
        .flat_map(|count| [(count, [1, 1, 1, 1]), (count, [2, 1, 5, 3])])
        .map(|(count, weights)| {
            let servers = servers.iter().cloned().zip(weights.into_iter().cycle()).take(count);
            Upstream::of(&format!("servers-{count}-{}", weights[0]), servers)
        })
        .collect();
    let nginx = Nginx::start(&program, &upstreams, &servers).await;
    let keys = keys(KEYS);
    for upstream in &upstreams {
        let answers = nginx.ask(keyed(&format!("/{}", upstream.name), &keys)).await;
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), answer.tried()), (200, vec![str::from_utf8(&answer.body).unwrap()]));
        }
        compare(upstream, &keys, &answers, str::eq);
    }
}

#[tokio::test]
async fn a_server_s_name_may_lack_a_port_and_may_be_a_socket_s_path() {
    let Some(program) = nginx_or_skip() else { return };
    let mut servers = vec![
        ("localhost".to_owned(), 2),
        ("127.77.0.1".to_owned(), 1),
        (format!("localhost:{}", free_port()), 1),
        (format!("127.0.0.1:{}", free_port()), 3),
        ("unix:/nonexistent/a.sock".to_owned(), 2),
        ("UNIX:/nonexistent/b.sock".to_owned(), 1),
    ];
    if TcpListener::bind("[::1]:0").is_ok() {
        servers.push((format!("[::1]:{}", free_port()), 2));
    }
    let upstream = Upstream::of("names", servers);
    let nginx = Nginx::start(&program, std::slice::from_ref(&upstream), &[]).await;
    let keys = keys(1_000);
    // Nobody serves there: what counts is where nginx goes first.
    let answers = nginx.ask(keyed("/names", &keys)).await;
    compare(&upstream, &keys, &answers, |name, address| {
        let name = if name.contains(':') { name.to_owned() } else { format!("{name}:80") };
        match name.strip_prefix("localhost:") {
            Some(port) => [format!("127.0.0.1:{port}"), format!("[::1]:{port}")].contains(&address.to_owned()),
            None => name == address,
        }
    });
}

#[tokio::test]
async fn where_points_fall_together_the_first_server_has_both() {
    let Some(program) = nginx_or_skip() else { return };
    let (point, one, other) = colliding_servers();
    let mut both = [(one, 1), (other, 1)];
    let there = Upstream::of("there", both.clone());
    both.reverse();
    let back = Upstream::of("back", both);
    let keys = (0..1_000_000).map(|number: u32| number.to_string().into_bytes());
    let keys: Vec<Vec<u8>> = keys.filter(|key| (point - NEAR..=point).contains(&crc32fast::hash(key))).collect();
    assert!(!keys.is_empty());
    let nginx = Nginx::start(&program, &[there.clone(), back.clone()], &[]).await;
    for upstream in [there, back] {
        let answers = nginx.ask(keyed(&format!("/{}", upstream.name), &keys)).await;
        let first = upstream.servers[0].name.as_str();
        assert!(answers.iter().all(|answer| answer.tried()[0] == first), "{upstream:?}");
        compare(&upstream, &keys, &answers, str::eq);
    }
}

/// A point that two servers share, with none of either near before it.
fn colliding_servers() -> (u32, String, String) {
    let mut known: BTreeMap<u32, u16> = BTreeMap::new();
    for port in (10_000..20_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
        for point in points(port) {
            let Some(before) = known.insert(point, port).filter(|before| *before != port) else { continue };
            let is_near = |other| (point.saturating_sub(NEAR)..point).contains(&other);
            if point > NEAR && !points(port).chain(points(before)).any(is_near) {
                return (point, format!("127.0.0.1:{before}"), format!("127.0.0.1:{port}"));
            }
        }
    }
    panic!("no points of free ports fall together");
}

/// The points of `127.0.0.1:PORT`.
fn points(port: u16) -> impl Iterator<Item = u32> {
    let mut base = crc32fast::Hasher::new();
    base.update(b"127.0.0.1\0");
    base.update(port.to_string().as_bytes());
    let after = move |previous: &u32| {
        let mut hash = base.clone();
        hash.update(&previous.to_le_bytes());
        Some(hash.finalize())
    };
    std::iter::successors(Some(0), after).skip(1).take(160)
}

/// Holds where nginx went first against where our ring has each key. `leads_to`: whether a name leads to an address.
fn compare(upstream: &Upstream, keys: &[Vec<u8>], answers: &[Answer], leads_to: impl Fn(&str, &str) -> bool) {
    let ring = upstream.ring();
    let moved = keys.iter().zip(answers).filter_map(|(key, answer)| {
        let (ours, nginx) = (&upstream.candidates(&ring, key).next().unwrap().name, answer.tried()[0]);
        (!leads_to(ours, nginx)).then(|| (String::from_utf8_lossy(key), ours, nginx.to_owned()))
    });
    let moved: Vec<_> = moved.collect();
    assert_eq!(moved.len(), 0, "keys moved: {:#?}\n{upstream:#?}", &moved[..moved.len().min(5)]);
}
