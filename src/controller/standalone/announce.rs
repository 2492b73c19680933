//! What people are told when a declaration is accepted: where to point a browser or curl, and what changes.

use std::sync::Arc;

use crate::api::{HashKeySource, LoadBalancer};
use crate::model::Desired;

/// Names the path in the hint on how to try a LoadBalancer out.
const TRY_PATH: &str = "ringhold.dev/try-path";

/// What people want to know of a spec that has just been accepted.
pub(super) fn announce(before: Option<&Desired>, after: &Desired, resource: &LoadBalancer) -> Vec<String> {
    let listener = &after.route.listener;
    let mut lines = Vec::new();
    if before.is_none_or(|before| before.route.listener != *listener) {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}", listener.port);
        let hosts = match listener.hostnames.as_slice() {
            [] => String::new(),
            hostnames => format!(" for {}", hostnames.join(", ")),
        };
        lines.push(format!("listens on {url}{hosts}, key: {}", describe_key(&resource.spec.hash_key)));
        let path = resource.metadata.annotations.as_ref().and_then(|notes| notes.get(TRY_PATH));
        if let Some(path) = path {
            let host = listener.hostnames.first().map(|host| format!(" -H 'Host: {}'", host.replace('*', "any")));
            let options = host.unwrap_or_default() + &key_option(&resource.spec.hash_key);
            lines.push(format!("try: curl{options} {url}{path}"));
        }
    }
    match before {
        None if after.replicas == 1 => lines.push("wants 1 replica".to_owned()),
        None => lines.push(format!("wants {} replicas", after.replicas)),
        Some(before) => {
            if before.replicas != after.replicas {
                lines.push(format!("scales from {} to {} replicas", before.replicas, after.replicas));
            }
            if before.template.hash != after.template.hash {
                let (old, new) = (&before.template.hash, &after.template.hash);
                lines.push(format!("rolls out template {new} in place of {old}, ordinal by ordinal"));
            }
            let rest = Desired {
                replicas: before.replicas,
                template: Arc::clone(&before.template),
                generation: before.generation,
                ..after.clone()
            };
            if lines.is_empty() && rest != *before {
                lines.push("takes its changed settings".to_owned());
            }
        }
    }
    lines
}

fn describe_key(sources: &[HashKeySource]) -> String {
    let words: Vec<String> = sources
        .iter()
        .map(|source| match source {
            HashKeySource::Header(header) => format!("header {}", header.name),
            HashKeySource::Cookie(cookie) => format!("cookie {}", cookie.name),
            HashKeySource::Query(query) => format!("query parameter {}", query.name),
            HashKeySource::Path(_) => "path".to_owned(),
            HashKeySource::SourceIp(_) => "client address".to_owned(),
            HashKeySource::Random(_) => "random".to_owned(),
        })
        .collect();
    if words.is_empty() { "random".to_owned() } else { words.join(", else ") }
}

fn key_option(sources: &[HashKeySource]) -> String {
    match sources.first() {
        Some(HashKeySource::Header(header)) => format!(" -H '{}: ann'", header.name),
        _ => String::new(),
    }
}
