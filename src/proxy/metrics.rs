//! What the data plane counts. Every worker has a shard of its own, which it alone writes; a scrape sums them.

mod collect;
mod ends;
mod shard;

pub use collect::ProxyMetrics;
pub(super) use shard::{Counter, Handshake, Kind, Place, RouteMetrics, Shard, Source};
