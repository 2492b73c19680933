//! Ringhold owns a fleet of replicas and the consistent-hash ring in front of it.
//!
//! Modules in reading order: the words ([`model`]) and the resource ([`api`]), the pure core ([`ring`], [`plan`]), the
//! bridge between control plane and data plane ([`routes`]) with the certificates ([`tls`]), and the edges around them:
//! where replicas run ([`backend`]), what reconciles them ([`controller`]), what carries requests ([`proxy`]) and what
//! people ask ([`admin`]); [`figure`] draws what numbers say. ARCHITECTURE.md draws the map.

pub mod model;

pub mod api;

pub mod ring;

pub mod tls;

pub mod plan;

pub mod routes;

pub mod backend;

pub mod controller;

pub mod proxy;

pub mod admin;

pub mod figure;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod args;
pub mod commands;
pub mod shutdown;
pub mod telemetry;
