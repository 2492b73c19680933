//! Every way in which a request can fail here, what the client is told of it, and how it is counted.
//!
//! A client learns a status, a CamelCase reason and a sentence; never an address or a system's words.

use std::{fmt, io};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::proxy::message::{Fields, Response};

use crate::routes::PickError;

/// Why an answer is ours and not the replica's.
pub const REASON_HEADER: HeaderName = HeaderName::from_static("x-ringhold-reason");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why a request did not get a replica's answer; reads as its [`Reason`] does.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Nobody serves, or everybody was tried.
    NoReplica,
    /// All that serve have as many requests as they may have.
    Full,
    /// No connection; nothing was sent.
    Connect(#[source] io::Error),
    /// No connection in time; nothing was sent.
    ConnectTimeout,
    /// The replica has not proved to be one; nothing was sent.
    ReplicaTls(#[source] io::Error),
    /// Nobody can: it is not known whom to trust. Nothing was sent.
    NoAuthorities,
    /// The replica has taken no more requests on its connection of HTTP/2; it has not begun with this one.
    Refused(#[source] io::Error),
    /// The connection ended before a response came.
    Reset(#[source] io::Error),
    /// What came was no HTTP.
    BadResponse,
    /// No response in time.
    ResponseTimeout,
    /// The client stopped sending.
    RequestTimeout,
    /// The body grew past the limit while it was streamed.
    BodyTooLarge,
    /// The client broke off, or sent what is no valid body.
    BrokenBody,
}

/// Every reason for an answer of our own; a closed set, also as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The head is not one of HTTP.
    BadRequest,
    /// The head is too long.
    HeadTooLarge,
    /// Host is missing, repeated or malformed.
    BadHost,
    /// The target has a form that is not for this method.
    BadTarget,
    /// Connection names a field that belongs to the whole way.
    BadConnection,
    /// The request's body is broken.
    BrokenBody,
    /// No load balancer has this host on this port.
    NoRoute,
    /// The host is another load balancer's than the one that the client shook hands with.
    MisdirectedRequest,
    /// CONNECT or TRACE.
    MethodNotAllowed,
    /// The client stopped sending.
    RequestTimeout,
    /// The body is too long.
    BodyTooLarge,
    /// The target is too long.
    UriTooLong,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// A transfer coding other than `chunked`.
    UnsupportedCoding,
    /// The head has too many fields.
    TooManyFields,
    /// Nobody could be connected to.
    ConnectFailed,
    /// The replica has not proved to be one.
    ReplicaTlsFailed,
    /// The replica closed without an answer.
    UpstreamReset,
    /// The replica's answer is no HTTP.
    BadResponse,
    /// Nobody serves.
    NoReplica,
    /// Everybody is full.
    AllReplicasFull,
    /// This proxy has as many requests as it may have.
    Overloaded,
    /// Nobody could be connected to in time.
    ConnectTimeout,
    /// The replica did not answer in time.
    ResponseTimeout,
}

/// Whether a request has been read to its end when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestEnd {
    Read,
    Unread,
}

// === impl ForwardError ===

impl ForwardError {
    /// The CamelCase reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoReplica => Reason::NoReplica,
            Self::Full | Self::Refused(_) => Reason::AllReplicasFull,
            Self::Connect(_) => Reason::ConnectFailed,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::ReplicaTls(_) | Self::NoAuthorities => Reason::ReplicaTlsFailed,
            Self::Reset(_) => Reason::UpstreamReset,
            Self::BadResponse => Reason::BadResponse,
            Self::ResponseTimeout => Reason::ResponseTimeout,
            Self::RequestTimeout => Reason::RequestTimeout,
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::BrokenBody => Reason::BrokenBody,
        }
    }
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason().message())
    }
}

impl From<PickError> for ForwardError {
    fn from(error: PickError) -> Self {
        match error {
            // Outdated and nothing newer: the LoadBalancer has gone.
            PickError::NoReplica | PickError::Outdated => Self::NoReplica,
            PickError::Full => Self::Full,
        }
    }
}

