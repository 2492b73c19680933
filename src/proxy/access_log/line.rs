//! What a line says, and how: JSON, or the Combined Log Format with fields behind it.
//!
//! What a client sends is escaped in both, so that no request can forge or break a line.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::proxy::access_log::AccessLogFormat;

/// One request. Its fields are those of the JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::proxy) struct Line<'a> {
    /// When its head had come.
    #[serde(serialize_with = "rfc3339")]
    pub(in crate::proxy) time: Timestamp,
    /// The client's address.
    pub(in crate::proxy) client: &'a str,
    pub(in crate::proxy) method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::proxy) host: Cow<'a, str>,
    pub(in crate::proxy) target: Cow<'a, str>,
    pub(in crate::proxy) protocol: &'static str,
    /// 499 where the client left before there was one.
    pub(in crate::proxy) status: u16,
    /// Why it is not simply a replica's whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) reason: Option<&'static str>,
    /// Of bodies, as all bytes here.
    pub(in crate::proxy) bytes_in: u64,
    pub(in crate::proxy) bytes_out: u64,
    #[serde(rename = "durationSeconds", serialize_with = "seconds")]
    pub(in crate::proxy) duration: Duration,
    /// From the beginning of the last try to the head of its response.
    #[serde(rename = "upstreamSeconds", serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) upstream: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) namespace: Option<&'a str>,
    #[serde(rename = "loadbalancer", skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) load_balancer: Option<&'a str>,
    /// Of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) ordinal: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) replica: Option<&'a str>,
    pub(in crate::proxy) tries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) key_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) key: Option<Cow<'a, str>>,
    /// What became of the key's first candidate in the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) first_candidate: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::proxy) user_agent: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::proxy) referer: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) trace_id: Option<&'a str>,
}

/// Text between quotes as nginx escapes it: what could end it, or is no visible ASCII or space, is `\xHH`.
struct Escaped<'a>(&'a str);

/// Seconds with six places.
struct Micros(Duration);

/// A dash where there is nothing.
struct OrDash<T>(Option<T>);

// === impl Line ===

impl Line<'_> {
    /// Appends the line with its end.
    pub(super) fn write(&self, format: AccessLogFormat, to: &mut Vec<u8>) {
        let before = to.len();
        let written = match format {
            AccessLogFormat::Text => self.write_text(to).is_ok(),
            AccessLogFormat::Json => serde_json::to_writer(&mut *to, self).is_ok(),
        };
        debug_assert!(written, "memory takes everything, and nothing here refuses to be written");
        if written { to.push(b'\n') } else { to.truncate(before) }
    }

    fn write_text(&self, to: &mut Vec<u8>) -> io::Result<()> {
        write!(
            to,
            "{} - - [{}] \"{} {} {}\" {} {} \"{}\" \"{}\"",
            self.client,
            self.time.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            Escaped(self.method),
            Escaped(&self.target),
            self.protocol,
            self.status,
            self.bytes_out,
            OrDash(filled(&self.referer)),
            OrDash(filled(&self.user_agent)),
        )?;
        write!(
            to,
            " host=\"{}\" reason={} bytes_in={} duration={} upstream={} namespace={} loadbalancer={} ordinal={} \
             replica={} tries={} key_source={} first_candidate={} trace_id={}",
            OrDash(filled(&self.host)),
            OrDash(self.reason),
            self.bytes_in,
            Micros(self.duration),
            OrDash(self.upstream.map(Micros)),
            OrDash(self.namespace),
            OrDash(self.load_balancer),
            OrDash(self.ordinal),
            OrDash(self.replica),
            self.tries,
            OrDash(self.key_source),
            OrDash(self.first_candidate),
            OrDash(self.trace_id),
        )?;
        match &self.key {
            Some(key) => write!(to, " key=\"{}\"", Escaped(key)),
            None => Ok(()),
        }
    }
}

// === impl Escaped, OrDash, Micros ===

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
            // What is plain is ASCII, so that this cuts between characters.
            let (plain, other) = rest.split_at(at);
            f.write_str(plain)?;
            let odd = other.bytes().take_while(|byte| !is_plain(*byte)).count();
            let (odd, after) = other.split_at(odd);
            odd.bytes().try_for_each(|byte| write!(f, "\\x{byte:02X}"))?;
            rest = after;
        }
        f.write_str(rest)
    }
}

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

fn filled(text: &str) -> Option<Escaped<'_>> {
    (!text.is_empty()).then_some(Escaped(text))
}

fn rfc3339<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.6}"))
}

fn seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_micros() as f64 / 1e6)
}

fn maybe_seconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_line<'a>(target: &'a str, user_agent: &'a str) -> Line<'a> {
        Line {
            time: Timestamp::from_microsecond(1_770_000_000_123_456).unwrap(),
            client: "10.0.0.7",
            method: "GET",
            host: "a.example".into(),
            target: target.into(),
            protocol: "HTTP/1.1",
            status: 200,
            reason: None,
            bytes_in: 0,
            bytes_out: 12,
            duration: Duration::from_micros(1_500),
            upstream: Some(Duration::from_micros(900)),
            namespace: Some("default"),
            load_balancer: Some("web"),
            ordinal: Some(2),
            replica: Some("web-2-t-0"),
            tries: 1,
            key_source: Some("header"),
            key: None,
            first_candidate: Some("Taken"),
            user_agent: user_agent.into(),
            referer: "".into(),
            trace_id: None,
        }
    }

    fn text(line: &Line<'_>, format: AccessLogFormat) -> String {
        let mut bytes = Vec::new();
        line.write(format, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_the_combined_format_with_fields_behind_it() {
        assert_eq!(
            text(&mk_line("/x?y=1", "curl/8"), AccessLogFormat::Text),
            "10.0.0.7 - - [02/Feb/2026:02:40:00 +0000] \"GET /x?y=1 HTTP/1.1\" 200 12 \"-\" \"curl/8\" host=\"a.example\" \
             reason=- bytes_in=0 duration=0.001500 upstream=0.000900 namespace=default loadbalancer=web ordinal=2 \
             replica=web-2-t-0 tries=1 key_source=header first_candidate=Taken trace_id=-\n"
        );
    }

    #[test]
    fn json_leaves_out_what_is_not_known() {
        let line = Line { upstream: None, ordinal: None, replica: None, ..mk_line("/x", "") };
        assert_eq!(
            text(&line, AccessLogFormat::Json),
            "{\"time\":\"2026-02-02T02:40:00.123456Z\",\"client\":\"10.0.0.7\",\"method\":\"GET\",\"host\":\"a.example\",\
             \"target\":\"/x\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytesIn\":0,\"bytesOut\":12,\"durationSeconds\":0.0015,\
             \"namespace\":\"default\",\"loadbalancer\":\"web\",\"tries\":1,\"keySource\":\"header\",\"firstCandidate\":\"Taken\"}\n"
        );
    }

    #[test]
    fn nothing_that_a_client_sends_ends_a_field_or_a_line() {
        let nasty = "a\"b\\c\nd\u{1b}[31m\u{e9}";
        let line = text(&mk_line("/", nasty), AccessLogFormat::Text);
        assert!(line.contains(r#" "a\x22b\x5Cc\x0Ad\x1B[31m\xC3\xA9" "#), "{line}");
        assert_eq!(line.lines().count(), 1);
        let line = text(&mk_line("/", nasty), AccessLogFormat::Json);
        assert_eq!(line.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["userAgent"], nasty);
    }
}
