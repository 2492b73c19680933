//! An upstream as nginx's configuration has it, and as our ring has it.

use std::sync::Arc;

use ringhold::ring::{KetamaSpec, KeyHash, KeyHasher, Member, Ring, RingSpec};

/// An upstream with `hash … consistent`.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// Of the upstream, and of the path that leads to it.
    pub(crate) name: String,
    /// What is hashed.
    pub(crate) key: &'static str,
    pub(crate) servers: Vec<Server>,
}

/// One of its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// What the configuration calls it.
    pub(crate) name: String,
    pub(crate) weight: u16,
    pub(crate) is_down: bool,
}

// === impl Upstream ===

impl Upstream {
    /// Servers on ports of this machine, of these weights, by `X-User-Id`.
    pub(crate) fn of(name: &str, servers: impl IntoIterator<Item = (String, u16)>) -> Self {
        let servers = servers.into_iter().map(|(name, weight)| Server { name, weight, is_down: false }).collect();
        Self { name: name.to_owned(), key: "$http_x_user_id", servers }
    }

    pub(crate) fn configuration(&self) -> String {
        let Self { name, key, servers } = self;
        let servers = servers.iter().map(|Server { name, weight, is_down }| {
            let down = if *is_down { " down" } else { "" };
            format!("server {name} weight={weight} max_fails=0{down};\n")
        });
        format!("upstream {name} {{\nhash {key} consistent;\n{}keepalive 32;\n}}\n", servers.collect::<String>())
    }

    /// Our ring with a member for each server, in their order.
    pub(crate) fn ring(&self) -> Ring {
        let ids = || (0..).zip(&self.servers);
        let members: Vec<Member> = ids().map(|(id, server)| Member { id, weight: server.weight }).collect();
        let names = ids().map(|(id, server)| (id, server.name.as_str().into())).collect();
        let spec = RingSpec::Ketama(KetamaSpec { names: Arc::new(names), ..KetamaSpec::default() });
        Ring::build(spec, &members).unwrap()
    }

    /// The names of the servers in the order in which our ring has them for a key.
    pub(crate) fn candidates<'a>(&'a self, ring: &'a Ring, key: &[u8]) -> impl Iterator<Item = &'a Server> {
        let hash = KeyHasher::new(&[0; 16]).hash(KeyHash::Crc32, key);
        ring.candidates(hash).map(|id| &self.servers[usize::from(id)])
    }
}
