//! Where a body ends: two parties that disagree about it take a part of one request for another.

use crate::raw::Watched;

#[tokio::test]
async fn a_length_that_is_no_number_is_refused() {
    let watched = Watched::start().await;
    for length in [
        "",
        "+5",
        "-5",
        "5 5",
        "5,6",
        "0x5",
        "5;",
        "5.0",
        "5e0",
        "\"5\"",
        "five",
        "05x",
        "\u{665}",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "5\t5",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello");
        watched.refuses(400, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn lengths_that_differ_are_refused() {
    let watched = Watched::start().await;
    for lengths in ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0\r\nContent-Length: 5"] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\nhello");
        watched.refuses(400, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_length_that_was_written_in_another_way_is_written_anew() {
    let watched = Watched::start().await;
    for lengths in [
        "Content-Length: 05",
        "Content-Length: 00000000000000000000000000005",
        "content-LENGTH:5",
        "Content-Length: \t 5 \t",
        "Content-Length: 5, 05",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nX: y\r\nContent-Length: 005",
    ] {
        let extra = if lengths.contains("X: y") { "x: y\r\n" } else { "" };
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\nhello");
        let seen = format!("POST / HTTP/1.1\r\ncontent-length: 5\r\nhost: a\r\n{extra}\r\nhello");
        watched.passes(sent.as_bytes(), &seen).await;
    }
}

#[tokio::test]
async fn a_request_inside_the_body_of_a_get_stays_a_body() {
    let watched = Watched::start().await;
    watched
        .passes(
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\nX: y\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 36\r\nhost: a\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\nX: y\r\n",
        )
        .await;
}

#[tokio::test]
async fn of_length_and_chunks_only_chunks_reach_the_replica_and_nothing_follows() {
    let watched = Watched::start().await;
    let seen = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for framing in [
        // CL.TE: who took the length would find a request behind the first six bytes.
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        // TE.CL, and both once more.
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\nContent-Length: 6",
        // Beside chunks no length means anything, valid or not.
        "Transfer-Encoding: chunked\r\nContent-Length: -1",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\nContent-Length: 7",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        watched.passes_last(sent.as_bytes(), seen).await;
    }
}

#[tokio::test]
async fn a_coding_that_does_not_end_in_chunked_is_refused() {
    let watched = Watched::start().await;
    for coding in [
        "",
        "xchunked",
        "chunkedx",
        "x chunked",
        "chunked x",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        "chunked, identity",
        "chunked, gzip",
        "identity",
        "gzip",
        "chunke\u{212a}d",
        "chunked\u{a0}",
        "CHUNKED, x",
        "cow",
    ] {
        for length in ["", "Content-Length: 5\r\n"] {
            let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{length}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
            watched.refuses(400, sent.as_bytes()).await;
        }
    }
    for codings in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{codings}\r\n\r\n0\r\n\r\n");
        watched.refuses(400, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_coding_before_chunked_is_refused() {
    let watched = Watched::start().await;
    for codings in [
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip,chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{codings}\r\n\r\n0\r\n\r\n");
        watched.refuses(501, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn chunked_in_other_words_is_written_anew() {
    let watched = Watched::start().await;
    for coding in ["Transfer-Encoding: CHUNKED", "TRANSFER-ENCODING:chunked", "Transfer-Encoding: \t chunked \t "] {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let seen = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        watched.passes(sent.as_bytes(), seen).await;
    }
}

#[tokio::test]
async fn a_coding_under_a_disguised_name_is_refused_or_is_none() {
    let watched = Watched::start().await;
    for disguised in [
        &b"Transfer-Encoding : chunked"[..],
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding\x0b: chunked",
        b"Transfer-Encoding\0: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: \x0cchunked",
        b"Transfer-Encoding: chunked\x0b",
        b"Transfer-Encoding: chunked\0",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: x\r\n\tchunked",
        b"Transfer-Encoding\r\n: chunked",
        b"Transfer\xadEncoding: chunked",
        b"Transfer-Encoding",
        b": chunked",
    ] {
        let sent = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n", disguised, b"\r\n\r\nhello"].concat();
        watched.refuses(400, &sent).await;
    }
    // CGI and its kin make one variable of both names. So none goes on that they could take for ours.
    watched
        .passes(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\n\r\nhello",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nhost: a\r\n\r\nhello",
        )
        .await;
}

#[tokio::test]
async fn http_1_0_knows_lengths_and_no_chunks() {
    let watched = Watched::start().await;
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked"] {
        let sent = format!("POST / HTTP/1.0\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\n");
        watched.refuses(400, sent.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_body_without_framing_is_none() {
    let watched = Watched::start().await;
    // The five bytes are the beginning of the next request, whose method they spoil but do not hide.
    let seen = ["POST / HTTP/1.1\r\nhost: a\r\n\r\n", "helloGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"];
    watched.case(b"POST / HTTP/1.1\r\nHost: a\r\n\r\nhello", &[200, 200], &seen).await;
}
