//! The ring: which replica has which keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Algorithm and size of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RingSection {
    /// How keys are spread over the replicas.
    pub algorithm: RingAlgorithm,
    /// How many slots the table has: for `Rendezvous` a power of two from 2 to 1,048,576; for `Maglev` a number in that
    /// range, rounded up to a prime. 65,536 where it is left out. More slots, more even shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<i32>,
    /// How many points a replica has on the circle of `Ketama`, for each unit of its weight. 160 where it is left out, as
    /// nginx has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub points: Option<i32>,
    /// Whose circle `Ketama` has. `Nginx` where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<KetamaPlacement>,
    /// The hash functions of `Polynomial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polynomials: Option<PolynomialsSpec>,
    /// The hash function of the keys. `SipHash` where it is left out; for `Ketama`, `Crc32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_hash: Option<KeyHashFunction>,
    /// What is special about an ordinal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["ordinal"])
    )]
    pub members: Vec<RingMember>,
}

/// How keys are spread over the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum RingAlgorithm {
    /// Rendezvous hashing in a table: even, and no key moves that need not.
    #[default]
    Rendezvous,
    /// The circle of nginx's `hash ... consistent` and of ingress-nginx's `upstream-hash-by`, for fleets that move over
    /// from there without moving keys.
    Ketama,
    /// Maglev hashing: the most even, but a few keys more than need be move when replicas come and go.
    Maglev,
    /// The classic 512-slot ring with polynomial hash functions; for demonstration, it is uneven.
    Polynomial,
}

/// Whose circle `Ketama` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KetamaPlacement {
    /// That of nginx's `hash ... consistent`, which hashes host and port of a member's name.
    Nginx,
    /// That of ingress-nginx's `upstream-hash-by`, which hashes a member's name as it is written, such as `10.0.0.1:8080`.
    IngressNginx,
}

/// The hash function of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeyHashFunction {
    /// SipHash-1-3, keyed with the operator's hash secret: clients can't aim many keys at one replica.
    SipHash,
    /// XXH3: faster, for keys that clients don't choose.
    Xxh3,
    /// CRC-32, as nginx hashes; only for `Ketama`, and for keys that clients don't choose.
    Crc32,
}

/// What is special about one ordinal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RingMember {
    /// Which.
    #[schemars(range(min = 0, max = 65_534))]
    pub ordinal: i32,
    /// Its share of the keys, relative to the others.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: i32,
    /// What the server whose keys it takes over is called, such as `10.0.0.1:8080`; only for `Ketama`. For nginx the name
    /// that its configuration has, for ingress-nginx address and port of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name: Option<String>,
}

/// The hash functions of `Polynomial`, both modulo 512.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PolynomialsSpec {
    /// Where key number i stands.
    pub key: KeyPolynomialSpec,
    /// Where virtual server j of server i would like to stand. Ordinal 0 is server 1.
    pub server: ServerPolynomialSpec,
}

/// The factors of i squared and i, named after them, and a constant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct KeyPolynomialSpec {
    /// Factor of i squared.
    #[schemars(range(min = 0, max = 511))]
    pub ii: i32,
    /// Factor of i.
    #[schemars(range(min = 0, max = 511))]
    pub i: i32,
    /// What is added.
    #[schemars(range(min = 0, max = 511))]
    pub constant: i32,
}

/// The factors of i squared, i, j squared and j, named after them, and a constant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ServerPolynomialSpec {
    /// Factor of i squared.
    #[schemars(range(min = 0, max = 511))]
    pub ii: i32,
    /// Factor of i.
    #[schemars(range(min = 0, max = 511))]
    pub i: i32,
    /// Factor of j squared.
    #[schemars(range(min = 0, max = 511))]
    pub jj: i32,
    /// Factor of j.
    #[schemars(range(min = 0, max = 511))]
    pub j: i32,
    /// What is added.
    #[schemars(range(min = 0, max = 511))]
    pub constant: i32,
}

fn one() -> i32 {
    1
}

impl Default for KeyPolynomialSpec {
    fn default() -> Self {
        Self { ii: 1, i: 2, constant: 17 }
    }
}

impl Default for ServerPolynomialSpec {
    fn default() -> Self {
        Self { ii: 1, i: 0, jj: 1, j: 2, constant: 25 }
    }
}
