//! A replica's output, line by line, under its name.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Longer lines are shown in pieces, so that a replica can't make us hold its output without bound.
const LONGEST_LINE: u64 = 16 * 1024;

/// Passes on each line until the stream ends.
pub(super) async fn relay(stream: impl AsyncRead + Unpin, mut show: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => show(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_in_pieces() {
        let long = "x".repeat(20_000);
        let input = format!("one\r\ntwo\n{long}\nlast");
        let mut lines = Vec::new();
        relay(input.as_bytes(), |line| lines.push(line.to_owned())).await;
        assert_eq!(lines, ["one", "two", &long[..16_384], &long[16_384..], "last"]);
    }
}
