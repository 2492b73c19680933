//! `spec.hashKey`: where a request's key comes from.

use std::num::NonZeroU32;

use http::HeaderName;

use crate::api::HashKeySource;
use crate::controller::validate::{Checker, is_visible};
use crate::model::{CookieKey, KeySource};

/// Where keys come from, as far as it can be.
pub(super) fn sources(sources: &[HashKeySource], check: &mut Checker) -> Vec<KeySource> {
    check.count("spec.hashKey", sources.len(), "sources", 16);
    let mut keys = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let path = format!("spec.hashKey[{index}]");
        keys.extend(read(source, &path, check));
    }
    keys
}

fn read(source: &HashKeySource, path: &str, check: &mut Checker) -> Option<KeySource> {
    match source {
        HashKeySource::Header(header) => {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok().filter(|_| is_token(&header.name));
            if name.is_none() {
                check.fail(&format!("{path}.header.name"), &header.name, "use a header name such as X-User-Id");
            }
            check.length(&format!("{path}.header.name"), &header.name, 256);
            name.map(KeySource::Header)
        }
        HashKeySource::Cookie(cookie) => {
            if !is_token(&cookie.name) {
                check.fail(&format!("{path}.cookie.name"), &cookie.name, "use a cookie name such as ringhold");
            }
            check.length(&format!("{path}.cookie.name"), &cookie.name, 256);
            if !cookie.path.starts_with('/') || cookie.path.contains([';', ',']) || !is_visible(&cookie.path) {
                check.fail(&format!("{path}.cookie.path"), &cookie.path, "use a path that begins with /");
            }
            check.length(&format!("{path}.cookie.path"), &cookie.path, 1_024);
            let ttl = check.seconds(&format!("{path}.cookie.ttlSeconds"), cookie.ttl_seconds, 0, i32::MAX as u64);
            Some(KeySource::Cookie(CookieKey { name: cookie.name.clone(), ttl, path: cookie.path.clone() }))
        }
        HashKeySource::Query(query) => {
            if query.name.is_empty() {
                check.fail(&format!("{path}.query.name"), "", "name the query parameter");
            }
            check.length(&format!("{path}.query.name"), &query.name, 256);
            Some(KeySource::Query(query.name.clone()))
        }
        HashKeySource::Path(source) => {
            let segments = check.number(&format!("{path}.path.segments"), source.segments, 0, 1024_u32);
            Some(KeySource::Path { segments: NonZeroU32::new(segments) })
        }
        HashKeySource::SourceIp(_) => Some(KeySource::SourceIp),
        HashKeySource::Random(_) => Some(KeySource::Random),
    }
}

/// What HTTP takes for the name of a header, and of a cookie.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
