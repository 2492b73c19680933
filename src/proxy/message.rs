//! Messages as they pass through the proxy: heads whose fields are a list.
//!
//! A head of HTTP has a dozen fields, of which a proxy looks at some and hands on the others. [`http::HeaderMap`] hashes
//! each name for that when it comes and at each look, which was a ninth of all that a small request cost outside the
//! kernel; a list is read from its beginning. HTTP/2, whose library has maps, pays for the difference where its messages
//! enter and leave.

mod fields;

pub(super) use self::fields::Fields;

use bytes::Bytes;
use http::{Method, StatusCode, Uri, Version};
use hyper::ext::{Protocol, ReasonPhrase};
use hyper::upgrade::OnUpgrade;

/// A request, or its head alone.
#[derive(Debug)]
pub(super) struct Request<B> {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Fields,
    /// Of an extended CONNECT (RFC 8441).
    connect: Option<Box<Connect>>,
    body: B,
}

/// What an extended CONNECT asks for.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) protocol: Protocol,
    /// The client's side of the tunnel, once there is an answer.
    pub(super) tunnel: OnUpgrade,
}

/// A response, or its head alone.
#[derive(Debug)]
pub(super) struct Response<B> {
    status: StatusCode,
    /// The words after the status, where they are not the usual ones.
    reason: Option<Bytes>,
    headers: Fields,
    body: B,
}

// === impl Request ===

impl<B> Request<B> {
    pub(super) fn new(body: B) -> Self {
        let (method, uri, version) = (Method::GET, Uri::from_static("/"), Version::HTTP_11);
        Self { method, uri, version, headers: Fields::default(), connect: None, body }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn method_mut(&mut self) -> &mut Method {
        &mut self.method
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn uri_mut(&mut self) -> &mut Uri {
        &mut self.uri
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn version_mut(&mut self) -> &mut Version {
        &mut self.version
    }

    pub(super) fn headers(&self) -> &Fields {
        &self.headers
    }

    pub(super) fn headers_mut(&mut self) -> &mut Fields {
        &mut self.headers
    }

    pub(super) fn connect(&self) -> Option<&Connect> {
        self.connect.as_deref()
    }

    /// Leaves none.
    pub(super) fn take_connect(&mut self) -> Option<Box<Connect>> {
        self.connect.take()
    }

    pub(super) fn body(&self) -> &B {
        &self.body
    }

    pub(super) fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    pub(super) fn map<C>(self, change: impl FnOnce(B) -> C) -> Request<C> {
        let Self { method, uri, version, headers, connect, body } = self;
        Request { method, uri, version, headers, connect, body: change(body) }
    }
}

/// From HTTP/2.
impl<B> From<http::Request<B>> for Request<B> {
    fn from(mut request: http::Request<B>) -> Self {
        let connect = (request.method() == Method::CONNECT)
            .then(|| Some((request.extensions_mut().remove::<Protocol>()?, hyper::upgrade::on(&mut request))))
            .flatten();
        let (head, body) = request.into_parts();
        let connect = connect.map(|(protocol, tunnel)| Box::new(Connect { protocol, tunnel }));
        let (method, uri, version) = (head.method, head.uri, head.version);
        Self { method, uri, version, headers: head.headers.into(), connect, body }
    }
}

// === impl Response ===

impl<B> Response<B> {
    pub(super) fn new(body: B) -> Self {
        Self { status: StatusCode::OK, reason: None, headers: Fields::default(), body }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.status
    }

    /// The words after the status, in what is visible, blank or beyond ASCII.
    pub(super) fn reason(&self) -> &[u8] {
        match &self.reason {
            Some(reason) => reason,
            None => self.status.canonical_reason().unwrap_or("Unknown").as_bytes(),
        }
    }

    /// Leaves the usual ones where these are none.
    pub(super) fn set_reason(&mut self, reason: Option<Bytes>) {
        self.reason = reason.filter(|reason| ReasonPhrase::try_from(&reason[..]).is_ok());
    }

    pub(super) fn headers(&self) -> &Fields {
        &self.headers
    }

    pub(super) fn headers_mut(&mut self) -> &mut Fields {
        &mut self.headers
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> &B {
        &self.body
    }

    pub(super) fn map<C>(self, change: impl FnOnce(B) -> C) -> Response<C> {
        let Self { status, reason, headers, body } = self;
        Response { status, reason, headers, body: change(body) }
    }

    /// The head alone, and the body.
    pub(super) fn into_parts(self) -> (Response<()>, B) {
        let Self { status, reason, headers, body } = self;
        (Response { status, reason, headers, body: () }, body)
    }
}

/// From HTTP/2.
impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, reason: None, headers: head.headers.into(), body }
    }
}

/// To HTTP/2, which has no words.
impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let Response { status, reason: _, headers, body } = response;
        let mut response = Self::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers.into();
        response
    }
}
