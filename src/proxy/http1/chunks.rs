//! The chunked coding, read (RFC 9112 §7.1). Lines must end with CR LF, and everything but data is bounded.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::http1::head::Invalid;

/// Bytes of extensions in one body. They are read past, so more would be work for nothing.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Bytes of trailers, and how many.
const MAX_TRAILERS: usize = 16 * 1024;
const MAX_TRAILER_FIELDS: usize = 64;

/// Where in the coding a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    state: State,
    extensions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size, of which so many digits have come.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size, in blanks (RFC 9112 §7.1.1: bad style).
    Blank {
        size: u64,
    },
    Extension {
        size: u64,
    },
    /// The line's CR has come.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
    /// No more will.
    Ended,
    /// More has to be read.
    Partial,
}

// === impl Chunks ===

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size { size: 0, digits: 0 }, extensions: 0 }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    pub(super) fn take(&mut self, inbox: &mut BytesMut) -> Result<Chunk, Invalid> {
        loop {
            match self.state {
                State::Ended => return Ok(Chunk::Ended),
                State::Trailers => return self.trailers(inbox),
                State::Data { left } => {
                    if inbox.is_empty() {
                        return Ok(Chunk::Partial);
                    }
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(inbox.len());
                    let left = left - count as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    let data = inbox.split_to(count).freeze();
                    self.peek_end(inbox)?;
                    return Ok(Chunk::Data(data));
                }
                _ => {
                    let Some(byte) = inbox.first().copied() else { return Ok(Chunk::Partial) };
                    inbox.advance(1);
                    self.state = self.step(byte)?;
                }
            }
        }
    }

    /// Goes on over what is there already, so that the last data is known to be the last.
    fn peek_end(&mut self, inbox: &mut BytesMut) -> Result<(), Invalid> {
        while !matches!(self.state, State::Data { .. } | State::Trailers | State::Ended) {
            let Some(byte) = inbox.first().copied() else { return Ok(()) };
            inbox.advance(1);
            self.state = self.step(byte)?;
        }
        if self.state == State::Trailers && inbox.starts_with(b"\r\n") {
            inbox.advance(2);
            self.state = State::Ended;
        }
        Ok(())
    }

    /// One byte of what is not data.
    fn step(&mut self, byte: u8) -> Result<State, Invalid> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(Invalid)?;
                let size = size.checked_mul(16).ok_or(Invalid)? | u64::from(digit);
                State::Size { size, digits: digits.checked_add(1).filter(|digits| *digits <= 16).ok_or(Invalid)? }
            }
            (State::Size { digits: 0, .. }, _) => return Err(Invalid),
            (State::Size { size, .. } | State::Blank { size } | State::Extension { size }, b'\r') => {
                State::SizeEnd { size }
            }
            (State::Size { size, .. } | State::Blank { size }, b';') => State::Extension { size },
            (State::Size { size, .. }, b' ' | b'\t') => State::Blank { size },
            (State::Blank { size }, b' ' | b'\t') => self.pass(State::Blank { size })?,
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => self.pass(State::Extension { size })?,
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailers,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            _ => return Err(Invalid),
        })
    }

    /// Goes on in a state, past a byte that says nothing.
    fn pass(&mut self, state: State) -> Result<State, Invalid> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS { Err(Invalid) } else { Ok(state) }
    }

    fn trailers(&mut self, inbox: &mut BytesMut) -> Result<Chunk, Invalid> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        // However much has come: else the limit would depend on how it came.
        let most = inbox.len().min(MAX_TRAILERS);
        let parsed = httparse::parse_headers(&inbox[..most], &mut fields).map_err(|_| Invalid)?;
        let httparse::Status::Complete((length, fields)) = parsed else {
            return if most == MAX_TRAILERS { Err(Invalid) } else { Ok(Chunk::Partial) };
        };
        let mut lines = inbox[..length].split_inclusive(|byte| *byte == b'\n');
        if !lines.all(|line| line.ends_with(b"\r\n")) {
            return Err(Invalid); // httparse takes a line feed alone
        }
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Invalid)?;
            trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Invalid)?);
        }
        inbox.advance(length);
        self.state = State::Ended;
        Ok(if trailers.is_empty() { Chunk::Ended } else { Chunk::Trailers(mem::take(&mut trailers)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body says, however it is cut into reads; and what is left behind it.
    fn read(coded: &[u8], step: usize) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), Invalid> {
        let (mut chunks, mut inbox) = (Chunks::new(), BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut parts = coded.chunks(step);
        loop {
            match chunks.take(&mut inbox)? {
                Chunk::Data(bytes) => data.extend_from_slice(&bytes),
                Chunk::Trailers(fields) => trailers = fields,
                Chunk::Ended => {
                    inbox.extend_from_slice(&parts.collect::<Vec<_>>().concat());
                    return Ok((data, trailers, inbox.to_vec()));
                }
                Chunk::Partial => inbox.extend_from_slice(parts.next().ok_or(Invalid)?),
            }
        }
    }

    #[test]
    fn a_body_is_read_alike_however_it_arrives() {
        let coded =
            b"4\r\nWiki\r\n6;name=\"a b\"\r\npedia \r\n00E \r\nin \r\n\r\nchunks.\r\n0;x\r\nX-Sum: 7\r\n\r\nHTTP/1.1";
        for step in 1..=coded.len() {
            let (data, trailers, rest) = read(coded, step).expect("it is valid");
            assert_eq!(data, b"Wikipedia in \r\n\r\nchunks.");
            assert_eq!(trailers["x-sum"], "7");
            assert_eq!(rest, b"HTTP/1.1");
        }
    }

    #[test]
    fn the_last_data_is_known_to_be_the_last() {
        let (mut chunks, mut inbox) = (Chunks::new(), BytesMut::from(&b"2\r\nab\r\n0\r\n\r\n"[..]));
        assert_eq!(chunks.take(&mut inbox), Ok(Chunk::Data(Bytes::from_static(b"ab"))));
        assert!(chunks.is_ended() && inbox.is_empty());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_EXTENSIONS as usize + 1));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_TRAILER_FIELDS + 1));
        let large = format!("0\r\na: {}\r\n\r\n", "b".repeat(MAX_TRAILERS));
        for coded in [
            "1\na\r\n0\r\n\r\n",
            "1;x\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            "\r\n1\r\na\r\n0\r\n\r\n",
            " 1\r\na\r\n0\r\n\r\n",
            "+1\r\na\r\n0\r\n\r\n",
            "-1\r\na\r\n0\r\n\r\n",
            "0x1\r\na\r\n0\r\n\r\n",
            "1g\r\na\r\n0\r\n\r\n",
            "1 1\r\na\r\n0\r\n\r\n",
            "1 \t1\r\na\r\n0\r\n\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
            "1;\0\r\na\r\n0\r\n\r\n",
            "10000000000000001\r\na\r\n0\r\n\r\n",
            ";\r\na\r\n0\r\n\r\n",
            "\r\n",
            "1\r\na\r\n0\r\n a: b\r\n\r\n",
            "1\r\na\r\n0\r\na b: c\r\n\r\n",
            "1\r\na\r\n0\r\na: b\n\r\n",
            "1\r\na\r\n0\r\na: b\r\n\n",
            "1\r\na\r\n0\r\n\n",
            &long,
            &many,
            &large,
        ] {
            for step in [1, coded.len()] {
                assert_eq!(read(coded.as_bytes(), step), Err(Invalid), "{coded:?}");
            }
        }
    }
}
