//! The part of the spec that requests meet: listener, key, limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ListenerTlsSpec;

/// Where requests arrive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSpec {
    /// TCP port, on every proxy. LoadBalancers may share one if their hostnames differ.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Hosts whose requests are ours: exact, or with one leading `*.`. Empty: any that no other LoadBalancer claims.
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)), extend("x-kubernetes-list-type" = "set"))]
    pub hostnames: Vec<String>,
    /// TLS with clients. LoadBalancers that share a port either all have it or none has: the name that a client asks for
    /// (SNI) chooses the certificate as its host chooses the LoadBalancer. Absent: requests come in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsSpec>,
}

/// One place where a key may be: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HashKeySource {
    /// The value of a header.
    Header(HeaderSource),
    /// The value of a cookie, set by the proxy where absent.
    Cookie(CookieSource),
    /// The value of a query parameter.
    Query(QuerySource),
    /// The path, or its first segments.
    Path(PathSource),
    /// The client's address.
    SourceIp(SourceIpSource),
    /// A random key: spreads evenly and keeps nothing together.
    Random(RandomSource),
}

/// The value of the first header with this name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct HeaderSource {
    /// The header's name, in any case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
}

/// The value of a cookie; where it is absent the proxy sets it, with a random value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CookieSource {
    /// The cookie's name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Lifetime of a cookie that the proxy sets, in seconds. 0: until the browser closes.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds: i32,
    /// Path of a cookie that the proxy sets.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// The percent-decoded value of the first query parameter with this name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct QuerySource {
    /// The parameter's name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
}

/// The path as sent, without the query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub struct PathSource {
    /// Only so many segments from the left, such as 1 for `/tenant`. 0: the whole path.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1024))]
    pub segments: i32,
}

/// The client's address, without port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub struct SourceIpSource {}

/// A random key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub struct RandomSource {}

/// Keeps any replica from having many more requests at one time than its share, from each proxy.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct BoundedLoadSpec {
    /// A replica may have so many times its share of a proxy's requests in flight; what is more goes to the next
    /// candidate.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub factor: f64,
}

/// How long the proxy waits, for what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TimeoutsSpec {
    /// For the connection to a replica, with TLS the handshake, too, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub connect_milliseconds: i32,
    /// From the request's end to the head of the response, in seconds; past it the client gets 504.
    #[schemars(range(min = 1, max = 86_400))]
    pub response_header_seconds: i32,
    /// Without a byte on a running request, a tunnel or an idle connection, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_seconds: i32,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetriesSpec {
    /// Tries after the first, each with another replica.
    #[schemars(range(min = 0, max = 10))]
    pub attempts: i32,
    /// Of the requests of the last ten seconds, so many percent may be sent again after a replica had them already, on
    /// top of ten a second. Trying elsewhere what was never sent is always free.
    #[schemars(range(min = 0, max = 100))]
    pub budget_percent: i32,
}

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitsSpec {
    /// Requests that one replica may have at one time from each proxy; past it the next candidate, and 503 when all are
    /// full. 0: no limit.
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub max_concurrent_per_replica: i32,
    /// Longest request body in bytes; past it 413. 0: no limit.
    #[schemars(range(min = 0, max = 1_125_899_906_842_624_i64))]
    pub max_body_bytes: i64,
}

fn root() -> String {
    "/".to_owned()
}

impl Default for ListenerSpec {
    fn default() -> Self {
        Self { port: 5000, hostnames: Vec::new(), tls: None }
    }
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self { connect_milliseconds: 500, response_header_seconds: 60, idle_seconds: 60 }
    }
}

impl Default for RetriesSpec {
    fn default() -> Self {
        Self { attempts: 2, budget_percent: 20 }
    }
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self { max_concurrent_per_replica: 1024, max_body_bytes: 0 }
    }
}
