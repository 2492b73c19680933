//! Who may listen where: a port and host belong to one LoadBalancer, and the older one keeps them.

use crate::model::{FleetId, Listener};

/// Somebody older has a port and host that this LoadBalancer asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub(super) struct Conflict {
    /// Who has it.
    pub(super) owner: FleetId,
    /// Which port.
    pub(super) port: u16,
    /// Which host; `None`: any.
    pub(super) hostname: Option<String>,
}

/// The first claim of `listener` that one of the `older` LoadBalancers has already.
#[must_use]
pub(super) fn conflict<'a>(
    listener: &Listener,
    older: impl IntoIterator<Item = (&'a FleetId, &'a Listener)>,
) -> Option<Conflict> {
    older.into_iter().filter(|(_, other)| other.port == listener.port).find_map(|(owner, other)| {
        let hostname = if listener.hostnames.is_empty() && other.hostnames.is_empty() {
            None
        } else {
            Some(listener.hostnames.iter().find(|hostname| other.hostnames.contains(hostname))?.clone())
        };
        Some(Conflict { owner: owner.clone(), port: listener.port, hostname })
    })
}

// === impl Conflict ===

impl Conflict {
    fn message(&self) -> String {
        let Self { owner, port, hostname } = self;
        match hostname {
            None => format!(
                "spec.listener: port {port} for any host belongs to LoadBalancer {owner}, which had it first; choose another \
                 port or name your hosts in spec.listener.hostnames"
            ),
            Some(hostname) => format!(
                "spec.listener.hostnames: {hostname} on port {port} belongs to LoadBalancer {owner}, which had it first; \
                 choose another host or port"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
