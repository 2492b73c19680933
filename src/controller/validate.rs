//! From a spec to [`Desired`]. Parsed once, here: whatever passes is whole, and whatever does not is named with its
//! path, its value and the rule.

mod key;
mod ring;
mod service;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::{self, HealthSpec, LimitsSpec, LoadBalancer, LoadBalancerSpec, RetriesSpec, RolloutSpec};
use crate::controller::{manifest, template};
use crate::model::{
    Desired, FleetId, FleetUid, Health, Limits, Listener, Retries, Rollout, RoutePolicy, TargetProtocol, Timeouts,
};

pub use ring::{CheckedRing, ring};
pub use service::{Service, service};
pub(super) use tls::listener_tls;

/// The longest limit of a body that can be declared: 1 PiB, for JSON's numbers are exact only somewhat beyond.
const MOST_BYTES: u64 = 1 << 50;

/// A field that can't be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where: `spec.rollout.maxSurge`.
    pub path: String,
    /// What stands there, as it was written.
    pub value: String,
    /// What may stand there, or the way out.
    pub rule: String,
}

/// All fields that can't be as they are, in the order of the resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldErrors(pub Vec<FieldError>);

/// Collects errors while a spec is read, so that people see all of them at once.
#[derive(Debug, Default)]
pub(super) struct Checker {
    errors: Vec<FieldError>,
}

/// Turns an accepted resource into what the core works with.
///
/// # Errors
/// Every field that is wrong, not only the first.
pub fn validate(resource: &LoadBalancer) -> Result<Desired, FieldErrors> {
    let mut check = Checker::default();
    let spec = &resource.spec;
    let id = checked_identity(resource, &mut check);
    let replicas = check.number("spec.replicas", spec.replicas, 0, u16::MAX);
    let listener = listener(spec, &mut check);
    service::checked(spec, &mut check);
    let hash_key = key::sources(&spec.hash_key, &mut check);
    let CheckedRing { ring, key_hash, weights } = ring::checked(&spec.ring, replicas, &mut check);
    let bounded_load = bounded_load(spec, &mut check);
    let rollout = rollout(&spec.rollout, replicas, &mut check);
    let (target_protocol, mut health) = (target_protocol(spec), health(&spec.health, &mut check));
    if target_protocol == TargetProtocol::Http2 {
        health.path = None;
    }
    let timeouts = timeouts(spec, &mut check);
    let retries = retries(&spec.retries, &mut check);
    let limits = limits(&spec.limits, &mut check);
    let replica_tls = spec.replica_tls.as_ref().map(|tls| tls::replicas(tls, &mut check));
    let route = RoutePolicy {
        listener,
        hash_key,
        key_hash,
        ring,
        weights,
        bounded_load,
        timeouts,
        retries,
        limits,
        replica_tls,
        target_protocol,
    };
    let template = template::template(spec, &mut check);
    let generation = resource.metadata.generation.unwrap_or(1);
    let uid = FleetUid(resource.metadata.uid.as_deref().unwrap_or_default().into());
    match template {
        Some(template) if check.errors.is_empty() => Ok(Desired {
            id,
            uid,
            generation,
            replicas,
            template: Arc::new(template),
            rollout,
            health,
            route: Arc::new(route),
        }),
        _ => Err(FieldErrors(check.errors)),
    }
}

fn checked_identity(resource: &LoadBalancer, check: &mut Checker) -> FleetId {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    if !is_fleet_name(name) {
        check.fail("metadata.name", name, "use 1 to 36 of a-z, 0-9 and -, beginning with a letter, not ending with -");
    }
    manifest::identity(resource)
}

