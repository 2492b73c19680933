//! What the API server checks besides types and ranges: one table of rules in CEL, so that a bad spec is stopped with the
//! field and the way out. `controller::validate` says the same in the same words for manifests that no API server has
//! seen; `tests/api_server` holds the two against each other.

/// The name: it leaves room for ordinal, hash and incarnation within a label's 63 characters. The rule stands on the root,
/// whose answer has no path; hence the path in the message.
pub(super) const NAME: &str = "self.metadata.name.matches('^[a-z]([a-z0-9-]{0,34}[a-z0-9])?$')";
pub(super) const NAME_MESSAGE: &str =
    "metadata.name: use 1 to 36 of a-z, 0-9 and -, beginning with a letter, not ending with -";

/// What must hold at one place of the spec.
pub(super) struct Rule {
    /// Where: `hashKey[].header.name`; empty: the spec.
    pub(super) at: &'static str,
    /// The rule, in CEL.
    pub(super) rule: &'static str,
    /// The way out.
    pub(super) message: &'static str,
    /// The field to name, where it lies below.
    pub(super) field: Option<&'static str>,
}

const SHARE: &str = "type(self) == int ? self >= 0 && self <= 65535 : self.matches('^(100|[1-9]?[0-9])%$')";
const SHARE_MESSAGE: &str = "use a count from 0 to 65535, or a percentage from 0% to 100%";
const SECRET: &str = "self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')";
const TOKEN: &str = "self.matches('^[!#$%&\\'*+.^_`|~0-9A-Za-z-]+$')";

