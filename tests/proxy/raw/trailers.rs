//! Trailers: what comes behind a body can't change what its head has said.

use crate::raw::Watched;

const SEEN: &str = "POST / HTTP/1.1\r\nhost: a\r\n";
const BODY: &str = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";

fn with(fields: &str, trailers: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n")
        .into_bytes()
}

#[tokio::test]
async fn trailers_pass_if_they_are_announced() {
    let watched = Watched::start().await;
    let seen = format!("{SEEN}trailer: X-Sum\r\n{BODY}x-sum: 7\r\n\r\n");
    watched.passes(&with("Trailer: X-Sum\r\n", "X-Sum: 7\r\nX-Other: 8\r\n"), &seen).await;
    watched.passes(&with("", "X-Sum: 7\r\n"), &format!("{SEEN}{BODY}\r\n")).await;
}

#[tokio::test]
async fn trailers_that_frame_route_or_authenticate_do_not_pass() {
    let watched = Watched::start().await;
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Trailer",
        "TE",
        "Content-Type",
        "Set-Cookie",
        "Connection",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Real-IP",
        "Via",
        "Cookie",
        "Expect",
        "Range",
        "X_Forwarded_For",
    ] {
        let announced = format!("Trailer: {name}\r\n");
        // The announcement promises nothing that would change what the head says.
        let seen = format!("{SEEN}trailer: {name}\r\n{BODY}\r\n");
        watched.passes(&with(&announced, &format!("{name}: 7\r\n")), &seen).await;
        // And a field that may be announced stays.
        let announced = format!("Trailer: X-Sum, {name}\r\n");
        let seen = format!("{SEEN}trailer: X-Sum, {name}\r\n{BODY}x-sum: 1\r\n\r\n");
        watched.passes(&with(&announced, &format!("{name}: 7\r\nX-Sum: 1\r\n")), &seen).await;
    }
}

#[tokio::test]
async fn trailers_that_are_no_fields_break_the_body() {
    let watched = Watched::start().await;
    let seen = format!("{SEEN}trailer: X-Sum\r\n{}", BODY.strip_suffix("0\r\n").unwrap());
    for trailers in [
        "X-Sum : 7\r\n",
        "X-Sum\r\n",
        ": 7\r\n",
        " X-Sum: 7\r\n",
        "X-Sum: 7\r\n X-Sum: 8\r\n",
        "X-Sum: 7\nX-Sum: 8\r\n",
        "X-Sum: 7\r8\r\n",
        "X-Sum: \0\r\n",
        "X Sum: 7\r\n",
        "GET /hidden HTTP/1.1\r\n",
    ] {
        watched.breaks(400, &with("Trailer: X-Sum\r\n", trailers), &seen).await;
    }
    let many = "X-Sum: 7\r\n".repeat(101);
    watched.breaks(400, &with("Trailer: X-Sum\r\n", &many), &seen).await;
    let long = format!("X-Sum: {}\r\n", "7".repeat(70_000));
    watched.breaks(400, &with("Trailer: X-Sum\r\n", &long), &seen).await;
}

#[tokio::test]
async fn a_line_feed_alone_ends_no_trailer() {
    let watched = Watched::start().await;
    let seen = format!("{SEEN}trailer: X-Sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    watched.breaks(400, &with("Trailer: X-Sum\r\n", "X-Sum: 7\n\r\n"), &seen).await;
    watched.breaks(400, &with("Trailer: X-Sum\r\n", "X-Sum: 7\n\r\nGET / HTTP/1.1\r\n"), &seen).await;
}