/// A name from which replica names can be made: with ordinal, hash and incarnation it stays within 63 characters.
fn is_fleet_name(name: &str) -> bool {
    is_label(name) && name.len() <= 36 && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A DNS label in lower case, as Kubernetes wants it for most names.
pub(super) fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn listener(spec: &LoadBalancerSpec, check: &mut Checker) -> Listener {
    let port = check.number("spec.listener.port", spec.listener.port, 1, u16::MAX);
    let mut hostnames = Vec::new();
    check.count("spec.listener.hostnames", spec.listener.hostnames.len(), "names", 64);
    for (index, hostname) in spec.listener.hostnames.iter().enumerate() {
        let path = format!("spec.listener.hostnames[{index}]");
        let lower = hostname.to_ascii_lowercase();
        if !is_hostname(&lower) {
            check.fail(&path, hostname, "use a host name such as shop.example, or *.shop.example, without port");
        } else if hostnames.contains(&lower) {
            check.fail(&path, hostname, "listed twice; leave one");
        } else {
            hostnames.push(lower);
        }
    }
    let tls = spec.listener.tls.as_ref().map(|tls| tls::checked(tls, check));
    Listener { port, hostnames, tls }
}

fn is_hostname(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bounded_load(spec: &LoadBalancerSpec, check: &mut Checker) -> Option<f64> {
    let factor = spec.bounded_load.as_ref()?.factor;
    if !(1.0..=100.0).contains(&factor) {
        check.fail("spec.boundedLoad.factor", &factor.to_string(), "use a number from 1 to 100, such as 1.25");
    }
    Some(factor)
}

fn timeouts(spec: &LoadBalancerSpec, check: &mut Checker) -> Timeouts {
    let timeouts = &spec.timeouts;
    let connect = check.number("spec.timeouts.connectMilliseconds", timeouts.connect_milliseconds, 1, 600_000_u64);
    Timeouts {
        connect: Duration::from_millis(connect),
        response_header: check.seconds(
            "spec.timeouts.responseHeaderSeconds",
            timeouts.response_header_seconds,
            1,
            86_400,
        ),
        idle: check.seconds("spec.timeouts.idleSeconds", timeouts.idle_seconds, 1, 86_400),
    }
}

fn retries(spec: &RetriesSpec, check: &mut Checker) -> Retries {
    Retries {
        attempts: check.number("spec.retries.attempts", spec.attempts, 0, 10),
        budget_percent: check.number("spec.retries.budgetPercent", spec.budget_percent, 0, 100),
    }
}

fn limits(spec: &LimitsSpec, check: &mut Checker) -> Limits {
    const CONCURRENT: &str = "spec.limits.maxConcurrentPerReplica";
    Limits {
        max_concurrent_per_replica: check.number(CONCURRENT, spec.max_concurrent_per_replica, 0, i32::MAX as u32),
        max_body_bytes: check.number("spec.limits.maxBodyBytes", spec.max_body_bytes, 0, MOST_BYTES),
    }
}

fn target_protocol(spec: &LoadBalancerSpec) -> TargetProtocol {
    match spec.target_protocol {
        api::TargetProtocol::Http1 => TargetProtocol::Http1,
        api::TargetProtocol::Http2 => TargetProtocol::Http2,
    }
}

fn rollout(spec: &RolloutSpec, replicas: u16, check: &mut Checker) -> Rollout {
    let surge = share("spec.rollout.maxSurge", &spec.max_surge, replicas, Rounding::Up, check);
    let mut unavailable = share("spec.rollout.maxUnavailable", &spec.max_unavailable, replicas, Rounding::Down, check);
    if is_zero(&spec.max_surge) && is_zero(&spec.max_unavailable) {
        let rule = "must not be 0 where spec.rollout.maxSurge is 0, or no rollout could ever take a step; raise one";
        check.fail("spec.rollout.maxUnavailable", "0", rule);
    } else if surge == 0 && unavailable == 0 {
        unavailable = 1; // percentages of a small fleet, resolved as a Deployment does
    }
    Rollout {
        max_surge: surge,
        max_unavailable: unavailable,
        min_ready: check.seconds("spec.rollout.minReadySeconds", spec.min_ready_seconds, 0, 86_400),
        drain_timeout: check.seconds("spec.rollout.drainTimeoutSeconds", spec.drain_timeout_seconds, 0, 86_400),
        slow_start: check.seconds("spec.rollout.slowStartSeconds", spec.slow_start_seconds, 0, 3_600),
    }
}

#[derive(Debug, Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// A count, or a percentage of the replicas.
fn share(path: &str, value: &IntOrString, replicas: u16, rounding: Rounding, check: &mut Checker) -> u16 {
    let rule = "use a count from 0 to 65535, or a percentage from 0% to 100%";
    match value {
        IntOrString::Int(count) => u16::try_from(*count).unwrap_or_else(|_| {
            check.fail(path, &count.to_string(), rule);
            0
        }),
        IntOrString::String(text) => {
            let Some(percent) = percentage(text) else {
                check.fail(path, text, rule);
                return 0;
            };
            let product = u32::from(replicas) * percent;
            let count = match rounding {
                Rounding::Up => product.div_ceil(100),
                Rounding::Down => product / 100,
            };
            u16::try_from(count).unwrap_or(u16::MAX)
        }
    }
}

/// `25%`: without sign, without leading zeros.
fn percentage(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    let percent: u32 = digits.parse().ok()?;
    (percent <= 100 && percent.to_string() == digits).then_some(percent)
}

fn is_zero(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(count) => *count == 0,
        IntOrString::String(text) => text == "0%",
    }
}

fn health(spec: &HealthSpec, check: &mut Checker) -> Health {
    if !spec.path.starts_with('/') || !is_visible(&spec.path) {
        check.fail("spec.health.path", &spec.path, "use a path that begins with /, such as /heartbeat");
    }
    check.length("spec.health.path", &spec.path, 1_024);
    Health {
        path: Some(spec.path.clone()),
        period: check.seconds("spec.health.periodSeconds", spec.period_seconds, 1, 3_600),
        timeout: check.seconds("spec.health.timeoutSeconds", spec.timeout_seconds, 1, 3_600),
        failure_threshold: check.number("spec.health.failureThreshold", spec.failure_threshold, 1, 100),
        replace_after: check.seconds("spec.health.replaceAfterSeconds", spec.replace_after_seconds, 1, 86_400),
        startup: check.seconds("spec.health.startupSeconds", spec.startup_seconds, 1, 86_400),
    }
}

// === impl Checker ===

impl Checker {
    pub(super) fn note(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    pub(super) fn fail(&mut self, path: &str, value: &str, rule: &str) {
        self.note(FieldError { path: path.to_owned(), value: value.to_owned(), rule: rule.to_owned() });
    }

    /// The number, if it lies within the range; else the least, with an error noted.
    pub(super) fn number<N, T>(&mut self, path: &str, value: N, least: T, most: T) -> T
    where
        N: Copy + fmt::Display,
        T: Copy + fmt::Display + PartialOrd + TryFrom<N>,
    {
        match T::try_from(value) {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.fail(path, &value.to_string(), &format!("use a number from {least} to {most}"));
                least
            }
        }
    }

    /// Notes text that is longer than so many characters.
    pub(super) fn length(&mut self, path: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if length > most {
            self.fail(path, &format!("{length} characters"), &format!("use at most {most}"));
        }
    }

    /// Notes a list of more entries than there may be.
    pub(super) fn count(&mut self, path: &str, count: usize, of: &str, most: usize) {
        if count > most {
            self.fail(path, &format!("{count} {of}"), &format!("use at most {most}"));
        }
    }

    /// Whether nothing was wrong so far.
    fn is_content(&self) -> bool {
        self.errors.is_empty()
    }

    fn seconds(&mut self, path: &str, value: i32, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(path, value, least, most))
    }
}

// === impl FieldError, FieldErrors ===

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, value, rule } = self;
        if value.is_empty() { write!(f, "{path}: {rule}") } else { write!(f, "{path}: {value}: {rule}") }
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}
