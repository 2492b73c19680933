//! Clients that send frames for their own sake: the connection ends with ENHANCE_YOUR_CALM, and what works goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::AsyncWriteExt;

use super::Frames;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get_block,
};
use crate::support::{Fixture, Replica, eventually, get, read_head};

const CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Sends these bytes again and again while it reads, until the connection ends; returns the last error and how many bytes
/// were taken.
async fn flood(frames: Frames, bytes: Vec<u8>) -> (Option<u32>, usize) {
    let limit = 64 * 1024 * 1024;
    let (read, mut write) = frames.stream.into_split();
    let flooding = tokio::spawn(async move {
        let mut taken = 0;
        while taken < limit {
            match write.write(&bytes[taken % bytes.len()..]).await {
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        taken
    });
    let mut read = tokio::io::BufReader::new(read);
    let mut last = None;
    while let Some(frame) = super::frames::read(&mut read).await {
        if frame.kind == GOAWAY {
            last = Some(frame.code());
        }
    }
    let taken = flooding.await.unwrap();
    assert!(taken < limit, "it never ends");
    (last, taken)
}

#[tokio::test]
async fn frames_that_carry_nothing_end_the_connection_when_they_are_too_many() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let floods = [
        ("PING", frame(PING, 0, 0, &[1; 8])),
        ("PING ACK", frame(PING, ACK, 0, &[1; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, 0, &[])),
    ];
    for (name, bytes) in floods {
        let mut frames = Frames::connect(fixture.port).await;
        frames.get(1, &[]).await;
        frames.next_of(HEADERS).await.unwrap();
        let length = bytes.len();
        let (last, taken) = flood(frames, bytes.repeat(500)).await;
        assert_eq!(last, Some(CALM), "{name}");
        // What it may have, and what the sockets' buffers hold.
        assert!(taken / length > 5_000, "{name}: a burst is no flood, but {} were", taken / length);
    }
    assert_eq!(get(fixture.port, "/", &[]).await.body, "a");
    eventually("all are gone", || fixture.handle.metrics().client_connections() == 0).await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    for fields in [&[][..], &[("x", "y")][..]] {
        let mut frames = Frames::connect(fixture.port).await;
        frames.send(HEADERS, END_STREAM, 1, &get_block(&[])).await;
        let (last, taken) = flood(frames, frame(CONTINUATION, 0, 1, &block(fields)).repeat(100)).await;
        assert_eq!(last, Some(CALM), "{fields:?}");
        assert!(taken < 8 * 1024 * 1024, "{taken} bytes were taken");
    }
    assert_eq!(a.requests(), 0);
}

#[tokio::test]
async fn empty_pieces_of_a_body_end_the_connection() {
    let replica = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    frames.send(HEADERS, END_HEADERS, 1, &block(&head)).await;
    let (last, _) = flood(frames, frame(DATA, 0, 1, &[]).repeat(100)).await;
    assert_eq!(last, Some(CALM));
    eventually("the lease is back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn requests_taken_back_at_once_end_the_connection() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let frames = Frames::connect(fixture.port).await;
    let block = get_block(&[]);
    let pair = |stream| [frame(HEADERS, 5, stream, &block), frame(RST_STREAM, 0, stream, &CANCEL)].concat();
    let (last, _) = flood(frames, (0..100_000).map(|number| 2 * number + 1).flat_map(pair).collect()).await;
    assert_eq!(last, Some(CALM));
    // Each that a replica had is one that was begun before it was taken back.
    assert!(a.requests() < 5_000, "{} requests", a.requests());
    eventually("the leases are back", || fixture.in_flight() == 0).await;
}

#[tokio::test]
async fn requests_taken_back_once_a_replica_has_them_end_the_connection() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&arrived);
    let replica = Replica::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_head(&mut stream).await;
            counter.fetch_add(1, SeqCst);
            read_head(&mut stream).await;
        }
    })
    .await;
    let fixture = Fixture::start(&[replica.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.next_of(SETTINGS).await.unwrap();
    let block = get_block(&[]);
    let mut streams = (1_u32..).step_by(2);
    'flood: for batch in 1.. {
        let batch_of = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        let ids: Vec<u32> = streams.by_ref().take(50).collect();
        let heads: Vec<u8> = ids.iter().copied().flat_map(batch_of).collect();
        let resets: Vec<u8> = ids.iter().flat_map(|id| frame(RST_STREAM, 0, *id, &CANCEL)).collect();
        if frames.stream.write_all(&heads).await.is_err() {
            break 'flood;
        }
        let expected = 50 * batch;
        for _ in 0..1000 {
            if arrived.load(SeqCst) >= expected || fixture.handle.metrics().client_connections() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        if frames.stream.write_all(&resets).await.is_err() {
            break 'flood;
        }
        assert!(batch < 200, "it never ends");
    }
    assert_eq!(frames.next_of(GOAWAY).await.map(|frame| frame.code()), Some(CALM));
    eventually("the leases are back", || fixture.in_flight() == 0).await;
    assert!((500..5_000).contains(&arrived.load(SeqCst)), "{arrived:?} requests");
}

#[tokio::test]
async fn who_takes_a_large_response_in_small_pieces_does_not_flood() {
    const LENGTH: usize = 80 * 1024 * 1024;
    let large = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&vec![b'x'; LENGTH]).await;
    })
    .await;
    let fixture = Fixture::start(&[large.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    frames.get(1, &[]).await;
    let (mut total, mut updates) = (0, 0);
    while total < LENGTH {
        let data = frames.next_of(DATA).await.expect("it goes on");
        total += data.payload.len();
        let half = u32::try_from(data.payload.len() / 2).unwrap();
        let rest = u32::try_from(data.payload.len()).unwrap() - half;
        for (stream, count) in [(0, half), (1, half), (0, rest), (1, rest)].into_iter().filter(|(_, count)| *count > 0)
        {
            frames.send(WINDOW_UPDATE, 0, stream, &count.to_be_bytes()).await;
            updates += 1;
        }
    }
    assert!(updates > 15_000, "more than any burst: {updates}");
}

#[tokio::test]
async fn heads_that_are_too_large_are_a_431_on_their_stream() {
    let a = Replica::named("a").await;
    let fixture = Fixture::configured(&[a.address], |_| {}, |config| config.max_header_bytes = 16 * 1024).await;
    let mut client = super::Http2::connect(fixture.port).await;
    let mut many = super::get("http://a.example/");
    for number in 0..101 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    let answer = client.ask(many).await;
    assert_eq!((answer.status, answer.field("x-ringhold-reason")), (431, Some("TooManyFields")));
    let mut long = super::get("http://a.example/");
    long.headers_mut().insert("x-long", "y".repeat(17_000).parse().unwrap());
    assert_eq!(client.ask(long).await.status, 431);
    assert_eq!(client.ask(super::get("http://a.example/")).await.body, "a");
    assert_eq!(a.requests(), 1);
}

#[tokio::test]
async fn what_a_connection_may_fill_is_said_at_its_beginning() {
    let a = Replica::named("a").await;
    let fixture = Fixture::start(&[a.address]).await;
    let mut frames = Frames::connect(fixture.port).await;
    let settings = frames.next_of(SETTINGS).await.unwrap().payload;
    let setting = |id: u16| {
        let mut settings = settings.chunks(6);
        let found = settings.find(|setting| setting[..2] == id.to_be_bytes())?;
        Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
    };
    let (streams, window, frame, list) = (setting(3), setting(4), setting(5), setting(6));
    assert_eq!((streams, window, list), (Some(100), Some(256 * 1024), Some(64 * 1024)));
    assert!(frame.is_none_or(|frame| frame == 16 * 1024));
    let update = frames.next_of(WINDOW_UPDATE).await.unwrap();
    let more = u32::from_be_bytes(update.payload[..4].try_into().unwrap());
    assert_eq!((update.stream, more + 65_535), (0, 4 * 1024 * 1024));
}
