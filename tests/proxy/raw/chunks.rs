//! Chunks: each is read strictly and written anew, so extensions and odd sizes end here.

use crate::raw::Watched;

const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const SEEN: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn sizes_in_other_words_are_written_anew() {
    let watched = Watched::start().await;
    for chunks in ["003\r\nabc\r\n0\r\n\r\n", "3 \t\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0000\r\n\r\n"] {
        watched.passes(format!("{HEAD}{chunks}").as_bytes(), &format!("{SEEN}3\r\nabc\r\n0\r\n\r\n")).await;
    }
    let long = "x".repeat(0xab);
    for size in ["ab", "AB", "aB", "00AB"] {
        let sent = format!("{HEAD}{size}\r\n{long}\r\n0\r\n\r\n");
        watched.passes(sent.as_bytes(), &format!("{SEEN}AB\r\n{long}\r\n0\r\n\r\n")).await;
    }
    let zeros = "0".repeat(15);
    let sent = format!("{HEAD}{zeros}3\r\nabc\r\n0{zeros}\r\n\r\n");
    watched.passes(sent.as_bytes(), &format!("{SEEN}3\r\nabc\r\n0\r\n\r\n")).await;
}

#[tokio::test]
async fn extensions_are_left_out() {
    let watched = Watched::start().await;
    for extension in
        [";", ";a", ";a=b", " ; a = b", ";a=\"b;c\"", ";a=\"b", ";;;", ";a=\"\\\"", ";\u{e9}", ";GET / HTTP/1.1", ";0"]
    {
        let sent = format!("{HEAD}3{extension}\r\nabc\r\n0{extension}\r\n\r\n");
        watched.passes(sent.as_bytes(), &format!("{SEEN}3\r\nabc\r\n0\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn a_quote_in_an_extension_hides_no_line_end() {
    let watched = Watched::start().await;
    // Who honours quotes would find the size of this chunk to be followed by nothing but the quotation.
    let sent = format!("{HEAD}3;a=\"\r\nabc\r\n0\r\n\r\n");
    watched.passes(sent.as_bytes(), &format!("{SEEN}3\r\nabc\r\n0\r\n\r\n")).await;
}

#[tokio::test]
async fn a_body_breaks_where_its_chunks_do() {
    let watched = Watched::start().await;
    for (chunks, arrived) in [
        ("+3\r\nabc\r\n0\r\n\r\n", ""),
        ("-3\r\nabc\r\n0\r\n\r\n", ""),
        (" 3\r\nabc\r\n0\r\n\r\n", ""),
        ("0x3\r\nabc\r\n0\r\n\r\n", ""),
        ("3_0\r\nabc\r\n0\r\n\r\n", ""),
        ("g\r\nabc\r\n0\r\n\r\n", ""),
        ("\r\nabc\r\n0\r\n\r\n", ""),
        (";a\r\nabc\r\n0\r\n\r\n", ""),
        ("3 3\r\nabc\r\n0\r\n\r\n", ""),
        ("3,3\r\nabc\r\n0\r\n\r\n", ""),
        ("00000000000000003\r\nabc\r\n0\r\n\r\n", ""),
        ("3;a\0b\r\nabc\r\n0\r\n\r\n", ""),
        ("3 \0\r\nabc\r\n0\r\n\r\n", ""),
        ("10000000000000003\r\nabc\r\n0\r\n\r\n", ""),
        ("ffffffffffffffffffff\r\nabc\r\n0\r\n\r\n", ""),
        // A line feed alone ends no line here, neither behind a size, nor in an extension, nor behind a chunk.
        ("3\nabc\r\n0\r\n\r\n", ""),
        ("3;a\nabc\r\n0\r\n\r\n", ""),
        ("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", ""),
        ("3\r\r\nabc\r\n0\r\n\r\n", ""),
        ("3\rabc\r\n0\r\n\r\n", ""),
        ("3;a\rb\r\nabc\r\n0\r\n\r\n", ""),
        // Whatever comes with it: the data before it goes nowhere either.
        ("3\r\nabc\n0\r\n\r\n", ""),
        ("3\r\nabc0\r\n\r\n", ""),
        ("3\r\nabcd\r\n0\r\n\r\n", ""),
        ("3\r\nab\r\n0\r\n\r\n", ""),
        ("3\r\nabc\r0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\n\r\n", ""),
        ("3\r\nabc\r\n\r\n0\r\n\r\n", ""),
        // Trailers are read behind the data.
        ("3\r\nabc\r\n0\r\n\r\r\n", "3\r\nabc\r\n"),
    ] {
        let sent = format!("{HEAD}{chunks}");
        if arrived.is_empty() {
            // It broke before anything went on.
            watched.refuses(400, sent.as_bytes()).await;
        } else {
            watched.breaks(400, sent.as_bytes(), &format!("{SEEN}{arrived}")).await;
        }
    }
}

#[tokio::test]
async fn extensions_without_end_break_the_body() {
    let watched = Watched::start().await;
    let long = "x".repeat(17_000);
    watched.refuses(400, format!("{HEAD}3;{long}\r\nabc\r\n0\r\n\r\n").as_bytes()).await;
    // All of a body's extensions together, for a byte of data each would do as well.
    let (many, most) = ("1;123456789\r\nx\r\n".repeat(2_000), "1\r\nx\r\n".repeat(1820));
    watched.breaks_within(400, format!("{HEAD}{many}0\r\n\r\n").as_bytes(), &format!("{SEEN}{most}")).await;
}