pub(super) const RULES: &[Rule] = &[
    Rule {
        at: "",
        rule: "self.ring.algorithm != 'Polynomial' || self.replicas + (has(self.ring.members) ? \
               self.ring.members.map(m, m.weight - 1).sum() : 0) <= 56",
        message: "a Polynomial ring seats at most 56 replicas, counted by weight; use Rendezvous in spec.ring.algorithm",
        field: Some(".replicas"),
    },
    Rule {
        at: "",
        rule: "self.ring.algorithm != 'Ketama' || (self.replicas + (has(self.ring.members) ? \
               self.ring.members.map(m, m.weight - 1).sum() : 0)) * (has(self.ring.points) ? self.ring.points : 160) \
               <= 1048576",
        message: "a Ketama ring has at most 1048576 points, replicas counted by weight times spec.ring.points; use fewer",
        field: Some(".replicas"),
    },
    Rule {
        at: "",
        rule: "self.ring.algorithm != 'Maglev' || self.replicas <= (has(self.ring.slots) ? self.ring.slots : 65536)",
        message: "a Maglev ring needs a slot for each replica; use more in spec.ring.slots",
        field: Some(".replicas"),
    },
    Rule {
        at: "",
        rule: "!has(self.targetPort) || type(self.targetPort) == int || self.template.spec.containers.exists(c, \
               has(c.ports) && c.ports.exists(p, has(p.name) && p.name == self.targetPort))",
        message: "no container port of the template has this name",
        field: Some(".targetPort"),
    },
    Rule {
        at: "listener.hostnames",
        rule: "self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))",
        message: "a name is listed twice; leave one",
        field: None,
    },
    Rule {
        at: "listener.hostnames[]",
        rule: "self.matches('^([*][.])?[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\
               ([.][A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$') && (size(self) <= 253 || self.startsWith('*.'))",
        message: "use a host name such as shop.example, or *.shop.example, without port",
        field: None,
    },
    Rule {
        at: "listener.tls",
        rule: "has(self.secretName) || has(self.certificateFile) || has(self.keyFile)",
        message: "say where the certificate is: in secretName, or without a cluster in certificateFile and keyFile",
        field: None,
    },
    Rule {
        at: "listener.tls",
        rule: "has(self.certificateFile) == has(self.keyFile)",
        message: "a certificate needs its key: name both certificateFile and keyFile, or neither",
        field: None,
    },
    Rule {
        at: "listener.tls.secretName",
        rule: SECRET,
        message: "use the name of a Secret such as web-tls",
        field: None,
    },
    Rule {
        at: "service",
        rule: "!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')",
        message: "leave it out, or use NodePort or LoadBalancer in spec.service.type",
        field: Some(".nodePort"),
    },
    Rule {
        at: "service",
        rule: "!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')",
        message: "leave it out, or use NodePort or LoadBalancer in spec.service.type",
        field: Some(".externalTrafficPolicy"),
    },
    Rule {
        at: "service",
        rule: "!has(self.loadBalancerClass) || (has(self.type) && self.type == 'LoadBalancer')",
        message: "leave it out, or use LoadBalancer in spec.service.type",
        field: Some(".loadBalancerClass"),
    },
    Rule {
        at: "service.loadBalancerClass",
        rule: "self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?\
               [A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$')",
        message: "use a name such as internal, or example.com/internal",
        field: None,
    },
    Rule {
        at: "hashKey[]",
        rule: "[has(self.header), has(self.cookie), has(self.query), has(self.path), has(self.sourceIp), \
               has(self.random)].exists_one(there, there)",
        message: "use exactly one source: header, cookie, query, path, sourceIp or random",
        field: None,
    },
    Rule { at: "hashKey[].header.name", rule: TOKEN, message: "use a header name such as X-User-Id", field: None },
    Rule { at: "hashKey[].cookie.name", rule: TOKEN, message: "use a cookie name such as ringhold", field: None },
    Rule {
        at: "hashKey[].cookie.path",
        rule: "self.matches('^/[!-+--:<-~]*$')",
        message: "use a path that begins with /",
        field: None,
    },
    Rule {
        at: "ring",
        rule: "!has(self.slots) || self.algorithm in ['Rendezvous', 'Maglev']",
        message: "leave it out: only Rendezvous and Maglev have slots",
        field: Some(".slots"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.slots) || self.algorithm != 'Rendezvous' || self.slots in [2, 4, 8, 16, 32, 64, 128, 256, 512, \
               1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576]",
        message: "use a power of two from 2 to 1048576",
        field: Some(".slots"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.slots) || self.algorithm != 'Maglev' || (self.slots >= 2 && self.slots <= 1048576)",
        message: "use a number from 2 to 1048576",
        field: Some(".slots"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.points) || self.algorithm == 'Ketama'",
        message: "leave it out: only Ketama has points",
        field: Some(".points"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.placement) || self.algorithm == 'Ketama'",
        message: "leave it out: only Ketama has a placement",
        field: Some(".placement"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.polynomials) || self.algorithm == 'Polynomial'",
        message: "leave it out: only Polynomial has polynomials",
        field: Some(".polynomials"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.keyHash) || self.keyHash != 'Crc32' || self.algorithm == 'Ketama'",
        message: "use SipHash or Xxh3: CRC-32 is for Ketama, which needs no more of a key",
        field: Some(".keyHash"),
    },
    Rule {
        at: "ring",
        rule: "!has(self.members) || self.algorithm == 'Ketama' || self.members.all(m, !has(m.name))",
        message: "leave the names out: only Ketama places members by name",
        field: Some(".members"),
    },
    Rule {
        at: "rollout",
        rule: "!(self.maxSurge in [dyn(0), dyn('0%')] && self.maxUnavailable in [dyn(0), dyn('0%')])",
        message: "must not be 0 where spec.rollout.maxSurge is 0, or no rollout could ever take a step; raise one",
        field: Some(".maxUnavailable"),
    },
    Rule { at: "rollout.maxSurge", rule: SHARE, message: SHARE_MESSAGE, field: None },
    Rule { at: "rollout.maxUnavailable", rule: SHARE, message: SHARE_MESSAGE, field: None },
    Rule {
        at: "health.path",
        rule: "self.matches('^/[!-~]*$')",
        message: "use a path that begins with /, such as /heartbeat",
        field: None,
    },
    Rule {
        at: "replicaTls.hostname",
        rule: "self.matches('^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$')",
        message: "use a host name such as web.shop.internal, without port",
        field: None,
    },
    Rule {
        at: "replicaTls.caSecretName",
        rule: SECRET,
        message: "use the name of a Secret such as web-ca",
        field: None,
    },
    Rule {
        at: "targetPort",
        rule: "type(self) != int || (self >= 1 && self <= 65535)",
        message: "use a number from 1 to 65535",
        field: None,
    },
    Rule {
        at: "template.spec.containers[].name",
        rule: "self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
        message: "use 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -",
        field: None,
    },
    Rule {
        at: "template.spec.containers[].ports[].name",
        rule: "self.matches('^[a-z0-9]+(-[a-z0-9]+)*$') && self.matches('[a-z]')",
        message: "use 1 to 15 of a-z, 0-9 and single -, with a letter, neither beginning nor ending with -",
        field: None,
    },
];
