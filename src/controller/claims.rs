//! Who may listen where: a port and host belong to one LoadBalancer, and the older one keeps them.

use crate::model::{FleetId, Listener};

/// Somebody older has what this LoadBalancer asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub(super) struct Conflict {
    /// Who has it.
    owner: FleetId,
    /// Which port.
    port: u16,
    over: Over,
}

/// What there is only once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Over {
    /// Any host.
    Any,
    Hostname(String),
    /// What is spoken on the port: TLS, or requests in the clear.
    Tls {
        is_spoken: bool,
    },
}

/// The first claim of `listener` that one of the `older` LoadBalancers has already.
#[must_use]
pub(super) fn conflict<'a>(
    listener: &Listener,
    older: impl IntoIterator<Item = (&'a FleetId, &'a Listener)>,
) -> Option<Conflict> {
    older.into_iter().filter(|(_, other)| other.port == listener.port).find_map(|(owner, other)| {
        let over = if listener.tls.is_some() != other.tls.is_some() {
            Over::Tls { is_spoken: other.tls.is_some() }
        } else if listener.hostnames.is_empty() && other.hostnames.is_empty() {
            Over::Any
        } else {
            Over::Hostname(listener.hostnames.iter().find(|hostname| other.hostnames.contains(hostname))?.clone())
        };
        Some(Conflict { owner: owner.clone(), port: listener.port, over })
    })
}

// === impl Conflict ===

impl Conflict {
    fn message(&self) -> String {
        let Self { owner, port, over } = self;
        match over {
            Over::Any => format!(
                "spec.listener: port {port} for any host belongs to LoadBalancer {owner}, which had it first; choose another \
                 port or name your hosts in spec.listener.hostnames"
            ),
            Over::Hostname(hostname) => format!(
                "spec.listener.hostnames: {hostname} on port {port} belongs to LoadBalancer {owner}, which had it first; \
                 choose another host or port"
            ),
            Over::Tls { is_spoken: true } => format!(
                "spec.listener.tls: port {port} speaks TLS for LoadBalancer {owner}, which had it first; choose another port or \
                 name a certificate here, too"
            ),
            Over::Tls { is_spoken: false } => format!(
                "spec.listener.tls: port {port} has no TLS for LoadBalancer {owner}, which had it first; choose another port \
                 or leave it out here, too"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ListenerTls, TlsVersion};

    fn mk_listener(port: u16, hostnames: &[&str]) -> Listener {
        Listener { port, hostnames: hostnames.iter().map(|&hostname| hostname.to_owned()).collect(), tls: None }
    }

    #[test]
    fn a_port_is_shared_only_by_different_hosts() {
        let owner = FleetId::local("web");
        let cases = [
            (mk_listener(80, &[]), mk_listener(80, &[]), true),
            (mk_listener(80, &[]), mk_listener(81, &[]), false),
            (mk_listener(80, &["a.example"]), mk_listener(80, &[]), false),
            (mk_listener(80, &["b.example", "a.example"]), mk_listener(80, &["a.example"]), true),
            (mk_listener(80, &["a.example"]), mk_listener(80, &["b.example"]), false),
            (mk_listener(80, &["*.example"]), mk_listener(80, &["a.example"]), false),
        ];
        for (newer, older, conflicts) in cases {
            assert_eq!(conflict(&newer, [(&owner, &older)]).is_some(), conflicts, "{newer:?} {older:?}");
        }
    }

    #[test]
    fn a_port_speaks_tls_for_all_or_for_none() {
        let owner = FleetId::local("web");
        let tls = Some(ListenerTls { secret: Some("any".to_owned()), files: None, min_version: TlsVersion::Tls12 });
        let plain = mk_listener(80, &["a.example"]);
        let secured = Listener { tls, ..mk_listener(80, &["b.example"]) };
        let over =
            |newer: &Listener, older: &Listener| conflict(newer, [(&owner, older)]).map(|conflict| conflict.over);
        assert_eq!(over(&plain, &secured), Some(Over::Tls { is_spoken: true }));
        assert_eq!(over(&secured, &plain), Some(Over::Tls { is_spoken: false }));
        assert_eq!(over(&secured, &Listener { hostnames: Vec::new(), ..secured.clone() }), None);
        assert_eq!(over(&Listener { port: 81, ..plain }, &secured), None);
    }
}
