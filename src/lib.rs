//! Ringhold owns a fleet of replicas and the consistent-hash ring in front of it.
//!
//! Modules in reading order: the words ([`model`]), the pure core ([`ring`], [`plan`]), the bridge between
//! control plane and data plane ([`routes`]), and the edges around them. ARCHITECTURE.md draws the map.

pub mod model;
pub mod proxy;
pub mod ring;
pub mod routes;
pub mod shutdown;