// === impl Reason ===

impl Reason {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 24] = [
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::BadHost,
        Self::BadTarget,
        Self::BadConnection,
        Self::BrokenBody,
        Self::NoRoute,
        Self::MisdirectedRequest,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::ExpectationFailed,
        Self::UnsupportedCoding,
        Self::TooManyFields,
        Self::ConnectFailed,
        Self::ReplicaTlsFailed,
        Self::UpstreamReset,
        Self::BadResponse,
        Self::NoReplica,
        Self::AllReplicasFull,
        Self::Overloaded,
        Self::ConnectTimeout,
        Self::ResponseTimeout,
    ];

    /// The CamelCase word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::HeadTooLarge => "HeadTooLarge",
            Self::BadHost => "BadHost",
            Self::BadTarget => "BadTarget",
            Self::BadConnection => "BadConnection",
            Self::BrokenBody => "BrokenBody",
            Self::NoRoute => "NoRoute",
            Self::MisdirectedRequest => "MisdirectedRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::RequestTimeout => "RequestTimeout",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::UriTooLong => "UriTooLong",
            Self::ExpectationFailed => "ExpectationFailed",
            Self::UnsupportedCoding => "UnsupportedCoding",
            Self::TooManyFields => "TooManyFields",
            Self::ConnectFailed => "ConnectFailed",
            Self::ReplicaTlsFailed => "ReplicaTlsFailed",
            Self::UpstreamReset => "UpstreamReset",
            Self::BadResponse => "BadResponse",
            Self::NoReplica => "NoReplica",
            Self::AllReplicasFull => "AllReplicasFull",
            Self::Overloaded => "Overloaded",
            Self::ConnectTimeout => "ConnectTimeout",
            Self::ResponseTimeout => "ResponseTimeout",
        }
    }

    /// The status that says it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadHost | Self::BadTarget | Self::BadConnection | Self::BrokenBody => {
                StatusCode::BAD_REQUEST
            }
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MisdirectedRequest => StatusCode::MISDIRECTED_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::UnsupportedCoding => StatusCode::NOT_IMPLEMENTED,
            Self::HeadTooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ConnectFailed | Self::ReplicaTlsFailed | Self::UpstreamReset | Self::BadResponse => {
                StatusCode::BAD_GATEWAY
            }
            Self::NoReplica | Self::AllReplicasFull | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What people read.
    const fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "the request's head is not valid HTTP",
            Self::HeadTooLarge => "the request's head is too long",
            Self::BadHost => "the request needs exactly one valid Host",
            Self::BadTarget => "the request's target is not one for its method",
            Self::BadConnection => "the request's Connection names a field that is not for one connection alone",
            Self::BrokenBody => "the request's body is broken",
            Self::NoRoute => "no load balancer serves this host here; see spec.listener.hostnames",
            Self::MisdirectedRequest => "this connection is not for this host; ask on a new one",
            Self::MethodNotAllowed => "this proxy takes neither CONNECT nor TRACE",
            Self::RequestTimeout => "the request's body did not arrive in time",
            Self::BodyTooLarge => "the request's body is longer than this load balancer takes",
            Self::UriTooLong => "the request's target is too long",
            Self::ExpectationFailed => "this proxy knows no expectation but 100-continue",
            Self::UnsupportedCoding => "of the transfer codings this proxy takes chunked alone",
            Self::TooManyFields => "the request's head has too many fields",
            Self::ConnectFailed => "no replica could be reached",
            Self::ReplicaTlsFailed => "no replica could prove who it is",
            Self::UpstreamReset => "the replica closed the connection without an answer",
            Self::BadResponse => "the replica's answer is not valid HTTP",
            Self::NoReplica => "no replica is ready",
            Self::AllReplicasFull => "every replica is busy",
            Self::Overloaded => "this proxy is busy",
            Self::ConnectTimeout => "no replica could be reached in time",
            Self::ResponseTimeout => "the replica did not answer in time",
        }
    }

    /// Whether the connection has to end, however the request's body did: who says this of itself is not understood.
    const fn closes(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::HeadTooLarge
                | Self::BadHost
                | Self::BadTarget
                | Self::BadConnection
                | Self::MisdirectedRequest
                | Self::UnsupportedCoding
                | Self::UriTooLong
        )
    }

    /// What gRPC calls it (its `statuscodes.md`): what may be better the next time is UNAVAILABLE.
    const fn grpc_status(self) -> &'static str {
        match self {
            Self::RequestTimeout | Self::ResponseTimeout => "4", // DEADLINE_EXCEEDED
            Self::BodyTooLarge | Self::UriTooLong | Self::HeadTooLarge | Self::TooManyFields => "8", // RESOURCE_EXHAUSTED
            Self::NoRoute | Self::MisdirectedRequest | Self::MethodNotAllowed => "12",               // UNIMPLEMENTED
            Self::BadRequest
            | Self::BadHost
            | Self::BadTarget
            | Self::BadConnection
            | Self::BrokenBody
            | Self::ExpectationFailed
            | Self::UnsupportedCoding
            | Self::BadResponse => "13", // INTERNAL
            Self::ConnectFailed
            | Self::ReplicaTlsFailed
            | Self::ConnectTimeout
            | Self::UpstreamReset
            | Self::NoReplica
            | Self::AllReplicasFull
            | Self::Overloaded => "14", // UNAVAILABLE
        }
    }

    /// The whole answer to a gRPC request: a status in a head without anything after it ("trailers-only").
    pub(super) fn grpc_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(self.grpc_status()));
        // Percent-encoding is for what is not printable ASCII, and all of it is.
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(self.message()));
        headers.insert(REASON_HEADER, HeaderValue::from_static(self.as_str()));
        response
    }

    /// The whole answer: JSON, or plain text for who asks for text and not for JSON. After a body that was not read to
    /// its end, nothing can follow on the connection.
    pub(super) fn response(self, accept: Option<&HeaderValue>, end: RequestEnd) -> Response<Bytes> {
        let (reason, message) = (self.as_str(), self.message());
        let (kind, body) = if wants_text(accept) {
            ("text/plain; charset=utf-8", format!("{message} ({reason})\n"))
        } else {
            // Neither word needs escaping: both are written above.
            ("application/json", format!("{{\"error\":\"{message}\",\"reason\":\"{reason}\"}}\n"))
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REASON_HEADER, HeaderValue::from_static(reason));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == Self::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if self.closes() || end == RequestEnd::Unread {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The client's wish, kept before its headers move on.
pub(super) fn accept(headers: &Fields) -> Option<HeaderValue> {
    headers.get(ACCEPT).cloned()
}

/// Whether who asks speaks gRPC, and so reads no status but gRPC's. Its kin for browsers does not.
pub(super) fn is_grpc(headers: &Fields) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn wants_text(accept: Option<&HeaderValue>) -> bool {
    let Some(accept) = accept.and_then(|value| value.to_str().ok()) else { return false };
    accept.contains("text/") && !accept.contains("json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_listed() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn browsers_get_text_and_programs_get_json() {
        let text = HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(
            Reason::AllReplicasFull
                .response(Some(&text), RequestEnd::Read)
                .body()
                .starts_with(b"every replica is busy")
        );
        let json = Reason::AllReplicasFull.response(Some(&HeaderValue::from_static("*/*")), RequestEnd::Read);
        assert_eq!(&json.body()[..], b"{\"error\":\"every replica is busy\",\"reason\":\"AllReplicasFull\"}\n");
        assert_eq!(json.headers().get(RETRY_AFTER), Some(&HeaderValue::from_static("1")));
    }
}
